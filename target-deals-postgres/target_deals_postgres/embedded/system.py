"""The user, group and directories of the embedded server: root's server runs as somebody else."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SERVER_USER = "embedded_postgres"  # PostgreSQL refuses to run as root


def server_user() -> str | None:
    """The user that runs the server: None for our own; for root a system user, made if missing."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SERVER_USER)
    except KeyError:
        subprocess.run(
            [
                "useradd",
                "--system",
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
                SERVER_USER,
            ],
            check=False,  # another process may be a moment ahead of us
            capture_output=True,
        )
    return SERVER_USER


def identity() -> dict[str, Any]:
    """How `subprocess` becomes the server's user, with none of root's groups."""
    user = server_user()
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def stranger(path: Path) -> str | None:
    """To whom a directory belongs, where that is not the user who runs the server."""
    try:
        owner = path.stat().st_uid
    except OSError:
        return None
    user = server_user()
    if owner == (pwd.getpwnam(user).pw_uid if user else os.geteuid()):
        return None
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        return str(owner)
    return "root" if name == SERVER_USER else name


def make_directory(path: Path) -> None:
    """Make a directory that root's server user may pass, whatever the umask.

    What matters lies deeper and is closed.
    """
    if not path.exists():
        make_directory(path.parent)
        path.mkdir(exist_ok=True)
        if server_user():
            path.chmod(0o755)


def give_to_server_user(path: Path) -> None:
    """Let the server's user own a file or directory."""
    if user := server_user():
        shutil.chown(path, user, pwd.getpwnam(user).pw_gid)


def is_open_to_all(path: Path) -> bool:
    """Whether every user may pass the directory and those above it."""
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))
