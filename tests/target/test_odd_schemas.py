"""Schemas and names that no sane tap sends: every value has a place, and finds it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from target_deals_postgres.records.columns import identifier

if TYPE_CHECKING:
    from target.conftest import Loader

AB = {"id": "integer", "a": "string"}


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ({"type": 5}, "jsonb"),
        ({"type": ["string", 5]}, "jsonb"),
        ({"type": []}, "jsonb"),
        ({"type": "null"}, "jsonb"),
        ({"type": "unicorn"}, "jsonb"),
        ({"patternProperties": {"^x": {"type": "string"}}}, "jsonb"),
        ({"$ref": "http://example.com/schema#/a"}, "jsonb"),
        (None, "jsonb"),
        (False, "jsonb"),
        ({"enum": [1, 2]}, "bigint"),
        ({"const": "x"}, "text"),
        ({"enum": [1, "a", True]}, "text"),
        ({"enum": [{"a": 1}]}, "jsonb"),
        ({"allOf": [{"type": "string"}, {"maxLength": 3}]}, "text"),
        ({"oneOf": [{"type": "integer"}, {"type": "string", "format": "date"}]}, "text"),
        ({"anyOf": {"type": "string"}}, "jsonb"),
        ({"type": "string", "anyOf": None, "oneOf": None, "allOf": None, "enum": None}, "text"),
        ({"enum": "x"}, "jsonb"),
        ({"type": "integer", "maximum": "9"}, "bigint"),
        ({"type": "string", "format": "duration"}, "text"),
        ({"type": "string", "contentEncoding": "base64"}, "text"),
    ],
)
def test_every_property_gets_a_column_that_holds_what_its_schema_allows(
    pg: Loader, spec: Any, kind: str
) -> None:
    value = {"jsonb": ["x", {"y": 1}], "bigint": 1, "text": "x"}[kind]
    value = {"a": 1} if spec == {"enum": [{"a": 1}]} else value
    schema = {"properties": {"id": {"type": "integer"}, "v": spec}}
    pg.load(
        {"type": "SCHEMA", "stream": "t", "schema": schema, "key_properties": ["id"]},
        pg.records("t", {"id": 1, "v": value}, {"id": 2, "v": None}),
    )
    assert pg.types("t")["v"] == kind
    assert pg.rows("SELECT v FROM hubspot.t ORDER BY id") == [(value,), (None,)]


def test_names_and_titles_that_postgresql_cannot_store(pg: Loader) -> None:
    stream, names = "s\0", ["a\ud800", "a\ud801", "a\0b", "a\ufffdb"]
    title = {"type": ["string", "null"], "title": "x\ud800\0y"}
    messages = [
        pg.schema(stream, {"id": "integer", **dict.fromkeys(names, title)}, ["id"], title="T\0"),
        pg.records(stream, {"id": 1, **{name: str(at) for at, name in enumerate(names)}}),
    ]
    for _ in range(2):
        pg.load(*messages)
    table = f'hubspot."{identifier(stream)}"'
    assert pg.rows(f"SELECT * FROM {table}") == [(1, "0", "1", "2", "3")]
    assert pg.rows(f"SELECT obj_description('{table}'::regclass)") == [("T\ufffd",)]


@pytest.mark.parametrize("schema", ['Odd "Schema"', "100%s", "a.b", "ä" * 31])
def test_any_schema_name_takes_rejected_records_too(pg: Loader, schema: str) -> None:
    for _ in range(2):
        pg.load(
            pg.schema("t", AB, ["id"]),
            pg.records("t", {"id": 1, "a": "x"}, {"id": "bad"}),
            default_target_schema=schema,
            max_rejected_records=-1,
        )
    quoted = '"' + schema.replace('"', '""') + '"'
    assert pg.rows(f"SELECT id FROM {quoted}.t") == [(1,)]
    assert pg.rows(f"SELECT count(*) FROM {quoted}._rejected_records") == [(2,)]


def test_tenants_may_be_called_anything_or_nothing(pg: Loader) -> None:
    tenants = ["a'b", 'a"b', "a\\b", "", "a%s", "é😀", "a\tb", "NULL", "\\N", None]
    schema = pg.schema("100%", {"_tenant_id": "string", "id": "integer"}, ["id"])
    rows = [{"_tenant_id": tenant, "id": at} for at, tenant in enumerate(tenants * 2)]
    pg.load(schema, pg.records("100%", *rows, version=1), pg.activate("100%", 1))
    for at, tenant in enumerate(tenants):
        again = pg.records("100%", {"_tenant_id": tenant, "id": at}, version=2)
        pg.load(schema, again, pg.activate("100%", 2))
        assert "100%: version 2 is active, 1 rows deleted" in pg.log
        pg._log.clear()
    assert pg.rows(
        'SELECT id, _tenant_id FROM hubspot."100%" WHERE _sdc_deleted_at IS NULL ORDER BY id'
    ) == list(enumerate(tenants))


def test_a_property_never_gets_the_values_of_another_whose_type_changed(pg: Loader) -> None:
    def load(**values: Any) -> None:
        names = {str: "string", int: "integer"}
        properties = {name: names[type(value)] for name, value in values.items()}
        pg.load(
            pg.schema("t", {"id": "integer", **properties}, ["id"]),
            pg.records("t", {"id": 1, **values}),
        )

    load(v=1, v__text="of its own")  # is named as v's own column would be
    load(v="a text")
    load(v="a newer text", v__text="of its own, too")
    assert pg.rows("SELECT to_jsonb(t) - 'id' FROM hubspot.t t") == [
        ({"v": None, "v__text": "of its own, too", "v__text_2": "a newer text"},)
    ]
    load(v=3)
    assert pg.rows("SELECT v, v__text, v__text_2 FROM hubspot.t") == [(3, "of its own, too", None)]


def test_the_same_when_the_other_property_comes_later(pg: Loader) -> None:
    runs: list[tuple[dict[str, str], dict[str, Any]]] = [
        ({"v": "integer"}, {"v": 1}),
        ({"v": "string"}, {"v": "text"}),
        ({"v": "string", "v__text": "string"}, {"v": "newer", "v__text": "own"}),
    ]
    for specs, values in runs:
        schema = pg.schema("t", {"id": "integer", **specs}, ["id"])
        pg.load(schema, pg.records("t", {"id": 1, **values}))
    own = identifier("v__text", always_hash=True)
    assert pg.rows(f"SELECT v, v__text, {own} FROM hubspot.t") == [(None, "newer", "own")]


def test_properties_named_as_the_targets_own_columns_get_others(pg: Loader) -> None:
    # A table that a target once loaded, read by a tap: its versions are not this run's.
    specs = {"id": "integer", "_sdc_table_version": "integer", "_extra": "string"}
    schema = pg.schema("t", specs, ["id"])
    record = {"id": 1, "_sdc_table_version": 3, "_extra": "x", "unknown": 5}
    pg.load(schema, pg.records("t", record, version=7), pg.activate("t", 7))
    assert pg.rows("SELECT _sdc_table_version, _sdc_deleted_at, _extra FROM hubspot.t") == [
        (7, None, {"unknown": 5})
    ]
    others = ", ".join(identifier(name) for name in ("_sdc_table_version", "_extra"))
    assert pg.rows(f"SELECT {others} FROM hubspot.t") == [(3, "x")]


def test_a_key_named_twice_is_one(pg: Loader) -> None:
    pg.load(pg.schema("t", AB, ["id", "id"]), pg.records("t", {"id": 1, "a": "x"}))
    pg.load(pg.schema("t", AB, ["id", "id"]), pg.records("t", {"id": 1, "a": "y"}))
    assert pg.rows("SELECT id, a FROM hubspot.t") == [(1, "y")]
