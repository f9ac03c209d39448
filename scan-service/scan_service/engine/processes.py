"""Knows how to start processes, and how to end them; no other module does."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psutil

from scan_service.engine.leash import clear, order
from scan_service.engine.stand_in import CODE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

_BEAT = b"."
_STAND_IN = "stand_in.py"


# What the interpreter and its libraries read while they are imported.
PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "1000", "PYTHONUNBUFFERED": "1"}


class Piped:
    """A child that reads what it is given and then ends."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def write(self, piece: bytes) -> None:
        """Give the child a piece, waiting while it is busy; a dead child shows at `end`."""
        stdin = self._process.stdin
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if stdin:
                stdin.write(piece)
                await stdin.drain()

    async def end(self) -> int:
        """Close the child's input and return its exit code."""
        if self._process.stdin:
            self._process.stdin.close()
        return await self._process.wait()


@asynccontextmanager
async def piped(command: list[str], *, folder: str) -> AsyncIterator[Piped]:
    """Start a child for the length of a block; leaving it early ends the child.

    Args:
        command: the child.
        folder: for its temporary files.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        env={**allowed_environment(), "TMPDIR": folder},
    )
    try:
        yield Piped(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def allowed_environment() -> dict[str, str]:
    """Return what a child may inherit: enough to run, and none of this process's secrets."""
    names = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV",
             "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
             "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy",
             "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")  # fmt: skip
    kept = {name: os.environ[name] for name in names if name in os.environ}
    beside = os.path.dirname(sys.executable)  # noqa: PTH120 - resolving would leave the venv
    kept["PATH"] = os.pathsep.join(filter(None, [beside, kept.get("PATH")]))
    return kept


class Leashed:
    """A command on a leash (see `leash.py`): it lives while this process says so."""

    def __init__(self, leash: psutil.Process, connection: socket.socket) -> None:
        self._leash = leash
        # No stream: writing to one whose other end is gone forgets what has come and is not read.
        self._connection = connection
        self._end = asyncio.ensure_future(self._code())

    async def _code(self) -> int:
        """Return the command's exit code once the leash has ended too; it may die without one."""
        said = b""
        # A leash that ends with a word of ours unread resets its socket: after the code, not in
        # its place.
        with contextlib.suppress(ConnectionError):
            while piece := await _received(self._connection):
                said += piece
        self._connection.close()
        return int.from_bytes(said) if said else 128 + signal.SIGKILL

    def beat(self) -> None:
        """Let the command live for another lease."""
        with contextlib.suppress(OSError):  # it has ended, or has many unread
            self._connection.send(_BEAT)

    async def wait(self, seconds: float) -> int | None:
        """Return the exit code, or None if the command is still running after a while."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._end), seconds)
        except TimeoutError:
            return None

    def terminate(self, *names: str) -> bool:
        """Ask the commands of these names, or all of them, to end; tell whether there was one."""
        found = False
        for process in self._members():
            with contextlib.suppress(psutil.Error):
                # The command itself, or its interpreter's script: Meltano's arguments name the tap.
                words = [os.path.basename(word) for word in process.cmdline()[:3]]  # noqa: PTH119
                if _STAND_IN in words:
                    continue  # it would only pass on what its program is told here
                if not names or any(name in words[:2] for name in names):
                    process.terminate()
                    found = True
        return found

    async def kill(self) -> None:
        """End everything now."""
        for process in self._members():
            with contextlib.suppress(psutil.Error):
                process.kill()
        if not self._end.done() and await self.wait(1.0) is None:
            with contextlib.suppress(psutil.Error):
                self._leash.kill()
            await self._end

    def _members(self) -> list[psutil.Process]:
        """Return all below the leash, not the leash itself."""
        try:
            return list(self._leash.children(recursive=True))
        except psutil.Error:
            return []


class ForkServer:
    """What starts commands on leashes: a process that has imported them (see `forkserver.py`).

    Args:
        directory: where the runs' folders are.
        programs: console scripts of this environment that commands are, or start, and modules.
    """

    def __init__(self, directory: Path, programs: tuple[str, ...] = ()) -> None:
        self._directory = directory
        self._programs = programs
        self._process: asyncio.subprocess.Process | None = None
        self._ear: socket.socket | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Start it, or another one if it has died; commands wait until it has imported all."""
        async with self._turn:
            if self._process is None or self._process.returncode is not None:
                await self.close()
                await self._begin()

    async def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "scan_service.engine.forkserver",
                str(self._directory),
                *self._programs,
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                env={**allowed_environment(), **PLAIN},
                start_new_session=True,
                umask=0o077,
            )
        self._ear = ours

    async def close(self) -> None:
        """End it; what it has started goes on."""
        if self._ear:
            self._ear.close()
        if self._process:
            await self._process.wait()

    async def leashed(
        self,
        command: list[str],
        *,
        folder: Path,
        log: Path,
        environment: Mapping[str, str],
        lease: float,
    ) -> Leashed:
        """Start a command on a leash, in a session of its own, its output going to a file.

        Raises:
            OSError: it could not be started.
        """
        await self.start()
        ours, theirs = socket.socketpair()
        with theirs:
            assert self._ear  # noqa: S101 - for the type checker
            socket.send_fds(self._ear, [_BEAT], [theirs.fileno()])
        ours.settimeout(0)
        said = order(
            command=command, folder=folder, log=log, environment=dict(environment), lease=lease
        )
        try:
            await asyncio.get_running_loop().sock_sendall(ours, said)
            return Leashed(psutil.Process(int.from_bytes(await _received(ours))), ours)
        except (ConnectionError, psutil.Error) as error:
            ours.close()
            raise OSError(errno.ECHILD, "the fork server ended") from error


async def _received(connection: socket.socket) -> bytes:
    """Return the next number that a leash says; nothing if it has ended."""
    return await asyncio.get_running_loop().sock_recv(connection, CODE_BYTES)


def below() -> dict[str, float]:
    """Return the number of what this process has started, directly or not, and what that takes.

    `cpu` is in seconds, `memory` in bytes.
    """
    found = {"number": 0.0, "cpu": 0.0, "memory": 0.0}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error), process.oneshot():
            spent, memory = process.cpu_times(), process.memory_info().rss
            found["number"] += 1
            found["cpu"] += spent.user + spent.system
            found["memory"] += memory
    return found


def end_abandoned(folder: Path) -> None:
    """End this user's processes that name a run's folder, and remove the folder."""
    mark, user = str(folder), os.geteuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid == os.getpid() or process.uids().effective != user:
                continue
            if mark in process.cmdline() or process.environ().get("SCAN_RUN_FOLDER") == mark:
                process.send_signal(signal.SIGKILL)
    clear(folder)
