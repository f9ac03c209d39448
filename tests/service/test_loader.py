"""What a run's loader may do in the database, and what it may not do any more when it thaws."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr
from scan_service.db import Database, loader_url
from scan_service.ledger import runs
from service.kit import TENANT, Client, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

INSERT = (
    "insert into scans.deals (_tenant_id, _scan_id, id) values (%s, %s, %s)"
    " on conflict (_tenant_id, _scan_id, id) do update set archived = true"
)

SHAPE = """
select attname::text, format_type(atttypid, atttypmod) from pg_attribute
where attrelid = 'scans._rejected_records'::regclass and attnum > 0 and not attisdropped
"""


def take(ledger: Ledger, scan_id: str) -> dict[str, uuid.UUID]:
    """Begin a run as a worker does."""

    async def take() -> dict[str, uuid.UUID]:
        db = Database(SecretStr(ledger.url))
        await db.open()
        try:
            ((scan, job),) = ledger.run("select id, job_id from scan where scan_id = %s", scan_id)
            taken = await runs.take(db, scan, job, worker="test")
            assert taken
            await runs.prepare(db, taken)
            return taken
        finally:
            await db.close()

    return asyncio.run(take())


@pytest.fixture
def run(client: Client, ledger: Ledger) -> dict[str, uuid.UUID]:
    """A run of the scan `ours`, with a finished scan and another tenant's beside it."""
    client.start("ours")
    taken = take(ledger, "ours")
    ledger.key("tenant-b")
    for tenant, scan_id in ((TENANT, "before"), ("tenant-b", "ours")):
        ledger.run(INSERT, tenant, scan_id, "1")
    return taken


@pytest.fixture
def loader(ledger: Ledger, run: dict[str, uuid.UUID]) -> Iterator[psycopg.Connection]:
    """The connection that this run's target is given."""
    url = loader_url(SecretStr(ledger.url), run["id"], run["run_id"])
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def test_a_loader_writes_and_sees_the_rows_of_its_scan_only(
    loader: psycopg.Connection, ledger: Ledger
) -> None:
    loader.execute(INSERT, [TENANT, "ours", "1"])
    loader.execute(INSERT, [TENANT, "ours", "1"])
    loader.execute(
        "insert into scans._rejected_records (stream, _tenant_id, reason, payload, run_started_at)"
        " values ('deals', %s, '', '', now())", [TENANT],
    )  # fmt: skip

    assert loader.execute("select _scan_id from scans.deals").fetchall() == [("ours",)]
    assert ledger.run("select count(*) from scans.deals") == [(3,)]
    for tenant, scan_id in ((TENANT, "before"), ("tenant-b", "ours"), ("tenant-b", "new")):
        with pytest.raises(InsufficientPrivilege):
            loader.execute(INSERT, [tenant, scan_id, "1"])
    with pytest.raises(InsufficientPrivilege):
        loader.execute("update scans.deals set _scan_id = 'before', id = '2'")
    assert ledger.run("select count(*) from scans.deals where archived") == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "select from scan_service.scan",
        "select from scan_service.api_key",
        "select from scan_service.procrastinate_jobs",
        "delete from scans.deals",
        "truncate scans.deals",
        "alter table scans.deals add column mine int",
        "alter table scans.deals disable row level security",
        "drop policy tenant on scans.deals",
        "drop table scans.deals",
        "create table scans.mine (id int)",
        "create schema mine",
    ],
)
def test_a_loader_may_do_nothing_else(loader: psycopg.Connection, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        loader.execute(statement)


def test_no_row_of_a_run_comes_after_its_end(
    loader: psycopg.Connection, run: dict[str, uuid.UUID], ledger: Ledger
) -> None:
    loader.execute(INSERT, [TENANT, "ours", "1"])
    ledger.run("update scan set run_id = %s where id = %s", uuid.uuid4(), run["id"])

    with pytest.raises(InsufficientPrivilege):
        loader.execute(INSERT, [TENANT, "ours", "2"])

    assert ledger.run(
        "select id from scans.deals where _scan_id = 'ours'",
    ) == [("1",), ("1",)]


def test_an_open_transaction_of_an_older_run_never_commits(
    run: dict[str, uuid.UUID], client: Client, ledger: Ledger
) -> None:
    url = loader_url(SecretStr(ledger.url), run["id"], run["run_id"])
    with psycopg.connect(url) as frozen:
        frozen.execute(INSERT, [TENANT, "ours", "ghost"])
        ledger.run(
            "update scan set run_id = null, status = 'failed', slot = null, token = null,"
            " completed_at = now() where id = %s", run["id"],
        )  # fmt: skip
        removed = client.delete("/api/v1/scan/remove/ours?confirm=true")
        assert removed.status_code == 200, removed.text
        assert client.start("ours").status_code == 202
        new = take(ledger, "ours")

        with pytest.raises(psycopg.OperationalError):
            frozen.commit()

    assert ledger.run("select id from scans.deals where _scan_id = 'ours' and id = 'ghost'") == []
    assert new["run_id"] != run["run_id"]


def test_an_older_run_of_the_same_scan_is_ended_before_the_next_begins(
    run: dict[str, uuid.UUID], ledger: Ledger
) -> None:
    url = loader_url(SecretStr(ledger.url), run["id"], run["run_id"])
    with psycopg.connect(url) as frozen:
        frozen.execute(INSERT, [TENANT, "ours", "ghost"])
        ledger.run("update scan set run_id = null where id = %s", run["id"])
        take(ledger, "ours")

        with pytest.raises(psycopg.OperationalError):
            frozen.commit()


def test_a_table_that_the_target_made_is_opened_to_loaders(client: Client, ledger: Ledger) -> None:
    ledger.make_results("before", [{"id": "1"}])
    ledger.run("alter table scans.deals enable row level security, force row level security")
    ledger.run(
        "create policy loader on scans.deals to current_user"
        " using (current_setting('app.loader', true) = 'on')"
    )
    client.start("ours")
    run = take(ledger, "ours")

    with psycopg.connect(
        loader_url(SecretStr(ledger.url), run["id"], run["run_id"]), autocommit=True
    ) as loader:
        loader.execute("set app.loader = 'on'")
        loader.execute(INSERT, [TENANT, "ours", "1"])
        found = loader.execute("select _scan_id, _organization_id from scans.deals").fetchall()

    assert found == [("ours", None)]


def test_the_list_of_rejected_records_is_the_one_that_the_target_makes(
    ledger: Ledger,
    run: dict[str, uuid.UUID],  # noqa: ARG001 - the service has made its own
    database_url: str,
    tmp_path: Path,
) -> None:
    schema = {"properties": {"id": {"type": "integer"}}}
    lines: list[dict[str, Any]] = [
        {"type": "SCHEMA", "stream": "t", "schema": schema, "key_properties": ["id"]},
        {"type": "RECORD", "stream": "t", "record": {"id": "none"}},
    ]
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps({"database_url": database_url, "default_target_schema": "scans",
                    "max_rejected_records": 1})
    )  # fmt: skip
    done = subprocess.run(
        [Path(sys.executable).parent / "target-deals-postgres", "--config", config],
        input="\n".join(map(json.dumps, lines)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    shapes: list[dict[str, str]] = []
    for url in (database_url, ledger.url):
        with psycopg.connect(url) as connection:
            shapes.append(dict(connection.execute(SHAPE).fetchall()))
    theirs, ours = shapes
    assert theirs == ours
