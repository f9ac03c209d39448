"""What a table holds after a load: the last row of each key, and nothing written for nothing."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from target_deals_postgres.errors import (
    DatabaseError,
    KeyMissingError,
    RejectedRecordsError,
)
from target_deals_postgres.tables.staging import place_of

if TYPE_CHECKING:
    from target.conftest import Loader

pytestmark = pytest.mark.every_version

AB = {"id": "integer", "a": "string", "b": "string"}


def test_the_last_of_several_records_of_a_key_wins(pg: Loader) -> None:
    pg.load(
        pg.schema("t", AB, ["id"]),
        pg.records("t", *({"id": at % 3, "a": str(at), "b": "x"} for at in range(100))),
    )
    assert pg.rows("SELECT id, a FROM hubspot.t ORDER BY id") == [(0, "99"), (1, "97"), (2, "98")]
    assert "t: 100 processed, 3 created, 0 updated, 0 unchanged, 97 superseded, 0 failed" in pg.log


def test_keys_with_separators_do_not_collide(pg: Loader) -> None:
    keys = [
        ("x,y", "z"),
        ("x", "y,z"),
        ("a\tb", "c"),
        ("a", "b\tc"),
        ("", "n"),
        ("n", ""),
        ("\\", "\\\\"),
    ]
    pg.load(
        pg.schema("t", {"a": "string", "b": "string"}, ["a", "b"]),
        pg.records("t", *({"a": a, "b": b} for a, b in keys)),
    )
    assert sorted(pg.rows("SELECT a, b FROM hubspot.t")) == sorted(keys)


def test_columns_may_be_called_like_the_stages(pg: Loader) -> None:
    schema = pg.schema("s", {"c1": "integer", "c0": "string", "present": "string"}, ["c1"])
    for value in ("x", "y"):
        pg.load(schema, pg.records("s", {"c1": 1, "c0": value, "present": "1"}))
    pg.load(schema, pg.records("s", {"c1": 1, "c0": "z"}, {"c1": 2, "c0": "w", "present": "0"}))
    assert pg.rows("SELECT c1, c0, present FROM hubspot.s ORDER BY c1") == [
        (1, "z", "1"),
        (2, "w", "0"),
    ]


def test_an_identical_load_writes_nothing(pg: Loader) -> None:
    messages = [
        pg.schema("t", {**AB, "n": "number", "o": "object"}, ["id"]),
        pg.records(
            "t", *({"id": at, "a": "x", "b": None, "n": 1.0, "o": {"a": 1}} for at in range(20_000))
        ),
    ]
    pg.load(*messages)
    before = pg.rows("SELECT sum(xmin::text::bigint), pg_relation_size('hubspot.t') FROM hubspot.t")
    [(start,)] = pg.rows("SELECT pg_current_wal_insert_lsn()::text")
    pg.load(*messages)
    [(wal,)] = pg.rows("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", start)
    after = pg.rows("SELECT sum(xmin::text::bigint), pg_relation_size('hubspot.t') FROM hubspot.t")
    assert after == before
    assert (
        "t: 20000 processed, 0 created, 0 updated, 20000 unchanged, 0 superseded, 0 failed"
        in pg.log
    )
    assert wal < 400_000  # the stage's catalog rows; 20,000 locked rows would be over a million


def test_only_changed_rows_are_written(pg: Loader) -> None:
    schema = pg.schema("t", AB, ["id"])
    pg.load(schema, pg.records("t", *({"id": at, "a": "x", "b": "y"} for at in range(10))))
    pg.load(
        schema,
        pg.records("t", *({"id": at, "a": "x", "b": "z" if at < 3 else "y"} for at in range(10))),
    )
    assert "t: 10 processed, 0 created, 3 updated, 7 unchanged, 0 superseded, 0 failed" in pg.log
    assert len(pg.rows("SELECT DISTINCT xmin::text FROM hubspot.t")) == 2


def test_null_is_not_the_same_as_missing(pg: Loader) -> None:
    schema = pg.schema("t", AB, ["id"])
    pg.load(schema, pg.records("t", *({"id": at, "a": "a", "b": "b"} for at in range(4))))
    pg.load(
        schema,
        pg.records("t", {"id": 0, "a": None}, {"id": 1, "b": None}, {"id": 2}, {"id": 4, "b": "n"}),
    )
    assert pg.rows("SELECT * FROM hubspot.t ORDER BY id") == [
        (0, None, "b"),
        (1, "a", None),
        (2, "a", "b"),
        (3, "a", "b"),
        (4, None, "n"),
    ]


def test_records_that_all_lack_the_same_field_keep_it(pg: Loader) -> None:
    schema = pg.schema("t", AB, ["id"])
    pg.load(schema, pg.records("t", {"id": 1, "a": "a", "b": "b"}))
    pg.load(schema, pg.records("t", {"id": 1, "a": "new"}, {"id": 2, "a": "new"}))
    assert pg.rows("SELECT * FROM hubspot.t ORDER BY id") == [(1, "new", "b"), (2, "new", None)]


partial = st.fixed_dictionaries(
    {"id": st.integers(0, 3)},
    optional={name: st.sampled_from([None, "1", "2", ""]) for name in ("a", "b", "c", "d")},
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    runs=st.lists(st.lists(partial, min_size=1, max_size=12), min_size=1, max_size=3),
    size=st.integers(1, 8),
)
def test_any_mixture_of_fields_ends_as_if_applied_one_by_one(
    pg: Loader, runs: list[list[dict[str, Any]]], size: int
) -> None:
    pg.rows("DROP TABLE IF EXISTS hubspot.t")
    expected: dict[int, dict[str, Any]] = {}
    for run in runs:
        schema = pg.schema("t", {"id": "integer", **dict.fromkeys("abc", "string")}, ["id"])
        pg.load(schema, pg.records("t", *run), batch_size_rows=size)
        for record in run:
            extra = {name: record[name] for name in record if name == "d"}
            row = expected.setdefault(record["id"], {"a": None, "b": None, "c": None, "extra": {}})
            row.update({name: record[name] for name in record if name in "abc"})
            row["extra"] = {**row["extra"], **extra}
    has_extra = "_extra" in pg.types("t")
    found = {
        row[0]: {"a": row[1], "b": row[2], "c": row[3], "extra": row[4] or {}}
        for row in pg.rows(
            f"SELECT id, a, b, c, {'_extra' if has_extra else 'NULL'} FROM hubspot.t"
        )
    }
    assert found == expected


def test_a_record_without_its_key_is_refused_and_named(pg: Loader) -> None:
    schema = pg.schema(
        "t", {"_tenant_id": "string", "id": "integer", "a": "string"}, ["_tenant_id", "id"]
    )
    with pytest.raises(KeyMissingError, match="2 records were rejected"):
        pg.load(
            schema,
            pg.records(
                "t",
                {"_tenant_id": "x", "a": "no id"},
                {"_tenant_id": "x", "id": None, "a": "null id"},
            ),
            pg.records("t", {"_tenant_id": "x", "id": 1, "a": "good"}),
        )
    assert pg.rows("SELECT id FROM hubspot.t") == [(1,)]
    assert (
        pg.rows("SELECT _tenant_id, reason FROM hubspot._rejected_records")
        == [("x", "key property id is missing or null")] * 2
    )


def test_streams_without_keys_append(pg: Loader) -> None:
    messages = [
        pg.schema("t", AB),
        pg.records("t", {"id": 1, "a": "x", "b": "y"}, {"id": 1}, {"b": "z"}),
    ]
    pg.load(*messages)
    pg.load(*messages)
    assert len(pg.rows("SELECT * FROM hubspot.t")) == 6


def test_append_only_keeps_every_record(pg: Loader) -> None:
    messages = [
        pg.schema("t", AB, ["id"]),
        pg.records("t", {"id": 1, "a": "x"}, {"id": 1, "a": "y"}),
    ]
    pg.load(*messages, load_method="append-only")
    pg.load(*messages, load_method="append-only")
    assert pg.rows("SELECT count(*) FROM hubspot.t WHERE id = 1") == [(4,)]
    pg.load(pg.schema("keyed", AB, ["id"]), pg.records("keyed", {"id": 1}))
    with pytest.raises(DatabaseError, match="append-only needs a table without a primary key"):
        pg.load(pg.schema("keyed", AB, ["id"]), load_method="append-only")


def test_one_bad_record_among_10000_costs_one_row(pg: Loader) -> None:
    schema = pg.schema(
        "t", {"id": "integer", "at": {"type": "string", "format": "date-time"}}, ["id"]
    )
    bad = {17, 5000, 5001, 9999}
    moments = {
        at: "2026-13-45T00:00:00Z" if at in bad else "2026-01-01T00:00:00Z" for at in range(10000)
    }
    with pytest.raises(RejectedRecordsError, match="4 records were rejected"):
        pg.load(
            schema,
            pg.records("t", *({"id": at, "at": moment} for at, moment in moments.items())),
            pg.state(1),
        )
    assert pg.states == [1]
    assert pg.rows("SELECT count(*) FROM hubspot.t") == [(9996,)]
    rows = pg.rows(
        "SELECT stream, record_key, reason, payload FROM hubspot._rejected_records ORDER BY 2"
    )
    assert [row[1] for row in rows] == [
        '{"id":"17"}',
        '{"id":"5000"}',
        '{"id":"5001"}',
        '{"id":"9999"}',
    ]
    assert rows[0][2:] == (
        'date/time field value out of range: "2026-13-45T00:00:00Z"',
        '{"id":17,"at":"2026-13-45T00:00:00Z"}',
    )
    assert (
        "t: 10000 processed, 9996 created, 0 updated, 0 unchanged, 0 superseded, 4 failed" in pg.log
    )


def test_many_bad_records_cost_seconds_not_minutes(pg: Loader) -> None:
    schema = pg.schema(
        "t", {"id": "integer", "at": {"type": "string", "format": "date-time"}}, ["id"]
    )
    good = set(random.Random(1).sample(range(6000), 4000))
    pg.load(
        schema,
        pg.records(
            "t",
            *(
                {"id": at, "at": f"2026-01-{1 if at in good else 99}T00:00:00Z"}
                for at in range(6000)
            ),
        ),
        max_rejected_records=-1,
    )
    assert pg.rows("SELECT count(*) FROM hubspot.t") == [(4000,)]
    assert pg.rows("SELECT count(*) FROM hubspot._rejected_records") == [(2000,)]


@pytest.mark.parametrize(
    ("context", "place"),
    [
        ('COPY stage_12, line 5, column c3: "c7"', (5, 3)),
        ('COPY stage_12, line 5: "c7, 8"', (5, None)),
        ("COPY stage_12, Zeile 5, Spalte c30: »x c4«", (5, 30)),
        ("COPY stage_12, ligne 5, colonne c3 : « 2026 »", (5, 3)),
        ('stage_12のCOPY、行 5、列 c3: "c7"', (5, 3)),
        ('stage_12 복사, 5번째 줄, c3 열: "c7"', (5, 3)),
        ('JSON data, line 1: {"stage_1": 7...\nCOPY stage_12, line 5, column c3: "x"', (5, 3)),
        ("another error", (None, None)),
    ],
)
def test_a_bad_value_is_found_in_every_language(context: str, place: Any) -> None:
    assert place_of(context) == place


def test_a_row_that_only_the_merge_refuses_is_found(pg: Loader) -> None:
    schema = pg.schema("t", AB, ["id"])
    pg.load(schema)
    pg.rows("ALTER TABLE hubspot.t ADD CONSTRAINT no_x CHECK (a <> 'x')")
    pg.rows("CREATE UNIQUE INDEX ON hubspot.t (b)")
    records = [{"id": at, "a": "x" if at == 7 else "y", "b": str(at % 90)} for at in range(100)]
    pg.load(schema, pg.records("t", *records), max_rejected_records=11)
    stored = {row[0] for row in pg.rows("SELECT id FROM hubspot.t")}
    listed = {
        row[0] for row in pg.rows("SELECT payload::jsonb -> 'id' FROM hubspot._rejected_records")
    }
    assert stored | listed == set(range(100))
    assert not stored & listed
    assert 7 in listed


def test_rejected_records_are_allowed_up_to_the_setting(pg: Loader) -> None:
    messages = [
        pg.schema("t", AB, ["id"]),
        pg.records("t", {"id": 1}, {"id": "x"}, {"id": "y"}, {"id": 2}),
        pg.state({"done": True}),
    ]
    assert pg.load(*messages, max_rejected_records=2) == [{"done": True}]
    assert pg.load(*messages, max_rejected_records=-1) == [{"done": True}]
    with pytest.raises(RejectedRecordsError, match=r"max_rejected_records \(1\)"):
        pg.load(*messages, max_rejected_records=1)
    assert pg.states == [{"done": True}]  # what is listed is not lost
    assert pg.rows("SELECT count(*) FROM hubspot._rejected_records") == [(6,)]
    assert "x" not in [
        record.getMessage() for record in pg._log.records if "rejected:" in record.getMessage()
    ]
