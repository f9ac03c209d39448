"""Knows how to start processes, and how to end them; no other module does."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import shutil
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

_BEAT = b"."
_POLL_SECONDS = 0.1
_PR_SET_DUMPABLE = 4


def keep_private() -> None:
    """Let no other process of this user read this one's memory or environment, and no core file.

    What a process starts is not covered: the kernel makes a new program readable again. Only
    Linux knows the first; elsewhere the second is all there is.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class Piped:
    """A child that reads what it is given and then ends."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def write(self, piece: bytes) -> None:
        """Give the child a piece, waiting while it is busy; a dead child shows at `end`."""
        stdin = self._process.stdin
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if stdin:
                stdin.write(piece)
                await stdin.drain()

    async def end(self) -> int:
        """Close the child's input and return its exit code."""
        if self._process.stdin:
            self._process.stdin.close()
        return await self._process.wait()


@asynccontextmanager
async def piped(command: list[str], *, folder: str) -> AsyncIterator[Piped]:
    """Start a child for the length of a block; leaving it early ends the child.

    Args:
        command: the child.
        folder: for its temporary files.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        env={**allowed_environment(), "TMPDIR": folder},
    )
    try:
        yield Piped(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def allowed_environment() -> dict[str, str]:
    """Return what a child may inherit: enough to run, and none of this process's secrets."""
    names = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV",
             "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
             "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy",
             "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")  # fmt: skip
    kept = {name: os.environ[name] for name in names if name in os.environ}
    beside = os.path.dirname(sys.executable)  # noqa: PTH120 - resolving would leave the venv
    kept["PATH"] = os.pathsep.join(filter(None, [beside, kept.get("PATH")]))
    return kept


class Leashed:
    """A command on a leash (see `leash.py`): it lives while this process says so."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def beat(self) -> None:
        """Let the command live for another lease."""
        stdin = self._process.stdin
        if stdin and not stdin.is_closing():
            stdin.write(_BEAT)

    async def wait(self, seconds: float) -> int | None:
        """Return the exit code, or None if the command is still running after a while."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._process.wait()), seconds)
        except TimeoutError:
            return None

    def terminate(self, *names: str) -> bool:
        """Ask the commands of these names, or all of them, to end; tell whether there was one."""
        found = False
        for process in self._members():
            with contextlib.suppress(psutil.Error):
                # The command itself, or its interpreter's script: Meltano's arguments name the tap.
                words = [os.path.basename(word) for word in process.cmdline()[:2]]  # noqa: PTH119
                if not names or any(name in words for name in names):
                    process.terminate()
                    found = True
        return found

    async def kill(self) -> None:
        """End everything now."""
        for process in self._members():
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self._process.returncode is None:
            if await self.wait(1.0) is None:
                self._process.kill()
            await self._process.wait()

    def _members(self) -> list[psutil.Process]:
        """Return all below the leash, not the leash itself."""
        try:
            return list(psutil.Process(self._process.pid).children(recursive=True))
        except psutil.Error:
            return []


async def leashed(
    command: list[str], *, folder: Path, log: Path, environment: Mapping[str, str], lease: float
) -> Leashed:
    """Start a command on a leash, in a session of its own, its output going to a file."""
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "scan_service.engine.leash",
            str(folder),
            str(lease),
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=dict(environment),
            start_new_session=True,
            umask=0o077,
        )
    return Leashed(process)


def end_abandoned(folder: Path) -> None:
    """End this user's processes whose environment names a run's folder, and remove the folder."""
    mark, user = str(folder), os.geteuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid == os.getpid() or process.uids().effective != user:
                continue
            if process.environ().get("SCAN_RUN_FOLDER") == mark:
                process.send_signal(signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
