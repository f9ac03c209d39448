"""`lenient_values`: what does not fit its column is null, told and listed; the rest is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from target_deals_postgres.errors import RejectedRecordsError

if TYPE_CHECKING:
    from pathlib import Path

    from target.conftest import Loader

PROPERTIES: dict[str, Any] = {
    "_tenant_id": "string",
    "id": "integer",
    "n": "integer",
    "d": {"type": ["string", "null"], "format": "date"},
    "at": {"type": ["string", "null"], "format": "date-time"},
    "u": {"type": ["string", "null"], "format": "uuid"},
    "v": "number",
    "name": "string",
}
KEYS = ["_tenant_id", "id"]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"n": "text"}, "n"),  # the target sees it
    ({"n": 1.5}, "n"),
    ({"name": {"a": 1}}, "name"),
    ({"d": "no date"}, "d"),
    ({"d": "2026-02-30"}, "d"),  # PostgreSQL alone sees it
    ({"at": "2026-01-31T25:00:00Z"}, "at"),
    ({"at": "294277-01-01T00:00:00Z"}, "at"),
    ({"u": "1"}, "u"),
]


def load(pg: Loader, *records: dict[str, Any], **settings: Any) -> None:
    messages = [{"_tenant_id": "a", **one} for one in records]
    pg.load(
        pg.schema("t", PROPERTIES, KEYS),
        pg.records("t", *messages),
        **{"lenient_values": True, **settings},
    )


def listed(pg: Loader) -> list[tuple[Any, ...]]:
    return pg.rows(
        "SELECT record_key::jsonb->>'id', nulled, overtaken FROM hubspot._rejected_records "
        "ORDER BY id"
    )


@pytest.mark.every_version
@pytest.mark.parametrize("batch", [1, 1000])
def test_a_value_that_does_not_fit_is_null_and_the_rest_is_stored(pg: Loader, batch: int) -> None:
    rows = [{"id": at, "v": at, **values} for at, (values, _) in enumerate(BAD)]

    load(pg, *rows, {"id": 99, "n": 5, "name": "good"}, batch_size_rows=batch)

    assert pg.rows(
        "SELECT id, v FROM hubspot.t WHERE num_nulls(n, d, at, u, name) = 5 ORDER BY 1"
    ) == [(at, at) for at in range(len(BAD))]
    assert pg.rows("SELECT n, name FROM hubspot.t WHERE id = 99") == [(5, "good")]
    assert sorted(listed(pg)) == [(str(at), [name], None) for at, (_, name) in enumerate(BAD)]
    assert pg.rows("SELECT processed, created, rejected, nulled, state FROM hubspot._loads") == [
        (9, 9, 0, 8, "completed")
    ]
    assert pg.rows("SELECT nulled FROM hubspot._latest_loads") == [(8,)]
    assert "8 records have null" in pg.log
    assert "2026-02-30" not in pg.log


def test_several_values_of_one_record_are_listed_together_with_all_of_it(pg: Loader) -> None:
    bad = {"id": 1, "d": "2026-02-30", "at": "2026-02-30T00:00:00Z", "name": "x"}

    load(pg, bad)

    assert pg.rows("SELECT d, at, name FROM hubspot.t") == [(None, None, "x")]
    [(nulled, payload, reason)] = pg.rows(
        "SELECT nulled, payload, reason FROM hubspot._rejected_records"
    )
    assert nulled == ["d", "at"]
    assert bad.items() <= json.loads(payload).items()
    assert reason.count("out of range") == 2


def test_a_stored_value_gives_way_to_null(pg: Loader) -> None:
    load(pg, {"id": 1, "d": "2026-01-31", "n": 1})
    load(pg, {"id": 1, "d": "2026-02-30"})

    assert pg.rows("SELECT d, n FROM hubspot.t") == [(None, 1)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"id": "x"}, "id: expected integer, found string"),
        ({"id": None}, "key property id is missing or null"),
        ({"_tenant_id": 5}, "_tenant_id: expected string, found integer"),
        ({"_sdc_deleted_at": "no moment"}, "_sdc_deleted_at: expected a date-time (RFC 3339)"),
        ({"_sdc_deleted_at": "2026-02-30T00:00:00Z"}, "date/time field value out of range"),
    ],
)
def test_whose_a_row_is_and_whether_it_is_gone_is_never_null(
    pg: Loader, values: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RejectedRecordsError):
        load(pg, {"id": 1, **values}, {"id": 2, "n": "text"})

    assert pg.rows("SELECT id, n FROM hubspot.t") == [(2, None)]
    [(found,)] = pg.rows("SELECT reason FROM hubspot._rejected_records WHERE nulled IS NULL")
    assert found.startswith(reason)


def test_what_the_table_itself_forbids_is_still_rejected(pg: Loader) -> None:
    load(pg, {"id": 1, "n": 1})
    pg.rows("ALTER TABLE hubspot.t ADD CHECK (n > 0)")

    with pytest.raises(RejectedRecordsError):
        load(pg, {"id": 2, "n": -1, "d": "2026-02-30"})

    assert listed(pg) == [("2", None, None)]


def test_a_bad_value_of_the_strict_default_rejects_the_record(pg: Loader) -> None:
    with pytest.raises(RejectedRecordsError):
        load(pg, {"id": 1, "n": "text"}, lenient_values=False)

    assert pg.rows("SELECT id FROM hubspot.t") == []


@pytest.mark.parametrize("bad", ["no date", "2026-02-30"])
@pytest.mark.parametrize("batch", [1, 1000])
def test_only_a_later_record_of_the_key_overtakes_what_is_listed(
    pg: Loader, bad: str, batch: int
) -> None:
    load(pg, {"id": 1, "d": bad}, {"id": 2, "d": bad}, {"id": 2, "n": 2}, batch_size_rows=batch)

    assert sorted(listed(pg)) == [("1", ["d"], None), ("2", ["d"], True)]


def test_a_replay_stores_the_value_when_the_cause_is_gone(pg: Loader) -> None:
    load(pg, {"id": 1, "n": "text", "name": "x"}, {"id": 2, "n": "text"}, {"id": 2, "name": "y"})
    assert pg.rows("SELECT id, n, name FROM hubspot.t ORDER BY 1") == [
        (1, None, "x"),
        (2, None, "y"),
    ]

    pg.load(
        pg.schema("t", {**PROPERTIES, "n": "string"}, KEYS),
        lenient_values=True,
        replay_rejected_records=True,
    )

    assert pg.rows("SELECT id, n__text, name FROM hubspot.t ORDER BY 1") == [
        (1, "text", "x"),
        (2, None, "y"),
    ]
    assert listed(pg) == [("2", ["n"], True)]


def test_a_version_is_complete_with_values_that_are_null(pg: Loader) -> None:
    schema = pg.schema("t", PROPERTIES, KEYS)
    for version, ids in ((1, (1, 2)), (2, (1,))):
        records = [{"_tenant_id": "a", "id": one, "d": "2026-02-30"} for one in ids]
        pg.load(
            schema,
            pg.records("t", *records, version=version),
            pg.activate("t", version),
            lenient_values=True,
            hard_delete=True,
        )

    assert pg.rows("SELECT id FROM hubspot.t") == [(1,)]


def test_records_of_a_batch_file_and_of_a_stream_map_are_taken_alike(
    pg: Loader, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps({"_tenant_id": "a", "id": 1, "n": "text", "name": "x"}))
    batch = {
        "type": "BATCH",
        "stream": "t",
        "encoding": {"format": "jsonl"},
        "manifest": [f"file://{path}"],
    }

    pg.load(
        pg.schema("t", PROPERTIES, KEYS),
        batch,
        pg.records("t", {"_tenant_id": "a", "id": 2, "n": "text", "name": "x"}),
        lenient_values=True,
        stream_maps={"t": {"name": "name + '!'"}},
    )

    assert pg.rows("SELECT id, n, name FROM hubspot.t ORDER BY 1") == [
        (1, None, "x!"),
        (2, None, "x!"),
    ]


def test_tables_of_lists_from_before_get_their_columns(pg: Loader) -> None:
    load(pg, {"id": 1})
    pg.rows(
        "DROP VIEW hubspot._latest_loads; ALTER TABLE hubspot._loads DROP COLUMN nulled; "
        "ALTER TABLE hubspot._rejected_records DROP COLUMN nulled; "
        "CREATE VIEW hubspot._latest_loads AS SELECT run_id, stream, _tenant_id, tenants, "
        "started_at, stored_at, finished_at, processed, created, updated, unchanged, superseded, "
        "rejected, deleted, state, code FROM hubspot._loads"
    )

    load(pg, {"id": 2, "n": "text"})

    assert sorted(pg.rows("SELECT nulled FROM hubspot._latest_loads")) == [(1,)]


def test_an_overwriting_run_takes_them_too(pg: Loader) -> None:
    load(pg, {"id": 1, "n": 1}, {"id": 2, "n": 2})

    pg.load(
        pg.schema("t", PROPERTIES, KEYS),
        pg.records(
            "t", *({"_tenant_id": "a", "id": 1, **one} for one in ({}, {"d": "2026-02-30"}))
        ),
        pg.state(1),
        lenient_values=True,
        overwrite=True,
        batch_size_rows=1,
    )

    assert pg.rows("SELECT id, n, d FROM hubspot.t") == [(1, None, None)]
    assert listed(pg) == [("1", ["d"], None)]


@pytest.mark.parametrize("batch", [1, 1000])
def test_a_record_with_two_faults_is_listed_once_whoever_finds_them(pg: Loader, batch: int) -> None:
    bad = {"n": "text", "d": "2026-02-30"}  # the target sees one, PostgreSQL the other
    load(pg, {"id": 1, **bad}, {"id": 1, **bad}, {"id": 2, **bad}, batch_size_rows=batch)

    assert [(key, set(nulled)) for key, nulled, _ in listed(pg)] == [
        ("1", {"n", "d"}),
        ("1", {"n", "d"}),
        ("2", {"n", "d"}),
    ]
    assert pg.rows("SELECT nulled FROM hubspot._loads WHERE stream = 't'") == [(3,)]
    [(payload,)] = pg.rows(
        "SELECT payload FROM hubspot._rejected_records WHERE record_key LIKE '%2%'"
    )
    assert json.loads(payload) == {"_tenant_id": "a", "id": 2, **bad}


def test_a_record_with_a_null_that_is_refused_after_all_is_listed_as_rejected_alone(
    pg: Loader,
) -> None:
    load(pg, {"id": 1, "name": "good", "n": 1})
    pg.rows("ALTER TABLE hubspot.t ADD CHECK (name <> 'bad')")
    load(pg, {"id": 2, "name": "bad", "n": "text"}, max_rejected_records=-1)

    assert [(key, nulled) for key, nulled, _ in listed(pg)] == [("2", None)]
    assert pg.rows("SELECT id FROM hubspot.t") == [(1,)]
    assert pg.rows("SELECT nulled, rejected FROM hubspot._latest_loads") == [(0, 1)]
