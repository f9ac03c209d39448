"""The way to the next major version: a dump by the old programs, read by the new ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from target_deals_postgres.embedded.server import ServerError

if TYPE_CHECKING:
    from pathlib import Path

    from target_deals_postgres.embedded.server import Server


def dump(server: Server, file: Path) -> None:
    """Write all databases and roles of a server into a file that only its owner may read.

    Raises:
        ServerError: the dump failed; the file is not there then.
    """
    url = server.start()
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.touch(mode=0o600)
    with unfinished.open("w", encoding="utf-8") as out:
        _run([server.binaries / "pg_dumpall", "--dbname", url], stdout=out)
    unfinished.rename(file)


def restore(server: Server, file: Path) -> Path:
    """Fill a new data directory of the installed version from a dump; keep the old one.

    Returns:
        Where the old data directory is now.

    Raises:
        ServerError: the server runs, there is no dump, or it cannot be read whole; all is as it was
            then.
    """
    if not file.exists():
        raise ServerError(f"there is no dump in {file}")
    if server.url():
        raise ServerError(f"the embedded PostgreSQL in {server.data} runs: stop it first")
    old = server.data.with_name(f"{server.data.name}-{server.major or 'none'}")
    if old.exists():
        raise ServerError(f"{old} is there already: move it away")
    if server.major:
        server.data.rename(old)
    try:
        _fill(server, file)
    except (ServerError, OSError):
        server.stop()
        shutil.rmtree(server.data, ignore_errors=True)
        if old.exists():
            old.rename(server.data)
        raise
    return old


def _fill(server: Server, file: Path) -> None:
    url = server.start()
    with file.open(encoding="utf-8") as lines:
        # The role that reads it is there already, which is no reason to stop.
        wanted = [one for one in lines if one.strip() != "CREATE ROLE postgres;"]
    _run([server.binaries / "psql", "-qX", "-v", "ON_ERROR_STOP=1", url], input="".join(wanted))


def _run(command: list[str | Path], **options: object) -> None:
    done = subprocess.run(  # type: ignore[call-overload]
        command,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=False,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "PGOPTIONS": "-c client_min_messages=error",
        },
        **({"stdout": subprocess.DEVNULL} | options),
    )
    if done.returncode:
        raise ServerError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
