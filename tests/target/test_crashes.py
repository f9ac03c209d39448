"""Crashes and company: whatever dies or gets in the way, no row is lost, no STATE too early."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg2
import pytest
from harness.database import Cluster, binaries, connect, new_database
from harness.loading import KEYS, PROPERTIES, record, schema, until
from target_deals_postgres.errors import DatabaseError
from target_deals_postgres.storing import database
from target_deals_postgres.tables.merge import Merge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.loading import Process, Start
    from target.conftest import Loader


def count(url: str, where: str = "true") -> int:
    with connect(url) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT to_regclass('hubspot.t')")
        if cursor.fetchone() == (None,):
            return 0
        cursor.execute(f"SELECT count(*) FROM hubspot.t WHERE {where}")
        row = cursor.fetchone()
    return row[0] if row else 0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    one = Cluster()
    one.start()
    yield one
    one.remove()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_commits_what_was_read_and_says_so_in_the_exit_code(
    database_url: str, number: signal.Signals, code: int, start: Start
) -> None:
    process = start(database_url, batch_seconds=3600)
    process.send_rows(250)
    until(lambda: table_there(database_url))
    time.sleep(0.5)
    process.popen.send_signal(number)
    time.sleep(0.02)
    process.popen.send_signal(number)  # Meltano sends two
    assert process.popen.wait(20) == code
    assert count(database_url) == 250
    assert process.states() == [200]


def table_there(url: str, name: str = "t") -> bool:
    with connect(url) as opened, opened.cursor() as cursor:
        cursor.execute(f"SELECT to_regclass('hubspot.{name}') IS NOT NULL")
        return cursor.fetchone() == (True,)


def test_a_signal_during_a_commit_waits_for_it(database_url: str, start: Start) -> None:
    process = start(database_url)
    process.send(schema("t", PROPERTIES, KEYS))
    until(lambda: table_there(database_url))
    blocker = psycopg2.connect(database_url)
    with blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE hubspot.t IN ACCESS EXCLUSIVE MODE")
    process.send_rows(300)
    time.sleep(1)
    for _ in range(3):
        process.popen.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    assert process.popen.poll() is None
    blocker.rollback()
    blocker.close()
    assert process.popen.wait(20) == 143
    assert count(database_url) == 300
    assert process.states()[-1] == 300


@pytest.mark.heavy
def test_kill_9_of_the_target_at_any_moment(database_url: str, start: Start) -> None:
    chance = random.Random(5)
    best = 0
    for _ in range(6):
        process = start(database_url)
        feeder = threading.Thread(target=process.send_rows, args=(20000,), daemon=True)
        feeder.start()
        time.sleep(0.7 + chance.random())
        process.popen.kill()
        process.popen.wait()
        feeder.join()
        states = process.states()
        best = max([best, *states])
        assert count(database_url) >= best
    process = start(database_url)
    process.send_rows(20000)
    assert process.end() == 0
    assert count(database_url) == 20000
    assert process.states()[-1] == 20000


def test_kill_9_of_the_server_in_mid_run(cluster: Cluster, start: Start) -> None:
    url = new_database(cluster.url, "db")
    process = start(url)
    feeder = threading.Thread(target=process.send_rows, args=(30000,), daemon=True)
    feeder.start()
    for _ in range(2):
        time.sleep(1)
        until(lambda: table_there(url))
        cluster.kill()
        time.sleep(0.5)
        cluster.start()
    feeder.join(60)
    assert process.end() == 0, process.log()
    assert count(url) == 30000
    assert process.states()[-1] == 30000
    assert process.states() == sorted(process.states())


def test_a_server_that_restarts_between_two_batches_is_waited_for(
    cluster: Cluster, start: Start
) -> None:
    url = new_database(cluster.url, "db")
    process = start(url)
    process.send_rows(100)
    until(lambda: process.states() == [100])
    cluster.restart()
    process.send_rows(100, start=100)
    until(lambda: process.states() == [100, 200])
    cluster.stop()
    process.send_rows(100, start=200)
    until(lambda: "trying again" in process.log())
    cluster.start()
    assert process.end() == 0, process.log()
    assert count(url) == 300


def test_a_server_that_stays_away_ends_the_run(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PAUSES", (0.05, 0.1))
    one = database.Database(cluster.url)
    one.check()
    cluster.stop()
    with pytest.raises(DatabaseError, match="the database refused: "):
        one.transaction(lambda cur: cur.execute("SELECT 1"))


def test_lost_connections_lose_and_double_nothing(database_url: str, start: Start) -> None:
    process = start(database_url)
    keyless = {
        "type": "SCHEMA",
        "stream": "log",
        "schema": {"properties": {"at": {"type": "integer"}}},
    }
    process.send(keyless)
    # Before the first connection was there, it is not known whether there ever will be one.
    until(lambda: table_there(database_url, "log"))
    stop = threading.Event()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError):
            for at in range(4000):
                process.send({"type": "RECORD", "stream": "log", "record": {"at": at}})
                time.sleep(0.0005)
        stop.set()

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    with connect(database_url) as admin, admin.cursor() as cursor:
        while not stop.is_set():
            time.sleep(0.4)
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'target-deals-postgres' AND datname = current_database()"
            )
    feeder.join()
    code = process.end()
    with connect(database_url) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT at) FROM hubspot.log")
        found = cursor.fetchone()
    if code == 0:
        assert found == (4000, 4000)
    else:  # it was not known whether a commit had happened: said, and nothing doubled
        assert "unknown whether they are stored" in process.log()
        assert found is not None
        assert found[0] == found[1]


class LosesCommits(psycopg2.extensions.connection):
    """A connection that is cut during COMMIT: after it was done."""

    lose = False

    def commit(self) -> None:
        super().commit()
        if LosesCommits.lose:
            LosesCommits.lose = False
            self.close()
            raise psycopg2.OperationalError("server closed the connection unexpectedly")


@pytest.mark.parametrize("keys", [["id"], []])
def test_a_commit_of_unknown_end_is_repeated_only_with_keys(
    pg: Loader, monkeypatch: pytest.MonkeyPatch, keys: list[str]
) -> None:
    connect_really = psycopg2.connect
    monkeypatch.setattr(
        psycopg2,
        "connect",
        lambda dsn, *_, **more: connect_really(dsn, connection_factory=LosesCommits, **more),
    )
    announced = pg.schema("t", {"id": "integer"}, keys)
    pg.load(announced)
    merge = Merge.load

    def load(self: Merge, *arguments: Any) -> Any:
        LosesCommits.lose = True
        monkeypatch.setattr(Merge, "load", merge)
        return merge(self, *arguments)

    monkeypatch.setattr(Merge, "load", load)
    messages = [announced, pg.records("t", {"id": 1}, {"id": 2}), pg.state(1)]
    if keys:
        assert pg.load(*messages) == [1]
    else:
        with pytest.raises(DatabaseError, match="unknown whether they are stored"):
            pg.load(*messages)
        assert pg.states == []
    monkeypatch.undo()
    assert pg.rows("SELECT count(*) FROM hubspot.t") == [(2,)]


def test_many_targets_at_once_make_one_table_and_lose_nothing(
    database_url: str, start: Start
) -> None:
    processes = [start(database_url) for _ in range(4)]
    feeders = [
        threading.Thread(
            target=process.send_rows, args=(3000,), kwargs={"tenant": f"tenant {at % 2}"}
        )
        for at, process in enumerate(processes)
    ]
    for feeder in feeders:
        feeder.start()
    for feeder in feeders:
        feeder.join()
    assert [process.end() for process in processes] == [0] * 4, [one.log() for one in processes]
    assert count(database_url) == 6000
    assert count(database_url, "_tenant_id = 'tenant 1'") == 3000


def test_two_runs_of_one_tenant_in_opposite_order_do_not_deadlock(pg: Loader, start: Start) -> None:
    pg.load(pg.schema("t", PROPERTIES, KEYS))
    processes = [start(pg.url, batch_size_rows=2000) for _ in range(2)]

    def feed(process: Process, step: int) -> None:
        process.send(schema("t", PROPERTIES, KEYS))
        for turn in range(4):
            process.send(*(record("a", at, f"{turn} {step}") for at in range(2000)[::step]))

    feeders = [
        threading.Thread(target=feed, args=(process, step))
        for process, step in zip(processes, (1, -1), strict=True)
    ]
    for feeder in feeders:
        feeder.start()
    for feeder in feeders:
        feeder.join()
    assert [process.end() for process in processes] == [0, 0], [one.log() for one in processes]
    assert count(pg.url) == 2000


def test_a_change_waits_for_a_reader_or_says_that_it_does_not(
    pg: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PAUSES", (0.01,))
    pg.load(pg.schema("t", {"id": "integer"}, ["id"]), pg.records("t", {"id": 1}))
    reader = psycopg2.connect(pg.url)
    with reader.cursor() as cursor:
        cursor.execute("SELECT * FROM hubspot.t")
    wider = pg.schema("t", {"id": "integer", "new": "string"}, ["id"])
    url = pg.url
    pg.url += "&options=" + quote("-c lock_timeout=200ms")
    with pytest.raises(DatabaseError, match="lock timeout"):
        pg.load(wider)
    pg.url = url
    threading.Timer(0.5, reader.rollback).start()
    pg.load(wider, pg.records("t", {"id": 2, "new": "x"}))
    reader.close()
    assert pg.rows("SELECT * FROM hubspot.t ORDER BY id") == [(1, None), (2, "x")]


@pytest.mark.heavy
def test_a_full_disk_ends_the_run_and_what_was_committed_stays(
    start: Start,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    cluster = Cluster()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=110m,mode=0711", "tmpfs", cluster.root],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        cluster.remove()
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        url = new_database(cluster.start(), "db")
        process = start(url)
        random_text = random.Random(1).randbytes(1500).hex()
        process.send_rows(100000, v=random_text)
        assert process.end() == 1
        assert "could not" in process.log()
        assert "Traceback" not in process.log()
        states = process.states()
        assert states
        assert count(url) >= states[-1]
    finally:
        cluster.server.stop(signal.SIGQUIT)
        subprocess.run(["umount", cluster.root], check=True)
        cluster.remove()


@pytest.mark.parametrize("version", sorted(binaries()))
def test_every_version_of_the_machine_loads(version: str, pg: Loader) -> None:
    cluster = Cluster(version, timezone="Asia/Kathmandu")
    try:
        pg.url = new_database(cluster.start(), "db")
        moment = {"type": ["string", "null"], "format": "date-time"}
        deals = {"_tenant_id": "string", "id": "string", "read_at": moment, "amount": "number"}
        links = dict.fromkeys(
            ("_tenant_id", "from_object_type", "from_id", "to_object_type", "to_id"), "string"
        )
        for amount in (1.5, 2.5):
            pg.load(
                pg.schema("associations", {**links, "read_at": moment}, list(links)),
                pg.schema("deals", deals, ["_tenant_id", "id"]),
                pg.records(
                    "associations",
                    {
                        "_tenant_id": "a",
                        "from_object_type": "deals",
                        "from_id": "1",
                        "to_object_type": "contacts",
                        "to_id": "2",
                        "read_at": "2026-01-01T00:00:00Z",
                    },
                ),
                pg.records(
                    "deals",
                    {
                        "_tenant_id": "a",
                        "id": "1",
                        "read_at": "2026-01-01T00:00:00Z",
                        "amount": amount,
                    },
                    version=1,
                ),
                pg.records("deals", {"_tenant_id": "a", "id": "2"}, version=1),
                pg.activate("deals", 1),
                row_level_security=True,
            )
        assert pg.rows("SELECT amount FROM hubspot.deals WHERE id = '1'") == [(2.5,)]
        assert pg.rows("SELECT to_id FROM hubspot.current_associations") == [("2",)]
        assert f"{version}." in pg.rows("SELECT version()")[0][0]
    finally:
        cluster.remove()
