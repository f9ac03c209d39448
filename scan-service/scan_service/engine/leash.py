"""Knows how to let a command live only as long as its worker does; each run has such a process.

The worker holds the other end of a socket: it says first what to run, and then sends a byte now
and then. Silence for a lease (a frozen worker, a database that took the scan away) or the end of
the socket (a dead worker) ends the command with everything it started and removes the run's folder,
which holds secrets.

The command's programs are forked from here (see `programs`), so that they are in its group and
end, by the kernel, with this process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scan_service.engine.programs import Program, asked, call_it
from scan_service.engine.stand_in import CODE_BYTES, FORWARDED

if TYPE_CHECKING:
    from scan_service.engine.programs import Scripts

LEASE_LOST = 75
# Stands in each run's folder, from its first moment to its last.
MARK = "scan-service-run"
TITLE = "scan-service-leash"
_LONGEST_ORDER = 1 << 16
_REQUEST_DESCRIPTORS = 5  # the stand-in's socket, the request, and the three streams


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


def clear(folder: Path) -> None:
    """Remove a run's folder, its mark last: what is left by a kill is known as a run's."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != MARK:
                path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def order(
    *, command: list[str], folder: Path, log: Path, environment: dict[str, str], lease: float
) -> bytes:
    """Return what a worker sends first: the command, its environment, and how to watch it."""
    said = {
        "command": command, "folder": str(folder), "log": str(log), "environment": environment,
        "lease": lease,
    }  # fmt: skip
    return json.dumps(said).encode() + b"\n"


class Leash:
    """The process between a worker and one run.

    Args:
        worker: the socket to it.
        scripts: which programs need not be executed.
    """

    def __init__(self, worker: socket.socket, scripts: Scripts) -> None:
        self._worker = worker
        self._scripts = scripts
        self._folder = Path()
        self._lease = 0.0
        self._heard = 0.0
        self._command = 0
        self._code: int | None = None
        # The stand-ins of the programs that run, by the programs' processes.
        self._programs: dict[int, socket.socket] = {}
        self._watched = selectors.DefaultSelector()
        self._control, self._starts = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def keep(self) -> Program | None:
        """Run what the worker says until it ends, or until its worker is gone.

        Returns:
            In the processes that are forked meanwhile: what they are to be.
        """
        if (said := self._order()) is None:
            return None
        self._folder, self._lease = Path(said["folder"]), said["lease"]
        call_it(TITLE, str(self._folder))
        lock = hold(self._folder, "leash")
        log = os.open(said["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
        wake = self._heed_signals()
        mine = os.getpid()
        self._command = os.fork()
        if not self._command:
            os.setpgid(0, 0)
            self._forget()
            return Program(
                said["command"], said["environment"], str(self._folder), self._scripts, mine,
                self._starts.detach(),
            )  # fmt: skip
        self._join(self._command)
        self._worker.sendall(mine.to_bytes(CODE_BYTES))
        self._watched.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 64) and None)
        self._watched.register(self._worker, selectors.EVENT_READ, self._listen)
        self._watched.register(self._control, selectors.EVENT_READ, self._start)
        if (program := self._watch()) is not None:
            return program
        os.close(lock)
        code = self._end()
        with contextlib.suppress(OSError):
            self._worker.sendall(code.to_bytes(CODE_BYTES))
        return None

    def _join(self, process: int) -> None:
        """Take a process into the command's group, which ends as one; it does the same itself."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(process, self._command)

    def _forget(self) -> None:
        """In a forked process: close what is the leash's, before its numbers are used again."""
        signal.set_wakeup_fd(-1)
        self._watched.close()
        for each in (self._worker, self._control, *self._programs.values()):
            each.close()

    def _order(self) -> dict[str, Any] | None:
        """Return what the worker says first; None if it died before."""
        text = b""
        while not text.endswith(b"\n"):
            if not (piece := self._worker.recv(_LONGEST_ORDER)):
                return None
            text += piece
        said: dict[str, Any] = json.loads(text)
        return said

    @staticmethod
    def _heed_signals() -> int:
        """Let no signal end this process; return the descriptor that tells of ended children."""
        # Not SIG_IGN: an executed command would inherit that, and could not be asked to end.
        for number in (*FORWARDED, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        wake, woken = os.pipe()
        for end in (wake, woken):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(woken)
        return wake

    def _watch(self) -> Program | None:
        """Watch until the command has ended or is to end."""
        self._heard = time.monotonic()
        while self._code is None:
            left = self._heard + self._lease - time.monotonic()
            if left <= 0:
                return None
            for key, _ in self._watched.select(left):
                program: Program | None = key.data()
                if program is not None:
                    return program
            self._reap()
        return None

    def _listen(self) -> None:
        """Hear the worker, or that it is gone."""
        self._heard = time.monotonic() if self._worker.recv(4096) else -self._lease

    def _start(self) -> Program | None:
        """Fork what a stand-in asks for."""
        _, found, _, _ = socket.recv_fds(self._control, 1, _REQUEST_DESCRIPTORS)
        if len(found) != _REQUEST_DESCRIPTORS:
            for each in found:
                os.close(each)
            return None
        stand, request, *streams = found
        mine = os.getpid()
        if not (process := os.fork()):
            os.setpgid(0, self._command)
            self._forget()
            self._starts.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            return asked(request, self._scripts, folder=str(self._folder), parent=mine)
        self._join(process)
        for each in (request, *streams):
            os.close(each)
        self._programs[process] = connection = socket.socket(fileno=stand)
        self._watched.register(
            connection, selectors.EVENT_READ, lambda: self._pass_on(process, connection)
        )
        return None

    def _pass_on(self, process: int, connection: socket.socket) -> None:
        """Give a program the signals that its stand-in got; a killed stand-in's program dies."""
        try:
            signals = connection.recv(64)
        except ConnectionResetError:
            signals = b""
        for number in signals or [signal.SIGKILL]:
            os.kill(process, number)
        if not signals:
            self._watched.unregister(connection)

    def _reap(self) -> None:
        """Take note of every child that has ended."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                process, status = found
                code = os.waitstatus_to_exitcode(status)
                if process == self._command:
                    self._code = code
                elif connection := self._programs.pop(process, None):
                    with contextlib.suppress(KeyError):
                        self._watched.unregister(connection)
                    with connection, contextlib.suppress(OSError):
                        connection.sendall(code.to_bytes(CODE_BYTES, signed=True))

    def _end(self) -> int:
        """End what is left of the run; return its exit code."""
        code = self._code
        # What it started and left behind: nothing of a run outlives it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._command, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, 0)[0]:
                pass
        if code is None:
            clear(self._folder)
            return LEASE_LOST
        return 128 - code if code < 0 else code
