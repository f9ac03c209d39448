"""Knows the private folders of runs: how one is made, and which left ones are ours to remove.

Whatever else stands in the run directory belongs to somebody else and is never touched.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from scan_service.engine import processes
from scan_service.engine.leash import MARK, clear, hold, is_held

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHAPE = re.compile(r"[0-9a-f]{32}")
_YOUNG_SECONDS = 60


class RunDirectoryError(PermissionError):
    """The run directory cannot be trusted with secrets, or is not the service's alone."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            errno.EPERM,
            f"SCAN_SERVICE_RUN_DIRECTORY ({path}) {problem}; name a folder of its own for it,"
            " which the worker makes if there is none",
        )


def prepare(directory: Path) -> None:
    """Make the run directory if there is none.

    Raises:
        RunDirectoryError: it is a link, is not this user's, can be entered by others, or holds
            what no run of this service has made.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Not `stat`: whoever may write beside it could put a link there, to a folder of ours.
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise RunDirectoryError(directory, "is a link or no folder")
    if found.st_uid != os.geteuid():
        raise RunDirectoryError(directory, "belongs to another user")
    if found.st_mode & 0o077:
        raise RunDirectoryError(directory, "can be entered by other users")
    if strange := sorted(path.name for path in directory.iterdir() if not _is_ours(path)):
        raise RunDirectoryError(directory, f"holds {len(strange)} other things ({strange[0]!r})")


def _is_ours(path: Path) -> bool:
    """Tell whether a run of this service made a folder; an empty one was not marked in time."""
    if not _SHAPE.fullmatch(path.name):
        return False
    try:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return False
        # Its mark comes first and goes last, so one listing tells; two, if it went in between.
        looks = ({each.name for each in path.iterdir()} for _ in range(2))
        return any(not names or MARK in names for names in looks)
    except FileNotFoundError:
        return True  # a run has just ended


@contextmanager
def private_folder(directory: Path) -> Iterator[Path]:
    """Make a folder that only this user can read, and remove it whatever happens."""
    prepare(directory)
    folder = directory / uuid.uuid4().hex
    folder.mkdir(mode=0o700)
    (folder / MARK).touch(mode=0o600)
    lock = hold(folder, "worker")
    try:
        yield folder
    finally:
        clear(folder)
        os.close(lock)


def wipe_abandoned(directory: Path) -> int:
    """Remove what killed workers of this machine left behind, processes first; return how much."""
    gone = 0
    with suppress(FileNotFoundError):
        for folder in directory.iterdir():
            with suppress(FileNotFoundError):
                young = time.time() - folder.lstat().st_mtime < _YOUNG_SECONDS
                if young or not _is_ours(folder) or is_held(folder):
                    continue
                processes.end_abandoned(folder)
                gone += 1
    return gone
