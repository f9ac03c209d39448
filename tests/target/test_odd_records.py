"""One odd record costs its own row at most: never the run, and never another's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from target_deals_postgres.errors import InputError

if TYPE_CHECKING:
    from target.conftest import Loader

ALL: dict[str, Any] = {"max_rejected_records": -1}
ID = {"id": "integer"}


def raw(record: str, **more: Any) -> str:
    """A RECORD message of stream t, with a record as it is written."""
    message = json.dumps({"type": "RECORD", "stream": "t", **more})
    return message[:-1] + ', "record": ' + record + "}"


@pytest.mark.parametrize("number", ["1e9999999999999999999", "-1.5e-9999999999999999999"])
@pytest.mark.parametrize("mapped", [{}, {"stream_maps": {"t": {}}}])
def test_a_number_with_an_exponent_beyond_all_bounds_costs_its_record(
    pg: Loader, number: str, mapped: Any
) -> None:
    pg.load(
        pg.schema("t", {**ID, "n": "number", "i": "integer", "s": "string"}, ["id"]),
        raw(f'{{"id": 1, "n": {number}, "i": 1, "s": "x"}}'),
        raw(f'{{"id": 2, "n": 1, "i": {number}, "s": "x"}}'),
        raw(f'{{"id": 3, "n": {number}, "i": 1, "s": "\\u0000"}}'),
        raw('{"id": 4, "n": 1, "i": 1, "s": "x"}'),
        pg.state(1),
        **ALL,
        **mapped,
    )
    assert pg.rows("SELECT id FROM hubspot.t") == [(4,)]
    assert pg.rows("SELECT count(*) FROM hubspot._rejected_records") == [(3,)]
    assert pg.states == [1]


@pytest.mark.parametrize("tenant", ["a\0", "a\ud800"])
def test_a_rejected_record_of_a_tenant_that_cannot_be_stored_as_it_is_called(
    pg: Loader, tenant: str
) -> None:
    properties = {"_tenant_id": "string", **ID}
    for version in (1, 2):
        pg.load(
            pg.schema("t", properties, ["_tenant_id", "id"]),
            pg.records(
                "t",
                {"_tenant_id": tenant, "id": version},
                {"_tenant_id": tenant, "id": "text"},
                {"_tenant_id": "b", "id": version},
                version=version,
            ),
            pg.activate("t", version),
            **ALL,
        )
    assert pg.rows(
        "SELECT _tenant_id, id FROM hubspot.t WHERE _sdc_deleted_at IS NULL ORDER BY 1, 2"
    ) == [("a\ufffd", 1), ("a\ufffd", 2), ("b", 2)]  # a version with rejected records is not whole
    assert pg.rows("SELECT tenants FROM hubspot._loads") == [(["a\ufffd", "b"],)] * 2
    pg.load(
        pg.schema("t", properties, ["_tenant_id", "id"], **{"x-tenant-id": tenant}),
        pg.activate("t", 3),
    )
    assert pg.rows("SELECT _tenant_id, id FROM hubspot.t WHERE _sdc_deleted_at IS NULL") == [
        ("b", 2)
    ]


def test_a_moment_of_extraction_that_is_none_costs_its_record(pg: Loader) -> None:
    pg.load(
        pg.schema("t", ID, ["id"]),
        raw('{"id": 1}', time_extracted="2026-01-01T00:00:00Z"),
        raw('{"id": 2}', time_extracted="\ud800\0"),
        add_record_metadata=True,
        **ALL,
    )
    assert pg.rows("SELECT id FROM hubspot.t") == [(1,)]
    assert pg.rows("SELECT payload FROM hubspot._rejected_records") == [('{"id":2}',)]


def test_a_rejected_key_that_is_nested_deeply_is_listed(pg: Loader) -> None:
    deep = ["[" * depth + "]" * depth for depth in (100, 300, 500, 700, 800, 900)]
    pg.load(
        pg.schema("t", {"id": "string", "v": "string"}, ["id"]),
        raw('{"id": "1", "v": "x"}'),
        *(raw(f'{{"id": {one}, "v": "x"}}') for one in deep),
        **ALL,
    )
    assert pg.rows("SELECT id FROM hubspot.t") == [("1",)]
    assert pg.rows("SELECT count(*) FROM hubspot._rejected_records") == [(len(deep),)]


@pytest.mark.parametrize("secured", [False, True])
def test_records_without_any_field_are_rows(pg: Loader, *, secured: bool) -> None:
    properties = {"_tenant_id": "string", "v": "string"}
    for _ in range(2):
        pg.load(pg.schema("t", properties), pg.records("t", {}, {}), row_level_security=secured)
        pg.load(pg.schema("u", {}), pg.records("u", {}, {"x": 1}, {}))
    assert pg.rows("SELECT v FROM hubspot.t") == [(None,)] * 4
    assert pg.rows("SELECT _extra FROM hubspot.u ORDER BY 1") == [({"x": 1},)] * 2 + [(None,)] * 4


def test_a_batch_without_a_manifest_is_told(pg: Loader) -> None:
    batch = {"type": "BATCH", "stream": "t", "encoding": {"format": "jsonl"}}
    with pytest.raises(InputError, match="BATCH of stream t has no manifest"):
        pg.load(pg.schema("t", ID, ["id"]), batch, pg.state(1))
    assert pg.states == []
    pg.load(pg.schema("t", ID, ["id"]), {**batch, "manifest": []}, pg.state(1))
    assert pg.states == [1]


def test_numbers_in_a_column_of_texts_are_written_in_one_way(pg: Loader) -> None:
    pg.load(pg.schema("t", {**ID, "v": "string"}, ["id"]))
    schema = pg.schema("t", {**ID, "v": "number", "s": "string"}, ["id"])
    for text in ('"x"', '"\\u0000"'):
        pg.load(schema, raw(f'{{"id": 1, "v": 1e5, "s": {text}}}'))
        pg.load(schema, raw(f'{{"id": 2, "v": 0.0000001, "s": {text}}}'))
        pg.load(schema, raw(f'{{"id": 3, "v": 1.50, "s": {text}}}'))
        assert pg.rows("SELECT v FROM hubspot.t ORDER BY id") == [("1E+5",), ("1E-7",), ("1.50",)]
