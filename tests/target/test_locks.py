"""Locks of somebody else: they are named, they end the run at last, and a second signal does."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from harness.database import connect
from harness.loading import KEYS, PROPERTIES, record, schema, until
from target_deals_postgres.errors import DatabaseUnreachableError
from target_deals_postgres.storing import database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.loading import Start
    from psycopg2.extensions import connection
    from target.conftest import Loader

LOCKS = {
    "table": "LOCK TABLE hubspot.t IN ACCESS EXCLUSIVE MODE",
    "row": "SELECT FROM hubspot.t FOR UPDATE",
}


@pytest.fixture
def other(pg: Loader) -> Iterator[connection]:
    """A session that reads a table, and may lock it."""
    pg.load(schema("t", PROPERTIES, KEYS), record("a", 1))
    with connect(f"{pg.url}&application_name=somebody") as opened:
        opened.autocommit = False
        yield opened


@pytest.mark.parametrize("what", LOCKS)
def test_who_holds_a_lock_is_told_and_the_run_goes_on_after(
    start: Start, pg: Loader, other: connection, what: str
) -> None:
    with other.cursor() as cursor:
        cursor.execute(LOCKS[what])
    process = start(pg.url, lock_timeout_seconds=1)
    process.send(schema("t", PROPERTIES, KEYS), record("a", 1, "y"))
    holder = f"locked by session {other.info.backend_pid} (postgres, somebody, idle in transaction"
    until(lambda: "Waiting for hubspot.t, " + holder in process.log())
    until(lambda: "canceling statement due to lock timeout" in process.log())
    other.rollback()
    assert process.end() == 0
    assert pg.rows("SELECT v FROM hubspot.t") == [("y",)]


def test_a_lock_that_does_not_end_ends_the_run(
    pg: Loader, other: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PAUSES", (0.01, 0.01))
    with other.cursor() as cursor:
        cursor.execute(LOCKS["table"])
    with pytest.raises(DatabaseUnreachableError, match=r"lock timeout.*locked by session \d+"):
        pg.load(schema("t", PROPERTIES, KEYS), record("a", 2), lock_timeout_seconds=1)


@pytest.mark.parametrize("what", LOCKS)  # a SCHEMA waits for the table, a commit for the row
def test_a_second_signal_ends_a_run_that_waits(
    start: Start, pg: Loader, other: connection, what: str
) -> None:
    with other.cursor() as cursor:
        cursor.execute(LOCKS[what])
    process = start(pg.url, lock_timeout_seconds=300)
    process.send(schema("t", PROPERTIES, KEYS), record("a", 1, "y"), {"type": "STATE", "value": 1})
    until(lambda: "Waiting for hubspot.t" in process.log())
    for number in (signal.SIGTERM, signal.SIGINT):  # as Meltano sends it: twice at once
        process.popen.send_signal(number)
    time.sleep(1.5)
    assert process.popen.poll() is None
    while process.popen.poll() is None:  # a busy machine may have heard of the first one just now
        process.popen.send_signal(signal.SIGTERM)
        time.sleep(0.5)
    assert process.popen.returncode == 143
    assert "a second signal ended what was being stored" in process.log()
    assert process.states() == []
    other.rollback()
    assert pg.rows("SELECT v FROM hubspot.t") == [("x",)]


def test_the_list_of_rejected_records_is_locked_by_nobody_who_only_adds_to_it(
    pg: Loader, other: connection
) -> None:
    with other.cursor() as cursor:  # another target's visit to the list
        cursor.execute(
            "SELECT pg_advisory_xact_lock("
            "hashtextextended('target-deals-postgres hubspot._rejected_records', 0))"
        )
        pg.load(
            schema("t", PROPERTIES, KEYS),
            pg.records("t", {"_tenant_id": "a", "id": "x"}),
            max_rejected_records=-1,
            lock_timeout_seconds=1,
        )

    assert pg.rows("SELECT count(*) FROM hubspot._rejected_records") == [(1,)]
    assert "Waiting for" not in pg.log
