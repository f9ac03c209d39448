"""Where the server's socket lies: in its data directory, or where the path is short and plain."""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from target_deals_postgres.embedded.system import give_to_server_user

if TYPE_CHECKING:
    from collections.abc import Sequence

PORT = 5432  # only the name of the socket file: nothing listens on TCP
LONGEST_PATH = 100  # the kernel's limit is 107 bytes
PREFIX = "deals-postgres-"


def place(data: Path) -> Path:
    """A directory for the socket that only the server's user may enter.

    Args:
        data: the data directory, which is one if its path fits.
    """
    path = str(data.resolve())
    longest = LONGEST_PATH - len(f"/.s.PGSQL.{PORT}.lock")
    if len(path.encode()) <= longest and re.fullmatch(r"[\w./+-]+", path):
        return data.resolve()
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))  # 0700
    give_to_server_user(directory)
    return directory


def found(lines: Sequence[str], data: Path) -> Path:
    """The socket's directory as it is called here.

    Args:
        lines: of the server's `postmaster.pid`, which says how the server calls it.
        data: the data directory, which another container may have elsewhere, or somebody moved.
    """
    called, directory = lines[1].strip(), lines[4].strip()
    return data.resolve() if directory == called else Path(directory)


def leave(directory: Path) -> None:
    """Remove what `place` made, when the server has stopped."""
    if directory.name.startswith(PREFIX):
        with contextlib.suppress(OSError):  # not empty: the server did not end by itself
            directory.rmdir()
