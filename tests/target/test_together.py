"""Several things at once: tenants, versions, deletion, BATCH files, changing schemas, crashes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from target_deals_postgres.errors import DatabaseError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from target.conftest import Loader

TENANTS = {"_tenant_id": "string", "id": "integer", "v": "string"}
KEYS = ["_tenant_id", "id"]


def rows(tenant: str, *ids: int, v: Any = "x") -> list[dict[str, Any]]:
    return [{"_tenant_id": tenant, "id": id_, "v": v} for id_ in ids]


def batch(folder: Path, stream: str, *records: dict[str, Any]) -> dict[str, Any]:
    file = folder / "batch.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in records))
    return {
        "type": "BATCH",
        "stream": stream,
        "encoding": {"format": "jsonl", "compression": "none"},
        "manifest": [f"file://{file}"],
    }


@pytest.mark.parametrize("hard_delete", [False, True])
def test_nothing_is_deleted_where_records_of_a_batch_had_no_version(
    pg: Loader,
    tmp_path: Path,
    hard_delete: bool,  # noqa: FBT001
) -> None:
    schema = pg.schema("t", TENANTS, KEYS)
    for tenant in "ab":
        old = pg.records("t", *rows(tenant, 1, 2), version=1)
        pg.load(schema, old, pg.activate("t", 1), hard_delete=hard_delete)
    pg.load(
        schema,
        batch(tmp_path, "t", *rows("a", 2, 3)),
        pg.activate("t", 2),
        pg.state({"done": True}),
        hard_delete=hard_delete,
    )
    assert pg.rows(
        "SELECT _tenant_id, id FROM hubspot.t WHERE _sdc_deleted_at IS NULL ORDER BY 1, 2"
    ) == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)]
    assert "version 2 is not activated, since records without a version came before it" in pg.log
    assert pg.states == [{"done": True}]


def test_a_schema_that_changes_between_tenants_keeps_rows_and_deletions_apart(
    pg: Loader, tmp_path: Path
) -> None:
    text = pg.schema("t", TENANTS, KEYS)
    number = pg.schema("t", {**TENANTS, "v": "integer"}, KEYS)
    for version in (1, 2):
        pg.load(
            text,
            pg.records("t", *rows("a", 1, version), version=version),
            number,
            pg.records("t", *rows("b", 1, version, v=7), version=version),
            batch(tmp_path, "t", *rows("c", 1, v=8)),
            text,
            pg.records("t", *rows("a", 3), {"_tenant_id": "a"}, version=version),
            pg.activate("t", version),
            max_rejected_records=1,
            batch_size_rows=2,
        )
    assert pg.rows(
        "SELECT _tenant_id, id, v FROM hubspot.t WHERE _sdc_deleted_at IS NULL ORDER BY 1, 2"
    ) == [("a", 1, "x"), ("a", 2, "x"), ("a", 3, "x"), ("b", 1, "7"), ("b", 2, "7"), ("c", 1, "8")]


def test_no_state_speaks_of_a_stream_whose_rows_did_not_arrive(pg: Loader) -> None:
    schemas = [pg.schema(name, {"id": "integer"}, ["id"]) for name in "ab"]
    pg.load(*schemas)
    pg.rows(
        "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$;"
        "CREATE TRIGGER full_disk BEFORE INSERT ON hubspot.b EXECUTE FUNCTION full()"
    )
    with pytest.raises(DatabaseError, match="no space left"):
        pg.load(
            *schemas,
            pg.records("a", {"id": 1}),
            pg.state({"a": 1}),
            pg.records("b", *({"id": at} for at in range(5))),
            pg.state({"a": 1, "b": 5}),
            pg.records("a", *({"id": at} for at in range(2, 50))),
            pg.state({"a": 50, "b": 5}),
            batch_size_rows=4,
        )
    assert pg.rows("SELECT count(*) FROM hubspot.b") == [(0,)]
    assert all("b" not in state for state in pg.states)
    [(stored,)] = pg.rows("SELECT coalesce(max(id), 0) FROM hubspot.a")
    assert all(state["a"] <= stored for state in pg.states)


def test_a_stream_without_keys_doubles_nothing_when_its_tap_goes_on_from_the_state(
    pg: Loader,
) -> None:
    schema = pg.schema("t", {"id": "integer"})
    ids: list[Any] = [[*pg.records("t", {"id": at}), pg.state(at + 1)] for at in range(2500)]
    with pytest.raises(InputError):
        pg.load(schema, *ids[:2000], '{"type": "RECORD", "stream": "t", "rec', batch_size_rows=300)
    assert pg.states[-1] == 2000
    pg.load(schema, *ids[pg.states[-1] :], batch_size_rows=300)
    assert pg.rows("SELECT count(*), count(DISTINCT id) FROM hubspot.t") == [(2500, 2500)]


def test_records_of_the_old_schema_that_wait_are_judged_by_it(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "v": "integer"}, ["id"]),
        pg.records("t", {"id": 1, "v": 1}, {"id": 2, "v": "not yet"}),
        pg.schema("t", {"id": "string", "v": "string"}, ["id"]),
        pg.records("t", {"id": "1", "v": "newer"}, {"id": "a", "v": "x"}, {"id": 3, "v": "y"}),
        pg.state("done"),
        max_rejected_records=2,
    )
    assert pg.rows("SELECT id, v, v__text FROM hubspot.t ORDER BY id") == [
        ("1", None, "newer"),
        ("a", None, "x"),
    ]
    assert pg.rows("SELECT record_key FROM hubspot._rejected_records ORDER BY 1") == [
        ('{"id":2}',),
        ('{"id":3}',),
    ]
    assert pg.states == ["done"]
