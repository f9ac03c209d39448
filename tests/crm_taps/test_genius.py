"""Genius, a database: other people's taps and our target, on real servers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from harness.database import Cluster, connect
from harness.meltano import Project, lines_of
from harness.vendors.running import rows, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.heavy
MARIADB = shutil.which("mariadbd") or shutil.which("mysqld")
COUNT = 3000


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def project(home: Path, database_url: str, *taps: str, **settings: str) -> Project:
    """A project with the taps installed."""
    environment = {
        "TAP_GENIUS_TENANT_ID": "acme",
        "TAP_GENIUS_MYSQL_TENANT_ID": "acme",
        "TARGET_DEALS_POSTGRES_DATABASE_URL": database_url,
        **settings,
    }
    made = Project(home, environment)
    with made.meltano(["install", "extractor", *taps]) as process:
        log = list(lines_of(process))
        assert process.wait() == 0, log
    return made


@pytest.fixture
def genius() -> Iterator[str]:
    """Genius in PostgreSQL, as the document tells it."""
    port = free_port()
    cluster = Cluster(listen_addresses="127.0.0.1", port=str(port))
    try:
        cluster.start()
        url = f"postgresql://postgres:unused@127.0.0.1:{port}/postgres"
        with connect(url) as opened, opened.cursor() as cursor:
            cursor.execute(
                "create table leads (lead_id bigint primary key, status text, amount numeric, "
                "modified timestamptz)"
            )
            cursor.execute(
                "insert into leads select i, 'Größe ' || i, i * 1.01, "
                "timestamptz '2026-01-01 00:00Z' + i * interval '1 minute' "
                f"from generate_series(1, {COUNT}) i"
            )
            for table in ("prospects", "appointments", "users", "divisions", "contacts"):
                cursor.execute(f"create table {table} (id int primary key, name text)")
                cursor.execute(f"insert into {table} values (1, 'a'), (2, null)")
            cursor.execute("create table division_groups (id int primary key)")
        yield url
    finally:
        cluster.remove()


def test_genius_in_postgresql_arrives_with_its_tenant_and_then_only_what_changed(
    genius: str, tmp_path: Path, database_url: str
) -> None:
    ours = project(tmp_path, database_url, "tap-genius", TAP_GENIUS_SQLALCHEMY_URL=genius)
    first = ours.run("genius-all")
    with connect(genius) as opened, opened.cursor() as cursor:
        cursor.execute(
            "update leads set status = 'Sold', modified = '2027-01-01Z' where lead_id = 7"
        )
    second = ours.run("genius-all")

    assert (first.code, second.code) == (0, 0), first.text + second.text
    columns = "lead_id, status, amount, modified"
    copied = rows(database_url, f"select {columns} from genius.leads where _tenant_id = 'acme'")
    assert sorted(copied) == sorted(rows(genius, f"select {columns} from leads"))
    assert rows(database_url, "select count(*) from genius.contacts") == [(2,)]
    assert second.counted("leads", by="target-genius") < 10


@pytest.fixture
def mariadb(tmp_path: Path) -> Iterator[int]:
    """Genius in MariaDB, as it really is; the port."""
    if MARIADB is None:
        pytest.skip("no MariaDB here: apt-get install mariadb-server")
    port, home = free_port(), tmp_path / "mariadb"
    home.mkdir()
    options = ["--no-defaults", f"--datadir={home}", "--user=root"]
    if share := os.environ.get("MARIADB_SHARE"):
        options.append(f"--lc-messages-dir={share}")
    subprocess.run(
        [MARIADB, *options, "--bootstrap"],
        input=b"create database mysql; use mysql;",
        check=False,
        capture_output=True,
    )
    server = subprocess.Popen(
        [
            *(MARIADB, *options, "--skip-grant-tables", "--bind-address=127.0.0.1"),
            *(f"--port={port}", "--skip-networking=0", f"--socket={home}/socket"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _answers(port))
        yield port
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_genius_in_mariadb_arrives_with_its_tenant(
    mariadb: int, tmp_path: Path, database_url: str
) -> None:
    fill = (
        "create database genius; use genius;"
        "create table `lead` (lead_id bigint primary key, status varchar(50), is_sale tinyint(1),"
        " amount decimal(12,2), updated_at datetime(6));"
        "insert into `lead` select seq, concat('Größe ', seq), 1, seq * 1.01,"
        f" timestamp('2026-01-01') + interval seq minute from seq_1_to_{COUNT};"
    )
    client = shutil.which("mariadb") or shutil.which("mysql") or "mariadb"
    command = [client, "--no-defaults", "--default-character-set=utf8mb4", "-h127.0.0.1"]
    subprocess.run([*command, f"-P{mariadb}"], input=fill.encode(), check=True)
    ours = project(
        tmp_path,
        database_url,
        "tap-genius-mysql",
        TAP_GENIUS_MYSQL_HOST="127.0.0.1",
        TAP_GENIUS_MYSQL_PORT=str(mariadb),
        TAP_GENIUS_MYSQL_USER="root",
        TAP_GENIUS_MYSQL_PASSWORD="unused",
        TAP_GENIUS_MYSQL_FILTER_DBS="genius",
    )
    finished = ours.run("genius-mysql-all")

    assert finished.code == 0, finished.text
    counts = "select count(*), sum(amount), min(updated_at)::text from genius.leads"
    total = sum(range(COUNT + 1)) * 101
    ((count, amount, earliest),) = rows(
        database_url, f"{counts} where _tenant_id = 'acme' and is_sale"
    )
    assert (count, amount * 100) == (COUNT, total)
    assert earliest.startswith("2026-01-01 00:01:00")
