"""Knows passwords: they are hashed in threads of their own, a few at a time, behind all others."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from crm_api.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_NICE = 10
_MOST_WAITING = 200
_BUSY = "Too many log-ins at once, try again"


def _step_back() -> None:
    """Let other threads go first: a hash is nothing but computing."""
    # Linux counts threads here, and argon2's own threads inherit it.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class Passwords:
    """Hashes and verifies.

    Args:
        memory_kib: Memory of a hash. As many are made at once as there are processors, so that
            the memory of all is bounded.
        passes: Over it.
        lanes: Threads of a hash.
    """

    def __init__(self, *, memory_kib: int, passes: int, lanes: int) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        count = os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(count, "passwords", initializer=_step_back)
        self._waiting = 0
        # What is verified where there is no account: it takes the same time.
        self._nobody = self._hasher.hash(os.urandom(16).hex())

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Hash a password."""
        return await self._run(self._hash, password)

    async def verify(self, known: str | None, password: str) -> bool:
        """Tell whether a password is the right one; without a hash it takes as long, and is not."""
        fits = await self._run(self._fits, known or self._nobody, password)
        return fits and known is not None

    def is_outdated(self, known: str) -> bool:
        """Tell whether a hash was made at another cost."""
        return self._hasher.check_needs_rehash(known)

    def _hash(self, password: str) -> str:
        return self._hasher.hash(_bytes(password))

    def _fits(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        if self._waiting >= _MOST_WAITING:
            raise UnavailableError(_BUSY)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1


def _bytes(password: str) -> bytes:
    """Encode whatever JSON can say, halves of characters too."""
    return password.encode("utf-8", "surrogatepass")
