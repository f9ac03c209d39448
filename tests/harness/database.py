"""PostgreSQL for tests: one server per session, a fresh database per test, clusters to be killed.

`DATABASE_URL` names a server to use; without it one starts in a temporary directory: the embedded
one, or that of `POSTGRES_BIN`, a directory with `initdb` and `postgres` of any version.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2
import pytest
from target_deals_postgres.embedded import Server, project_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg2.extensions import connection

__all__ = [
    "Cluster",
    "binaries",
    "connect",
    "database_url",
    "default_version",
    "new_database",
    "postgres_server",
    "postgres_servers",
]

OLDEST = 15  # the oldest version that its makers still mend
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def binaries() -> dict[str, Path]:
    """The PostgreSQL versions of this machine: major version -> directory of its programs."""
    found = [project_server(Path.cwd()).binaries, *Path("/usr/lib/postgresql").glob("*/bin")]
    there = {_version(one): one for one in found if (one / "initdb").exists()}
    supported = {version: one for version, one in there.items() if int(version) >= OLDEST}
    chosen = os.environ.get("POSTGRES_BIN")
    return {**supported, **({_version(Path(chosen)): Path(chosen)} if chosen else {})}


def default_version() -> str:
    """The version that tests use when they name none."""
    chosen = os.environ.get("POSTGRES_BIN")
    return _version(Path(chosen) if chosen else project_server(Path.cwd()).binaries)


@functools.cache
def _version(directory: Path) -> str:
    shown = subprocess.run(
        [directory / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    return shown.stdout.split()[2].split(".")[0]


class Cluster:
    """A server of a test's own, which it may stop, kill, fill and start again.

    Attributes:
        url: where it is reached while it runs; the same after a restart, unless the path is long.
    """

    def __init__(self, version: str | None = None, **settings: str) -> None:
        """Make the directory; nothing runs before `start`.

        Args:
            version: one of `binaries()`; `default_version()` when there is none.
            settings: server settings, for example `timezone="Asia/Kathmandu"`.
        """
        version = version or default_version()
        self.root = Path(tempfile.mkdtemp(prefix="pg-"))
        self.root.chmod(0o711)  # as root, the server runs as another user
        self.server = Server(
            self.root / "data",
            binaries()[version],
            {**FAST, "max_connections": "200", **settings},
            Server.initdb if int(version) >= 17 else ("--locale=C",),
        )
        self.url = ""

    def start(self) -> str:
        """Start the server, recovering from a crash if there was one; return its URL."""
        self.url = self.server.start()
        return self.url

    def stop(self) -> None:
        """Stop it in order; open sessions are cut off."""
        self.server.stop()

    def kill(self) -> None:
        """Crash it: kill -9."""
        self.server.stop(signal.SIGKILL)

    def restart(self) -> str:
        """Stop and start it."""
        self.stop()
        return self.start()

    def remove(self) -> None:
        """Stop it and delete all that it had."""
        self.server.stop(signal.SIGQUIT)
        shutil.rmtree(self.root, ignore_errors=True)


def connect(url: str) -> closing[connection]:
    """Open an autocommitting connection; used as a context manager, it is closed at the end."""
    opened = psycopg2.connect(url)
    opened.autocommit = True
    return closing(opened)


def new_database(server_url: str, name: str | None = None) -> str:
    """Make an empty database on a server; return its URL."""
    name = name or f"test_{uuid.uuid4().hex[:12]}"
    with connect(server_url) as admin, admin.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{quote(name)}"))


def drop_database(server_url: str, url: str) -> None:
    """Remove a database that `new_database` made, whoever is connected to it."""
    name = urlsplit(url).path.lstrip("/")
    with connect(server_url) as admin, admin.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[Callable[[str], str]]:
    """Gives the URL of a server of a version, the same one for all tests."""
    clusters: dict[str, Cluster] = {}

    def url_of(version: str) -> str:
        if version not in clusters:
            clusters[version] = Cluster(version)
        return clusters[version].url or clusters[version].start()

    yield url_of
    for cluster in clusters.values():
        cluster.remove()


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest, postgres_servers: Callable[[str], str]) -> str:
    """The URL of a server where the tests may make databases; a parameter names its version."""
    chosen = getattr(request, "param", None)
    if chosen is None and (url := os.environ.get("DATABASE_URL")):
        return url
    return postgres_servers(chosen or default_version())


@pytest.fixture
def database_url(postgres_server: str) -> Iterator[str]:
    """The URL of a fresh database for one test, for psycopg2 and psycopg alike."""
    url = new_database(postgres_server)
    yield url
    drop_database(postgres_server, url)
