"""Knows where what is printed waits for its reader: a little in memory, the rest on disk.

Readers may be slow, and many: what a page or a file has is not held in memory for each of them.
"""

from __future__ import annotations

import os
import tempfile
from typing import IO

from anyio import to_thread

_IN_MEMORY = 512 * 1024


class Spool:
    """Bytes that are written once and read in pieces, also while they are written.

    Attributes:
        length: how many can be read so far.
    """

    def __init__(self) -> None:
        self.length = 0
        self._kept = bytearray()
        # It has no name: whatever happens to this process, nothing stays behind.
        self._file: IO[bytes] | None = None

    async def append(self, *pieces: bytes | memoryview) -> None:
        """Write pieces; one call at a time."""
        length = sum(map(len, pieces))
        if self._file is None and self.length + length <= _IN_MEMORY:
            for piece in pieces:
                self._kept += piece
        elif self._file is None:
            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed in `close`
            self._file = await to_thread.run_sync(_written, file, bytes(self._kept), *pieces)
            self._kept.clear()
        else:
            await to_thread.run_sync(_written, self._file, *pieces)
        self.length += length

    async def read(self, begin: int, most: int) -> bytes:
        """Return at most so many bytes from a place on; none at the end."""
        if self._file is None:
            return bytes(self._kept[begin : begin + most])
        return await to_thread.run_sync(os.pread, self._file.fileno(), most, begin)

    def whole(self) -> bytes:
        """Return all, for whoever reads it in this process."""
        if self._file is None:
            return bytes(self._kept)
        return os.pread(self._file.fileno(), self.length, 0)

    def close(self) -> None:
        """Let the disk forget it."""
        if self._file is not None:
            self._file.close()


def _written(file: IO[bytes], *pieces: bytes | memoryview) -> IO[bytes]:
    for piece in pieces:
        left = memoryview(piece)
        while left:
            left = left[file.write(left) :]
    return file
