"""Genius on real servers: PostgreSQL as it is documented, MariaDB as it is."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

from harness.database import Cluster, connect
from harness.vendors.running import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARIADB = shutil.which("mariadbd") or shutil.which("mysqld")
OTHERS = ("prospects", "appointments", "users", "divisions", "contacts", "division_groups")
SINGULAR = {**{name: name.removesuffix("s") for name in OTHERS}, "users": "user_data"}


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def postgresql(count: int) -> Iterator[str]:
    """Its address, with so many leads and two rows in each other table."""
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
                "insert into leads select 5000000000 + i, 'Größe ' || i, i * 1.01, "
                "timestamptz '2026-01-01 00:00Z' + i * interval '1 minute' "
                f"from generate_series(1, {count}) i"
            )
            for table in OTHERS:
                cursor.execute(f"create table {table} (id int primary key, name text)")
                cursor.execute(f"insert into {table} values (1, 'a'), (2, null)")
        yield url
    finally:
        cluster.remove()


@contextlib.contextmanager
def mariadb(home: Path, count: int) -> Iterator[int]:
    """Its port, with as much in it; `MARIADB` must be there."""
    assert MARIADB is not None
    port = free_port()
    home.mkdir(parents=True)
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
        others = "".join(
            f"create table `{table}` (id int primary key, name varchar(50), updated_at datetime);"
            f"insert into `{table}` values (1, 'a', '2026-01-01'), (2, null, '2026-01-02');"
            for table in SINGULAR.values()
        )
        ask(
            port,
            "create database genius; use genius;"
            "create table `lead` (lead_id bigint primary key, status varchar(50),"
            " is_sale tinyint(1), amount decimal(12,2), updated_at datetime(6));"
            "insert into `lead` select 5000000000 + seq, concat('Größe ', seq), 1, seq * 1.01,"
            f" timestamp('2026-01-01') + interval seq minute from seq_1_to_{count};{others}",
        )
        yield port
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def ask(port: int, statements: str) -> list[list[str]]:
    """What MariaDB answers: the columns of each line, as texts."""
    client = shutil.which("mariadb") or shutil.which("mysql") or "mariadb"
    command = [client, "--no-defaults", "--default-character-set=utf8mb4", "-h127.0.0.1", "-N"]
    answered = subprocess.run(
        [*command, f"-P{port}"], input=statements.encode(), check=True, capture_output=True
    )
    return [line.split("\t") for line in answered.stdout.decode().splitlines()]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
