"""`overwrite`: after a good run a table holds of its tenants exactly what the run brought."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from harness.database import connect
from target_deals_postgres.config import settings_of
from target_deals_postgres.errors import (
    DatabaseRefusedError,
    DatabaseUnreachableError,
    InputCutError,
    InputError,
    RejectedRecordsError,
)
from target_deals_postgres.target import TargetDealsPostgres

if TYPE_CHECKING:
    from harness.loading import Start
    from target.conftest import Loader

KEYS = ["_tenant_id", "id"]
PROPERTIES = {"_tenant_id": "string", "id": "integer", "name": "string"}


def of(tenant: str, *ids: int, name: str = "old", **more: Any) -> list[dict[str, Any]]:
    return [{"_tenant_id": tenant, "id": one, "name": name, **more} for one in ids]


def full(pg: Loader, *records: dict[str, Any], **settings: Any) -> list[Any]:
    return pg.load(
        pg.schema("t", PROPERTIES, KEYS),
        pg.records("t", *records),
        pg.state("new"),
        **{"overwrite": ["t"], **settings},
    )


def before(pg: Loader, **settings: Any) -> None:
    pg.load(
        pg.schema("t", PROPERTIES, KEYS),
        pg.records("t", *of("a", 1, 2, 3), *of("b", 1, 9)),
        **settings,
    )


def table(pg: Loader) -> list[tuple[Any, ...]]:
    return pg.rows("SELECT _tenant_id, id, name FROM hubspot.t ORDER BY 1, 2, 3")


OLD = [("a", 1, "old"), ("a", 2, "old"), ("a", 3, "old"), ("b", 1, "old"), ("b", 9, "old")]
B = [("b", 1, "old"), ("b", 9, "old")]


@pytest.mark.every_version
def test_a_tenant_has_exactly_what_the_run_brought_and_others_have_what_they_had(
    pg: Loader,
) -> None:
    before(pg)

    states = full(pg, *of("a", 2), *of("a", 3, 4, name="new"), batch_size_rows=1)

    assert table(pg) == [("a", 2, "old"), ("a", 3, "new"), ("a", 4, "new"), *B]
    assert states == ["new"]
    assert pg.rows(
        "SELECT processed, created, updated, unchanged, superseded, rejected, deleted, state "
        "FROM hubspot._loads ORDER BY started_at DESC LIMIT 1"
    ) == [(3, 1, 1, 1, 0, 0, 1, "completed")]


def test_a_row_that_stays_is_not_written(pg: Loader) -> None:
    before(pg)
    place = "SELECT id, ctid::text FROM hubspot.t WHERE _tenant_id = 'a' AND id < 3 ORDER BY 1"
    places = pg.rows(place)

    full(pg, *of("a", 1, 2), add_record_metadata=True)
    full(pg, *of("a", 1, 2), add_record_metadata=True)

    assert [id_ for id_, _ in pg.rows(place)] == [1, 2]
    assert pg.rows(place) == places


def test_values_that_a_record_does_not_bring_are_gone(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {**PROPERTIES, "gone": "integer"}, KEYS),
        pg.records("t", *of("a", 1, gone=7), *of("a", 2, more=1), *of("b", 1, gone=8)),
    )
    pg.rows("ALTER TABLE hubspot.t ADD COLUMN own int DEFAULT 5")

    pg.load(
        pg.schema("t", PROPERTIES, KEYS),
        pg.records("t", {"_tenant_id": "a", "id": 1}, *of("a", 2)),
        pg.state(1),
        overwrite=True,
    )

    assert pg.rows(
        "SELECT _tenant_id, id, name, gone, _extra, own FROM hubspot.t ORDER BY 1, 2"
    ) == [
        ("a", 1, None, None, None, 5),
        ("a", 2, "old", None, None, 5),
        ("b", 1, "old", 8, None, 5),
    ]


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_what_comes_of_one_key_is_one_row_whatever_the_batches(pg: Loader, batch: int) -> None:
    before(pg)

    pg.load(
        pg.schema("t", PROPERTIES, KEYS),
        pg.records("t", *of("a", 1, name="x"), {"_tenant_id": "a", "id": 1, "odd": 1}),
        pg.schema("t", {**PROPERTIES, "n": "integer"}, KEYS),
        pg.records("t", {"_tenant_id": "a", "id": 1, "n": 2**70}),
        pg.schema("t", {**PROPERTIES, "n": "string"}, KEYS),
        pg.records("t", {"_tenant_id": "a", "id": 2, "n": "text"}),
        pg.state(1),
        overwrite=["?"],
        batch_size_rows=batch,
    )

    assert pg.rows(
        "SELECT id, name, n, n__text, _extra FROM hubspot.t WHERE _tenant_id = 'a' ORDER BY 1"
    ) == [(1, "x", 2**70, None, {"odd": 1}), (2, None, None, "text", None)]
    assert pg.rows("SELECT count(*) FROM hubspot.t WHERE _tenant_id = 'b'") == [(2,)]


def test_without_a_key_and_append_only_all_rows_of_the_tenant_are_others(pg: Loader) -> None:
    for settings in ({}, {"load_method": "append-only"}):
        pg.rows("DROP SCHEMA IF EXISTS hubspot CASCADE")
        schema = pg.schema("t", PROPERTIES)
        pg.load(schema, pg.records("t", *of("a", 1, 1, 2), *of("b", 1)))

        pg.load(schema, pg.records("t", *of("a", 1, 5, 5)), pg.state(1), overwrite=True, **settings)

        assert table(pg) == [("a", 1, "old"), ("a", 5, "old"), ("a", 5, "old"), ("b", 1, "old")]


def test_a_table_without_tenants_is_overwritten_as_a_whole(pg: Loader) -> None:
    schema = pg.schema("t", {"id": "integer"}, ["id"])
    pg.load(schema, pg.records("t", {"id": 1}, {"id": 2}))

    pg.load(schema, pg.records("t", {"id": 2}), pg.state(1), load_method="overwrite")
    assert pg.rows("SELECT id FROM hubspot.t") == [(2,)]

    pg.load(schema, pg.state(2), load_method="overwrite")
    assert pg.rows("SELECT id FROM hubspot.t") == []
    assert "no record came, so no row is left" in pg.log


def test_a_stream_without_records_empties_only_the_tenant_that_its_schema_names(
    pg: Loader,
) -> None:
    before(pg)

    pg.load(pg.schema("t", PROPERTIES, KEYS), pg.state(1), overwrite=True)
    assert table(pg) == OLD
    assert "not known whose rows to overwrite" in pg.log

    schema = pg.schema("t", PROPERTIES, KEYS)
    assert isinstance(schema, dict)
    schema["schema"]["x-tenant-id"] = "a"
    pg.load(schema, pg.state(1), overwrite=True)
    assert table(pg) == B


def test_other_streams_and_unmatched_patterns_are_left_alone_and_told(pg: Loader) -> None:
    before(pg)

    pg.load(
        pg.schema("t", PROPERTIES, KEYS),
        pg.records("t", *of("a", 4)),
        pg.state(1),
        overwrite=["u", "v*"],
    )

    assert table(pg) == sorted([*OLD, ("a", 4, "old")])
    assert "no stream of this run is called u" in pg.log


def test_a_row_that_says_it_is_deleted_is_marked_or_with_hard_delete_gone(pg: Loader) -> None:
    moment = "2026-01-01T00:00:00Z"
    for hard, left in ((False, [(1, False), (2, True)]), (True, [(1, False)])):
        before(pg)
        full(pg, *of("a", 1), *of("a", 2, _sdc_deleted_at=moment), hard_delete=hard)

        assert (
            pg.rows(
                "SELECT id, _sdc_deleted_at IS NOT NULL FROM hubspot.t "
                "WHERE _tenant_id = 'a' ORDER BY 1"
            )
            == left
        )


def test_a_tenant_of_whom_all_is_deleted_has_nothing_left(pg: Loader) -> None:
    before(pg)

    full(pg, *of("a", 1, _sdc_deleted_at="2026-01-01T00:00:00Z"), hard_delete=True)

    assert table(pg) == B


def test_versions_of_a_tap_do_no_harm(pg: Loader) -> None:
    schema = pg.schema("t", PROPERTIES, KEYS)
    pg.load(schema, pg.records("t", *of("a", 1, 2), version=1), pg.activate("t", 1))

    for version in (2, 3):
        pg.load(
            schema,
            pg.activate("t", version),
            pg.records("t", *of("a", 2), version=version),
            pg.activate("t", version),
            overwrite=True,
        )
        assert table(pg) == [("a", 2, "old")]

    pg.load(schema, pg.records("t", *of("a", 2, 3), version=4), pg.activate("t", 4))
    pg.load(schema, pg.records("t", *of("a", 3), version=5), pg.activate("t", 5), hard_delete=True)
    assert table(pg) == [("a", 3, "old")]


@pytest.mark.parametrize("given", ["true", '["t"]', "t", '["u", "?"]'])
def test_the_environment_may_say_it(
    pg: Loader, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("TARGET_DEALS_POSTGRES_OVERWRITE", given)

    target = TargetDealsPostgres(config={"database_url": pg.url}, parse_env_config=True)

    assert settings_of(target.config).overwrites("t")


# What keeps the old rows


@pytest.mark.parametrize(
    "cut",
    ["records", "schema", "between", "syncing", "torn", "leading"],
)
def test_a_cut_input_leaves_the_old_rows_and_emits_no_state(pg: Loader, cut: str) -> None:
    before(pg)
    schema = pg.schema("t", PROPERTIES, KEYS, **{"x-tenant-id": "a"})
    messages: Any = {
        "records": [schema, pg.records("t", *of("a", 7))],
        "schema": [schema],
        "between": [
            schema,
            pg.records("t", *of("a", 7)),
            pg.state(1),
            pg.records("t", *of("a", 8)),
        ],
        "syncing": [schema, pg.records("t", *of("a", 7)), pg.state({"currently_syncing": "t"})],
        "torn": [schema, pg.records("t", *of("a", 7)), pg.state(1), '{"type": "RECO'],
        "leading": [schema, pg.activate("t", 1)],
    }[cut]

    with pytest.raises(InputError if cut == "torn" else InputCutError):
        pg.load(*messages, overwrite=True, batch_size_rows=1)

    assert table(pg) == OLD
    assert pg.states == []
    code = "input_invalid" if cut == "torn" else "input_cut"
    assert pg.rows("SELECT state, code FROM hubspot._loads ORDER BY started_at DESC LIMIT 1") == [
        ("failed", code)
    ]


def test_one_incomplete_stream_keeps_all_from_being_overwritten(pg: Loader) -> None:
    before(pg)

    with pytest.raises(InputCutError, match="last message of u"):
        pg.load(
            pg.schema("t", PROPERTIES, KEYS),
            pg.records("t", *of("a", 7)),
            pg.state(1),
            pg.schema("u", PROPERTIES, KEYS),
            overwrite=True,
        )

    assert table(pg) == OLD


def test_rejected_records_fail_the_run_and_leave_the_old_rows(pg: Loader) -> None:
    before(pg)
    bad = {"_tenant_id": "a", "id": 1, "name": 5}

    with pytest.raises(RejectedRecordsError, match="nothing is overwritten"):
        full(pg, bad, *of("a", 7))

    assert table(pg) == OLD
    assert pg.states == []
    assert "nothing is overwritten" in pg.log


def test_where_rejected_records_are_allowed_they_are_missing_and_listed(pg: Loader) -> None:
    before(pg)
    bad = [{"_tenant_id": one, "id": 1, "name": 5} for one in "ab"]

    states = full(pg, *bad, *of("a", 7), max_rejected_records=-1)

    assert table(pg) == [("a", 7, "old"), *B]  # of b nothing could be taken at all
    assert states == ["new"]
    assert pg.rows("SELECT record_key FROM hubspot._rejected_records ORDER BY 1") == [
        ('{"_tenant_id":"a","id":1}',),
        ('{"_tenant_id":"b","id":1}',),
    ]
    assert "the rows from before stay of 1 tenants" in pg.log


def test_rejected_records_of_before_are_overtaken_and_never_tried_again(pg: Loader) -> None:
    bad = {"_tenant_id": "a", "id": 5, "name": 5}
    pg.load(pg.schema("t", PROPERTIES, KEYS), pg.records("t", bad), max_rejected_records=-1)

    full(pg, *of("a", 1), replay_rejected_records=True)

    assert pg.rows("SELECT overtaken FROM hubspot._rejected_records") == [(True,)]
    assert table(pg) == [("a", 1, "old")]


def test_a_key_of_another_tenant_is_never_taken(pg: Loader) -> None:
    schema = pg.schema("t", PROPERTIES, ["id"])
    pg.load(schema, pg.records("t", *of("a", 1), *of("b", 2)))

    with pytest.raises(DatabaseRefusedError, match="duplicate key"):
        pg.load(schema, pg.records("t", *of("a", 2)), pg.state(1), overwrite=True)

    assert table(pg) == [("a", 1, "old"), ("b", 2, "old")]
    assert pg.states == []


def test_a_lost_connection_ends_the_run_and_leaves_the_old_rows(pg: Loader) -> None:
    before(pg)
    target = TargetDealsPostgres(
        config={"database_url": pg.url, "overwrite": True, "batch_size_rows": 1}
    )

    class Input:
        def __iter__(self) -> Any:
            yield json.dumps(pg.schema("t", PROPERTIES, KEYS)) + "\n"
            for at in (7, 8):
                for one in pg.records("t", *of("a", at)):
                    yield json.dumps(one) + "\n"
                time.sleep(0.1)
                if at == 7:
                    pg.rows(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
                        "current_database() AND application_name = 'target-deals-postgres'"
                    )
            yield json.dumps(pg.state(1)) + "\n"

    with pytest.raises(DatabaseUnreachableError, match="run it again"):
        target.listen(Input())  # type: ignore[arg-type]
    target.run.abandon()

    assert table(pg) == OLD


def test_a_dry_run_counts_and_changes_nothing(pg: Loader) -> None:
    before(pg)

    assert full(pg, *of("a", 1, 7), *of("a", 2, name="new"), dry_run=True, batch_size_rows=1) == []

    assert table(pg) == OLD
    assert "t: 3 processed, 1 created, 1 updated, 1 unchanged" in pg.log


def test_readers_see_the_old_rows_until_all_new_ones_are_there(pg: Loader, start: Start) -> None:
    before(pg)
    process = start(pg.url, overwrite=True, batch_size_rows=1)
    process.send(pg.schema("t", PROPERTIES, KEYS), *pg.records("t", *of("a", *range(10, 20))))
    while not pg.rows("SELECT 1 FROM hubspot._loads WHERE state = 'running' AND processed = 10"):
        time.sleep(0.02)

    assert table(pg) == OLD
    process.send(pg.state(1))
    with connect(pg.url) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT FROM hubspot.t LIMIT 1")  # a reader's lock is in nobody's way
        assert process.end() == 0
    assert table(pg) == [*(("a", at, "old") for at in range(10, 20)), *B]


@pytest.mark.parametrize("keys", [KEYS, []])
def test_runs_that_overwrite_one_tenant_at_once_leave_the_rows_of_one(
    pg: Loader, start: Start, keys: list[str]
) -> None:
    pg.load(pg.schema("t", PROPERTIES, keys), pg.records("t", *of("a", 1, 2)))
    processes = [start(pg.url, overwrite=True) for _ in range(3)]
    for at, process in enumerate(processes):
        rows = pg.records("t", *of("a", *range(5), name=str(at)))
        process.send(pg.schema("t", PROPERTIES, keys), *rows, pg.state(at))
    for process in processes:
        assert process.popen.stdin is not None
        process.popen.stdin.close()

    assert [process.popen.wait(60) for process in processes] == [0, 0, 0]
    assert [id_ for _, id_, _ in table(pg)] == [0, 1, 2, 3, 4]
    assert len({name for _, _, name in table(pg)}) == 1


@pytest.mark.parametrize("signal", ["kill", "terminate"])
def test_a_killed_or_interrupted_run_leaves_the_old_rows(
    pg: Loader, start: Start, signal: str
) -> None:
    before(pg)
    process = start(pg.url, overwrite=True, batch_size_rows=1)
    process.send(pg.schema("t", PROPERTIES, KEYS), *pg.records("t", *of("a", 7, 8)), pg.state(1))
    while not pg.rows("SELECT 1 FROM hubspot._loads WHERE state = 'running' AND processed = 2"):
        time.sleep(0.02)

    getattr(process.popen, signal)()

    assert process.end() != 0
    assert table(pg) == OLD
    assert process.states() == []


def test_row_level_security_holds_for_what_is_overwritten(pg: Loader) -> None:
    before(pg, row_level_security=True)

    full(pg, *of("a", 7), row_level_security=True)

    with connect(pg.url) as opened, opened.cursor() as cursor:
        cursor.execute("SET app.loader = 'on'")
        cursor.execute("SELECT _tenant_id, id FROM hubspot.t ORDER BY 1, 2")
        assert cursor.fetchall() == [("a", 7), ("b", 1), ("b", 9)]


def test_a_column_with_a_sequence_of_its_own_goes_on_by_itself(pg: Loader) -> None:
    before(pg)
    pg.rows("ALTER TABLE hubspot.t ADD COLUMN number int GENERATED ALWAYS AS IDENTITY")

    full(pg, *of("a", 2, name="new"), *of("a", 7))

    assert pg.rows("SELECT id, number FROM hubspot.t WHERE _tenant_id = 'a' ORDER BY 1") == [
        (2, 2),
        (7, 6),
    ]
