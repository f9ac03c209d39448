"""Knows how to let a command live only as long as its worker does; runs as a process of its own.

    python -m scan_service.engine.leash FOLDER SECONDS COMMAND...

The worker holds the other end of stdin and writes a byte now and then. Silence for SECONDS (a
frozen worker, a database that took the lease away) or the end of stdin (a dead worker) ends the
command with everything it started and removes FOLDER, which holds secrets. Only the standard
library is imported: this process waits beside every run.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

LEASE_LOST = 75
_TICK_SECONDS = 0.1


def main(folder: Path, seconds: float, command: list[str]) -> int:
    """Run the command until it ends, or until its worker is gone."""
    hold(folder, "leash")
    # Not SIG_IGN: the command would inherit that, and could not be asked to end any more.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    # A group of its own, so that it can be ended without ending this process.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    heard = time.monotonic()
    while (code := child.poll()) is None:
        ready, _, _ = select.select([0], [], [], _TICK_SECONDS)
        if ready:
            if not os.read(0, 4096):
                break  # the worker is gone
            heard = time.monotonic()
        if time.monotonic() - heard > seconds:
            break
    if code is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        shutil.rmtree(folder, ignore_errors=True)
        return LEASE_LOST
    # What it started and left behind: nothing of a run outlives it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    return 128 - code if code < 0 else code


def hold(folder: Path, name: str) -> int:
    """Lock a folder for one of its two users; the lock ends with the process, however that ends."""
    lock = os.open(folder / f"{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def is_held(folder: Path) -> bool:
    """Tell whether a worker or a leash still uses a folder."""
    for path in folder.glob("*.lock"):
        try:
            lock = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
    return False


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
