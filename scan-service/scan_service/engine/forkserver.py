"""Knows how to import once what every run needs; a process of its own beside each worker.

    python -m scan_service.engine.forkserver FOLDER PROGRAM...

Standard input is a socket to the worker. For each byte on it a leash is forked, with the socket
that comes with the byte: all about a run goes over that one, so that no secret is ever in here.
The end of the worker's socket is the end of this process, not of the leashes: each has its own.
FOLDER, where the runs are, makes room for their names in this process's command line.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys

from scan_service.engine import programs
from scan_service.engine.leash import Leash


def main(names: list[str]) -> int:
    """Fork leashes until the worker is gone; in what is forked, be what it is to be."""
    scripts = programs.load(names)
    gc.collect()
    gc.freeze()  # a collection in a child would copy what all of them share
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(fileno=os.dup(0)) as worker:
        while True:
            word, found, _, _ = socket.recv_fds(worker, 1, 1)
            if not word:
                return 0
            if os.fork():
                for each in found:
                    os.close(each)
                continue
            break
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    program = Leash(socket.socket(fileno=found[0]), scripts).keep()
    return program.become() if program else 0


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
