"""Knows how to stand in for a program that another process forks; runs as a process of its own.

    python -IS stand_in.py CONTROL REQUEST FOLDER

Whoever started this, and believes it to be the program, sees what the program does: its streams
are the program's, signals are passed on, and it ends as the program ends. FOLDER is only there to
be seen. Imports next to nothing: it is started twice for every run.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CODE_BYTES = 4


def main(control: int, request: int) -> None:
    """Have the leash start the program, and end as it does."""
    ours, theirs = socket.socketpair()
    for number in FORWARDED:
        signal.signal(number, lambda number, _: ours.send(bytes([number])))
    with socket.socket(fileno=control) as leash:
        socket.send_fds(leash, [b"+"], [theirs.fileno(), request, 0, 1, 2])
    theirs.close()
    os.close(request)
    # Whoever reads or writes the program's streams must meet their end with the program's.
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    said = ours.recv(CODE_BYTES)
    code = int.from_bytes(said, signed=True) if said else -signal.SIGKILL
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
