"""What `_loads` says of each run is true: of its end, of its tenants, of what was stored."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from harness.database import connect
from harness.loading import until
from target_deals_postgres.errors import (
    DatabaseError,
    InputError,
    RejectedRecordsError,
    StreamMapError,
)
from target_deals_postgres.target import TargetDealsPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.loading import Start
    from target.conftest import Loader

COUNTS = "processed, created, updated, unchanged, superseded, rejected, deleted"
PROPERTIES = {"_tenant_id": "string", "id": "integer", "d": {"type": "string", "format": "date"}}


def loads(
    pg: Loader, columns: str = f"stream, _tenant_id, {COUNTS}, state, code"
) -> list[tuple[Any, ...]]:
    return pg.rows(f"SELECT {columns} FROM hubspot._loads ORDER BY started_at, stream")


def deal(pg: Loader, tenant: str, at: int, d: str = "2026-01-01") -> Any:
    return pg.records("deals", {"_tenant_id": tenant, "id": at, "d": d})


def test_each_run_has_a_row_for_each_stream(pg: Loader) -> None:
    deals = pg.schema("deals", PROPERTIES, ["_tenant_id", "id"])
    empty = pg.schema("empty", {"id": "integer"}, ["id"])
    pg.load(deals, empty, deal(pg, "a", 1), deal(pg, "a", 2), deal(pg, "a", 2))
    pg.load(deals, deal(pg, "a", 1), deal(pg, "a", 2, "2026-02-02"), deal(pg, "a", 3))

    assert loads(pg) == [
        ("deals", "a", 3, 2, 0, 0, 1, 0, 0, "completed", None),
        ("empty", None, 0, 0, 0, 0, 0, 0, 0, "completed", None),
        ("deals", "a", 3, 1, 1, 1, 0, 0, 0, "completed", None),
    ]
    assert loads(pg, "started_at <= stored_at AND stored_at <= finished_at") == [(True,)] * 3
    assert pg.rows("SELECT count(DISTINCT run_id) FROM hubspot._loads") == [(2,)]


def test_a_commit_writes_the_rows_of_the_streams_that_it_stores(pg: Loader) -> None:
    deals, owners = (pg.schema(name, {"id": "integer"}, ["id"]) for name in ("deals", "owners"))
    pg.load(
        deals,
        owners,
        pg.records("owners", {"id": 1}),
        *(pg.records("deals", {"id": at}) for at in range(3)),
        batch_size_rows=1,
    )
    assert loads(pg, "stream, processed, created") == [("deals", 3, 3), ("owners", 1, 1)]
    assert pg.rows("SELECT stream FROM hubspot._loads ORDER BY stored_at") == [
        ("owners",),
        ("deals",),
    ]


@pytest.mark.every_version
def test_the_view_shows_the_last_load_of_each_stream_and_tenant(pg: Loader) -> None:
    deals = pg.schema("deals", PROPERTIES, ["_tenant_id", "id"])
    for tenant, at in (("a", 1), ("b", 1), ("a", 2)):
        pg.load(deals, deal(pg, tenant, at))

    assert pg.rows(
        "SELECT _tenant_id, created, state FROM hubspot._latest_loads ORDER BY _tenant_id"
    ) == [("a", 1, "completed"), ("b", 1, "completed")]
    assert pg.rows(
        "SELECT l.started_at = max(o.started_at) FROM hubspot._latest_loads l "
        "JOIN hubspot._loads o USING (_tenant_id) WHERE _tenant_id = 'a' GROUP BY l.started_at"
    ) == [(True,)]


def test_several_tenants_in_a_stream_are_all_named_and_none_alone(pg: Loader) -> None:
    deals = pg.schema("deals", PROPERTIES, ["_tenant_id", "id"])
    pg.load(deals, deal(pg, "b", 1), deal(pg, "a", 1))

    assert loads(pg, "_tenant_id, tenants") == [(None, ["a", "b"])]


def test_rejected_and_deleted_records_are_counted(pg: Loader) -> None:
    deals = pg.schema("deals", PROPERTIES, ["_tenant_id", "id"])
    with pytest.raises(RejectedRecordsError):
        pg.load(deals, deal(pg, "a", 1), deal(pg, "a", 2, "2026-02-31"), deal(pg, "a", 3, "x"))
    pg.load(
        deals,
        *(pg.records("deals", {"_tenant_id": "a", "id": 7, "d": None}, version=2),),
        pg.activate("deals", 2),
    )
    gone = {"_tenant_id": "a", "id": 7, "d": None, "_sdc_deleted_at": "2026-01-01T00:00:00Z"}
    pg.load(deals, pg.records("deals", gone), hard_delete=True)

    found = loads(pg, "processed, rejected, deleted, state, code")
    assert found[0] == (3, 2, 0, "failed", "records_rejected")
    assert found[1] == (1, 0, 1, "completed", None)
    assert found[2] == (1, 0, 1, "completed", None)


def test_a_run_that_fails_says_so_with_what_it_stored(pg: Loader) -> None:
    deals = pg.schema("deals", PROPERTIES, ["_tenant_id", "id"])
    with pytest.raises(InputError):
        pg.load(deals, deal(pg, "a", 1), "nonsense")

    assert loads(pg, "processed, created, state, code") == [(1, 1, "failed", "input_invalid")]


def test_a_run_that_a_stream_map_ends_says_so(pg: Loader) -> None:
    deals = pg.schema("deals", PROPERTIES, ["_tenant_id", "id"])
    other = pg.schema("other", {"id": "integer"}, ["id"])
    for parts in ({"id": "=="}, {"__key_properties__": ["x"]}):
        with pytest.raises(StreamMapError):
            pg.load(deals, deal(pg, "a", 1), other, stream_maps={"other": parts})

    assert loads(pg, "stream, state, code") == [("deals", "failed", "stream_map_failed")] * 2


def test_a_stream_whose_table_cannot_be_made_has_its_row_too(pg: Loader) -> None:
    deals, other = (pg.schema(name, {"id": "integer"}, ["id"]) for name in ("deals", "other"))
    pg.rows("CREATE SCHEMA hubspot; CREATE VIEW hubspot.other AS SELECT 1 AS id")
    for messages in ([other], [deals, pg.records("deals", {"id": 1}), other]):
        with pytest.raises(DatabaseError):
            pg.load(*messages)

    failed = ("failed", "database_refused")
    assert loads(pg, "stream, created, state, code") == [
        ("other", 0, *failed),
        ("deals", 1, *failed),
        ("other", 0, *failed),
    ]


def test_the_log_tells_programs_the_counts_of_each_row_whatever_ended_the_run(
    pg: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    deals = pg.schema("deals", PROPERTIES, ["_tenant_id", "id"])
    pg.load(deals, deal(pg, "a", 1), deal(pg, "a", 1), deal(pg, "a", 2))
    with pytest.raises(InputError):
        pg.load(deals, deal(pg, "a", 2), deal(pg, "a", 3), "nonsense", deal(pg, "a", 4))

    told = [record.load for record in caplog.records if hasattr(record, "load")]
    assert [tuple(each.values()) for each in told] == loads(pg, f"stream, {COUNTS}, nulled")
    assert [each["created"] for each in told] == [2, 1]


def test_a_killed_run_is_lost_and_its_row_tells_what_it_stored(pg: Loader, start: Start) -> None:
    process = start(pg.url)
    process.send_rows(1000)
    until(
        lambda: (
            bool(pg.rows("SELECT 1 FROM pg_tables WHERE tablename = '_loads'"))
            and loads(pg, "processed")[:1] == [(1000,)]
        )
    )
    latest = "SELECT processed, created, state FROM hubspot._latest_loads"
    assert pg.rows(latest) == [(1000, 1000, "running")]
    process.popen.kill()
    process.popen.wait()
    until(lambda: pg.rows(latest) == [(1000, 1000, "lost")])
    assert pg.rows("SELECT count(*) FROM hubspot.t") == [(1000,)]

    pg.load(pg.schema("deals", PROPERTIES, ["_tenant_id", "id"]))

    assert loads(pg, "stream, state, finished_at >= stored_at") == [
        ("t", "lost", True),
        ("deals", "completed", True),
    ]


def test_an_interrupted_run_says_so(pg: Loader, start: Start) -> None:
    process = start(pg.url)
    process.send_rows(300)
    until(
        lambda: (
            bool(pg.rows("SELECT 1 FROM pg_tables WHERE tablename = '_loads'"))
            and loads(pg, "processed")[:1] == [(300,)]
        )
    )
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(60) == 143

    assert loads(pg, "processed, created, state, code") == [
        (300, 300, "interrupted", "interrupted")
    ]


def test_a_dry_run_and_a_run_without_the_setting_leave_no_row(pg: Loader) -> None:
    deals = pg.schema("deals", PROPERTIES, ["_tenant_id", "id"])
    pg.load(deals, deal(pg, "a", 1), dry_run=True)
    pg.load(deals, deal(pg, "a", 1), loads=False)

    assert pg.rows(
        "SELECT to_regclass('hubspot._loads'), to_regclass('hubspot._latest_loads')"
    ) == [(None, None)]
    assert pg.rows("SELECT count(*) FROM hubspot.deals") == [(1,)]


def test_a_role_that_may_not_create_loads_all_the_same(pg: Loader) -> None:
    deals = pg.schema("deals", PROPERTIES, ["_tenant_id", "id"])
    pg.load(deals, deal(pg, "a", 1), loads=False)
    with connect(pg.url) as opened, opened.cursor() as cur:
        cur.execute("DROP ROLE IF EXISTS small_loader; CREATE ROLE small_loader LOGIN")
        cur.execute("GRANT USAGE ON SCHEMA hubspot TO small_loader")
        cur.execute("GRANT SELECT, INSERT, UPDATE ON hubspot.deals TO small_loader")
    parts = urlsplit(pg.url)
    url = urlunsplit(parts._replace(netloc=parts.netloc.replace("postgres@", "small_loader@")))

    pg.load(deals, deal(pg, "a", 2), database_url=url)

    assert pg.rows("SELECT count(*) FROM hubspot.deals") == [(2,)]
    assert "_loads is not kept (permission denied" in pg.log


@pytest.mark.every_version
def test_a_run_whose_list_of_loads_is_gone_loads_all_the_same(pg: Loader) -> None:
    def messages() -> Iterator[str]:
        yield json.dumps(pg.schema("deals", PROPERTIES, ["_tenant_id", "id"])) + "\n"
        pg.rows("DROP TABLE hubspot._loads CASCADE")
        for at in range(2):
            yield json.dumps(deal(pg, "a", at)[0]) + "\n"

    target = TargetDealsPostgres(config={"database_url": pg.url})
    target.listen(messages())  # type: ignore[arg-type]
    assert pg.rows("SELECT id FROM hubspot.deals ORDER BY 1") == [(0,), (1,)]
    assert "hubspot._loads is not kept" in pg.log


def test_a_tenant_sees_its_own_loads_alone(pg: Loader) -> None:
    deals = pg.schema("deals", PROPERTIES, ["_tenant_id", "id"])
    for tenant in ("a", "b"):
        pg.load(deals, deal(pg, tenant, 1), row_level_security=True)
    pg.load(deals, deal(pg, "a", 2), deal(pg, "b", 2), row_level_security=True)
    with connect(pg.url) as opened, opened.cursor() as cur:
        cur.execute("DROP ROLE IF EXISTS loads_reader; CREATE ROLE loads_reader")
        cur.execute("GRANT USAGE ON SCHEMA hubspot TO loads_reader")
        cur.execute("GRANT SELECT ON ALL TABLES IN SCHEMA hubspot TO loads_reader")
        cur.execute("SET ROLE loads_reader; SET app.tenant_id = 'b'")
        for table in ("_loads", "_latest_loads"):
            cur.execute(f"SELECT _tenant_id FROM hubspot.{table}")
            assert cur.fetchall() == [("b",)]
