"""A few numbers that all programs of one user on this machine share, as long as one of them runs.

They lie in a small file of the system's folder for temporary files. Who opens it first begins with
zeros; a lock, which the system takes back from whoever dies, lets one thread at a time at them.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import tempfile
import threading
from array import array
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

try:
    import fcntl
except ImportError:  # Windows: every program keeps its numbers to itself
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableSequence

BYTES = 8
"""Of one number: a double."""


class SharedNumbers:
    """Numbers under a name.

    Args:
        name: Who gives the same one shares the numbers; it is hashed and may hold secrets. Empty:
            nobody does. Where the folder cannot be used, nobody does either.
        count: How many numbers.
    """

    def __init__(self, name: str, count: int) -> None:
        self._thread_lock = threading.Lock()
        self._numbers: MutableSequence[float] = array("d", bytes(BYTES * count))
        self._files: list[int] = []
        if name and fcntl is not None:
            with contextlib.suppress(OSError):
                digest = hashlib.sha256(f"{count}\0{name}".encode()).hexdigest()
                self._share(digest[:32], BYTES * count)

    @contextmanager
    def locked(self) -> Iterator[MutableSequence[float]]:
        """The numbers, while nobody else is at them."""
        with self._thread_lock:
            if not self._files:
                yield self._numbers
                return
            fcntl.flock(self._files[0], fcntl.LOCK_EX)
            try:
                yield self._numbers
            finally:
                fcntl.flock(self._files[0], fcntl.LOCK_UN)

    def close(self) -> None:
        """Leave them to the others; what is done here after it stays here."""
        with self._thread_lock:
            if not self._files:
                return
            shared, self._numbers = self._numbers, array("d", self._numbers)
            cast("memoryview", shared).release()
            for each in self._files:
                os.close(each)
            self._files = []

    def _share(self, name: str, size: int) -> None:
        folder = Path(tempfile.gettempdir()) / f"hubspot-client-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return  # somebody else made it
        files = [
            os.open(folder / f"{name}{end}", os.O_RDWR | os.O_CREAT, 0o600)
            for end in ("", ".users")
        ]
        try:
            fcntl.flock(files[0], fcntl.LOCK_EX)
            with contextlib.suppress(BlockingIOError):  # others use them: they stay as they are
                fcntl.flock(files[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.truncate(files[0], 0)
            fcntl.flock(files[1], fcntl.LOCK_SH)
            os.truncate(files[0], size)
            shared = memoryview(mmap.mmap(files[0], size)).cast("d")
            self._numbers = cast("MutableSequence[float]", shared)
            fcntl.flock(files[0], fcntl.LOCK_UN)
        except OSError:
            for each in files:
                os.close(each)
            raise
        self._files = files
