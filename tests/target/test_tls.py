"""TLS to a real server: what the URL asks for holds, or nothing is written and the reason told."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from harness.certificates import Authority
from harness.database import Cluster, binaries, connect, new_database
from harness.loading import KEYS, PROPERTIES, record, schema, until
from target_deals_postgres.embedded import ServerError, server_user

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.loading import Start

SECRET = "s3cr3t-wörd"
# People come over TCP, with TLS only; the tests themselves through the socket.
WHO_MAY_COME = """
local all postgres trust
hostssl all guest 127.0.0.1/32 cert
hostssl all loader 127.0.0.1/32 scram-sha-256
"""


@dataclass
class Guarded:
    """A server that wants TLS; its certificate is for `localhost`."""

    admin: str
    port: int
    folder: Path

    def url(self, user: str = "loader", host: str = "localhost", **parameters: str) -> str:
        """A URL with parameters; those that name files of the folder get its path."""
        paths = {
            name: str(self.folder / value) if (self.folder / value).exists() else value
            for name, value in parameters.items()
        }
        query = urlencode({"hostaddr": "127.0.0.1", **paths})
        return f"postgresql://{user}:{SECRET}@{host}:{self.port}/db?{query}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("certificates")
    Authority(folder, "other-authority")
    authority = Authority(folder, "authority")
    authority.sign("guest")
    files = authority.sign("server", "localhost")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = {"ssl": "on", "listen_addresses": "127.0.0.1", "port": str(port)}
    for version in sorted(binaries(), key=int, reverse=True):
        cluster = Cluster(version)
        cluster.server.settings.update(settings)
        for name, file in zip(
            ("ssl_cert_file", "ssl_key_file", "ssl_ca_file"),
            (*files, authority.certificate),
            strict=True,
        ):
            copy = str(shutil.copy(file, cluster.root))
            cluster.server.settings[name] = copy
            if user := server_user():
                shutil.chown(copy, user)
        (cluster.root / "who").write_text(WHO_MAY_COME)
        cluster.server.settings["hba_file"] = str(cluster.root / "who")
        try:
            admin = cluster.start().replace("port=5432", f"port={port}")
            with connect(admin) as opened, opened.cursor() as cursor:
                for role in ("loader", "guest"):
                    cursor.execute(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{SECRET}'")
            yield Guarded(new_database(admin, "db"), port, folder)
        except ServerError as error:
            if "SSL is not supported" not in str(error):  # how the embedded one is built
                raise
        else:
            return
        finally:
            cluster.remove()
    pytest.skip("no PostgreSQL of this machine speaks TLS")


@pytest.mark.parametrize(
    ("user", "parameters"),
    [
        ("loader", {}),  # libpq prefers TLS by itself
        ("loader", {"sslmode": "require"}),
        ("loader", {"sslmode": "verify-full", "sslrootcert": "authority.pem"}),
        (
            "guest",
            {
                "sslmode": "verify-full",
                "sslrootcert": "authority.pem",
                "sslcert": "guest.pem",
                "sslkey": "guest.key",
            },
        ),
    ],
)
def test_what_it_loads_goes_through_tls(
    guarded: Guarded, start: Start, user: str, parameters: dict[str, str]
) -> None:
    process = start(guarded.url(user, **parameters))
    process.send(schema("t", PROPERTIES, KEYS), record("a", 1), {"type": "STATE", "value": 1})
    until(lambda: process.states() == [1])
    with connect(guarded.admin) as opened, opened.cursor() as cursor:
        cursor.execute(
            "SELECT ssl, usename, client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            "WHERE application_name = 'target-deals-postgres' AND datname = 'db'"
        )
        assert cursor.fetchall() == [(True, user, "/CN=guest" if user == "guest" else None)]
        assert process.end() == 0
        cursor.execute("SELECT _tenant_id, id FROM hubspot.t")
        assert cursor.fetchall() == [("a", 1)]
        cursor.execute("DROP SCHEMA hubspot CASCADE")


@pytest.mark.parametrize(
    ("user", "host", "parameters", "reason"),
    [
        ("loader", "localhost", {"sslmode": "disable"}, "no encryption"),
        (
            "loader",
            "localhost",
            {"sslmode": "verify-ca", "sslrootcert": "other-authority.pem"},
            "certificate verify failed",
        ),
        (
            "loader",
            "database.example.com",
            {"sslmode": "verify-full", "sslrootcert": "authority.pem"},
            'server certificate for "localhost" does not match host name "database.example.com"',
        ),
        (
            "loader",
            "localhost",
            {"sslmode": "verify-full", "sslrootcert": "/nowhere/ca.pem"},
            'root certificate file "/nowhere/ca.pem" does not exist',
        ),
        ("guest", "localhost", {"sslmode": "require"}, "requires a valid client certificate"),
        (
            "loader2",
            "localhost",
            {"sslmode": "require", "sslcert": "guest.pem", "sslkey": "guest.key"},
            'no pg_hba.conf entry for host "127.0.0.1", user "loader2"',
        ),
    ],
)
def test_what_does_not_hold_is_told_and_nothing_is_written(
    guarded: Guarded,
    start: Start,
    user: str,
    host: str,
    parameters: dict[str, str],
    reason: str,
) -> None:
    process = start(guarded.url(user, host, **parameters))
    process.send_rows(1)
    assert process.end() == 1
    [sentence] = [line for line in process.log().splitlines() if "ERROR" in line]
    assert "the database of database_url cannot be reached" in sentence
    assert reason in sentence
    assert "Traceback" not in process.log()
    for part in (SECRET, "s3cr3t", "w%C3%B6rd"):
        assert part not in process.log()
    assert process.states() == []
    with connect(guarded.admin) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'hubspot'")
        assert cursor.fetchone() == (0,)
