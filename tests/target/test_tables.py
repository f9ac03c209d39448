"""Tables follow their streams: names, types, comments, keys, and no value lost on the way."""

from __future__ import annotations

import functools
import itertools
import json
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from target_deals_postgres.errors import DatabaseError, RejectedRecordsError
from target_deals_postgres.records.columns import fields_of, identifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from target.conftest import Loader

pytestmark = pytest.mark.every_version

DATE_TIME = {"type": ["string", "null"], "format": "date-time"}
DATE = {"type": ["string", "null"], "format": "date"}


def test_a_table_reads_well(pg: Loader) -> None:
    pg.load(
        pg.schema(
            "deals",
            {
                "_tenant_id": {"type": "string"},
                "id": {"type": "string"},
                "amount": {"type": ["number", "null"], "title": "Amount", "description": "In USD"},
                "won": "boolean",
            },
            ["_tenant_id", "id"],
            title="Deals",
        )
    )
    assert pg.types("deals") == {
        "_tenant_id": "text",
        "id": "text",
        "amount": "numeric",
        "won": "boolean",
    }
    assert pg.rows("SELECT obj_description('hubspot.deals'::regclass)") == [("Deals",)]
    assert pg.rows("SELECT col_description('hubspot.deals'::regclass, 3)") == [("Amount: In USD",)]
    assert pg.rows(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'hubspot.deals'::regclass AND contype = 'p'"
    ) == [("PRIMARY KEY (_tenant_id, id)",)]


def calls_of(work: Callable[[], Any]) -> int:
    """How many calls some work makes, in all threads."""
    seen = itertools.count()

    def count(*_: object) -> None:
        next(seen)

    threading.setprofile(count)
    sys.setprofile(count)
    try:
        work()
    finally:
        threading.setprofile(None)
        sys.setprofile(None)
    return next(seen)


def test_the_cost_of_a_schema_grows_with_its_width_and_not_with_the_square(pg: Loader) -> None:
    calls = []
    for width in (100, 300):
        schema = pg.schema(f"w{width}", {f"p{at}": "string" for at in range(width)}, ["p0"])
        pg.load(schema)
        calls.append(calls_of(functools.partial(pg.load, schema)))
    assert calls[1] < 3.5 * calls[0]


def test_long_and_clashing_names_get_a_stable_hash_and_are_found_again(pg: Loader) -> None:
    prefix = "property_" * 8
    names = [prefix + "a", prefix + "b", prefix.upper() + "a", "ä" * 40, "xmin", ""]
    stream = "stream_" * 12
    messages = [
        pg.schema(stream, {"id": "integer", **dict.fromkeys(names, "string")}, ["id"]),
        pg.records(stream, {"id": 1, **{name: f"value {at}" for at, name in enumerate(names)}}),
    ]
    pg.load(*messages)
    pg.load(*messages)
    table = identifier(stream)
    columns = pg.types(table)
    assert len(columns) == 1 + len(names)
    assert all(len(name.encode()) <= 63 for name in columns)
    values = pg.rows(f'SELECT * FROM hubspot."{table}"')
    assert values == [(1, *(f"value {at}" for at in range(len(names))))]
    [(comment,)] = pg.rows(f"SELECT col_description('hubspot.\"{table}\"'::regclass, 2)")
    assert comment == f"[property: {prefix}a]"


def test_odd_names_are_names(pg: Loader) -> None:
    names = [
        "Name",
        "name",
        "NAME",
        "select",
        "100%",
        "%s",
        'quo"te',
        "a'b",
        "with space",
        "ünï",
        "1",
        "{}",
        "a.b",
    ]
    stream = 'Order-"x" %s; drop'
    pg.load(
        pg.schema(stream, dict.fromkeys(names, "string"), ["select", "100%"]),
        pg.records(stream, {name: name for name in names}),
        pg.records(stream, {"select": "select", "100%": "100%", "%s": "new"}),
    )
    pg.load(
        pg.schema(stream, dict.fromkeys([*names, "later%"], "string"), ["select", "100%"]),
        pg.records(stream, {"select": "select", "100%": "100%", "later%": "l"}),
    )
    [(table,)] = pg.rows(
        "SELECT relname FROM pg_class WHERE relname LIKE 'Order%%' AND relkind = 'r'"
    )
    assert table == stream
    quoted = '"' + stream.replace('"', '""').replace("%", "%%") + '"'
    row = pg.rows(f"SELECT to_jsonb(t) FROM hubspot.{quoted} t WHERE %s", "on")[0][0]
    assert row == {name: name for name in names} | {"%s": "new", "later%": "l"}


@given(st.text(max_size=100), st.text(max_size=100))
def test_identifiers_fit_and_do_not_clash(one: str, other: str) -> None:
    for name in (one, other):
        assert 0 < len(identifier(name).encode()) <= 63
        assert "\0" not in identifier(name)
    assert (identifier(one) == identifier(other)) == (one == other)


@pytest.mark.heavy
def test_1600_columns_and_more_lose_nothing(pg: Loader) -> None:
    names = [f"c{at}" for at in range(1700)]
    record = {"id": 1, "c0": 1, "c1": 2, "c1600": 3, "c1699": 4}
    messages = [
        pg.schema("wide", {**dict.fromkeys(names, "integer"), "id": "integer"}, ["id"]),
        pg.records("wide", record),
    ]
    pg.load(*messages)
    pg.load(messages[0], pg.records("wide", {"id": 1, "c1699": 5}, {"id": 2, "c1600": 1}))
    assert pg.rows("SELECT c0, c1, _extra FROM hubspot.wide ORDER BY id") == [
        (1, 2, {"c1600": 3, "c1699": 5}),
        (None, None, {"c1600": 1}),
    ]
    most = dict.fromkeys([*names[:400], *names[1400:], "id"], 3)
    pg.load(messages[0], pg.records("wide", most))
    [(row,)] = pg.rows("SELECT to_jsonb(t) FROM hubspot.wide t WHERE id = 3")
    extra = row.pop("_extra")
    assert {name: value for name, value in {**row, **extra}.items() if value} == most


def test_a_row_too_wide_for_postgresql_is_listed_and_costs_no_other(pg: Loader) -> None:
    names = [f"c{at}" for at in range(1400)]
    with pytest.raises(RejectedRecordsError):
        pg.load(
            pg.schema("wide", {"id": "integer", **dict.fromkeys(names, "string")}, ["id"]),
            pg.records(
                "wide", {"id": 1, **dict.fromkeys(names, "0123456789")}, {"id": 2, "c0": "x"}
            ),
        )
    assert pg.rows("SELECT id FROM hubspot.wide") == [(2,)]
    [(reason, payload)] = pg.rows("SELECT reason, payload FROM hubspot._rejected_records")
    assert "row is too big" in reason
    assert len(json.loads(payload)) == 1401


def test_fields_that_the_schema_does_not_know_are_kept(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "a": "string"}, ["id"]),
        pg.records("t", {"id": 1, "a": "x"}, {"id": 2, "a": "y", "b": [1.5], "c": None}),
        pg.records("t", {"id": 3, "d": 1}, {"id": 2, "d": 2}),
    )
    assert pg.rows("SELECT id, a, _extra::text FROM hubspot.t ORDER BY id") == [
        (1, "x", None),
        (2, "y", '{"b": [1.5], "c": null, "d": 2}'),
        (3, None, '{"d": 1}'),
    ]


def test_columns_are_added_and_widened_in_place(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "n": "integer", "d": DATE}, ["id"]),
        pg.records("t", {"id": 1, "n": 1, "d": "2026-01-31"}),
    )
    pg.load(
        pg.schema("t", {"id": "integer", "n": "number", "d": DATE_TIME, "new": "string"}, ["id"]),
        pg.records("t", {"id": 2, "n": 1.5, "d": "2026-01-31T12:30:00Z", "new": "x"}),
    )
    pg.load(
        pg.schema("t", {"id": "integer", "n": "integer", "d": DATE}, ["id"]),
        pg.records("t", {"id": 3, "n": 3, "d": "2026-02-01"}),
    )
    assert pg.rows("SELECT n::text, d, new FROM hubspot.t ORDER BY id") == [
        ("1", datetime(2026, 1, 31, tzinfo=UTC), None),
        ("1.5", datetime(2026, 1, 31, 12, 30, tzinfo=UTC), "x"),
        ("3", datetime(2026, 2, 1, tzinfo=UTC), None),
    ]


def test_an_incompatible_change_goes_to_a_column_of_its_own(pg: Loader) -> None:
    types: list[tuple[str, Any]] = [
        ("integer", 5),
        ("string", "five"),
        ("object", {"a": 5}),
        ("boolean", True),
    ]
    for at, (type_, value) in enumerate(types):
        pg.load(
            pg.schema("t", {"id": "integer", "v": type_}, ["id"]),
            pg.records("t", {"id": at, "v": value}, {"id": 99, "v": value}),
        )
    assert pg.types("t") == {
        "id": "bigint",
        "v": "bigint",
        "v__text": "text",
        "v__json": "jsonb",
        "v__boolean": "boolean",
    }
    assert pg.rows("SELECT v, v__text, v__json, v__boolean FROM hubspot.t ORDER BY id") == [
        (5, None, None, None),
        (None, "five", None, None),
        (None, None, {"a": 5}, None),
        (None, None, None, True),
        (None, None, None, True),  # a row has its value in one of them
    ]
    pg.load(
        pg.schema("t", {"id": "integer", "v": "integer", "v__text": "string"}, ["id"]),
        pg.records("t", {"id": 99, "v": 6, "v__text": "a property of its own"}),
    )
    [row] = pg.rows("SELECT to_jsonb(t) FROM hubspot.t WHERE id = 99")
    assert row[0]["v"] == 6
    assert row[0]["v__text"] is None
    assert "a property of its own" in row[0].values()


def test_text_columns_go_on_taking_everything_scalar(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "v": "string"}, ["id"]),
        pg.records("t", {"id": 1, "v": "a"}),
    )
    for at, (spec, value) in enumerate(
        [("number", 1.50), ("integer", 7), ("boolean", True), (DATE, "2026-01-01")], start=2
    ):
        pg.load(
            pg.schema("t", {"id": "integer", "v": spec}, ["id"]),
            pg.records("t", {"id": at, "v": value}),
        )
    assert [row[0] for row in pg.rows("SELECT v FROM hubspot.t ORDER BY id")] == [
        "a",
        "1.5",
        "7",
        "true",
        "2026-01-01",
    ]


def test_a_schema_change_in_mid_stream_keeps_the_order(pg: Loader) -> None:
    narrow = pg.schema("t", {"id": "integer", "v": "integer"}, ["id"])
    wide = pg.schema("t", {"id": "integer", "v": "integer", "w": "string"}, ["id"])
    pg.load(
        narrow,
        pg.records("t", *({"id": 1, "v": at} for at in range(5))),
        wide,
        pg.records("t", {"id": 1, "v": 100, "w": "new"}),
        narrow,
        pg.records("t", {"id": 1, "v": 200}),
        batch_size_rows=3,
    )
    assert pg.rows("SELECT * FROM hubspot.t") == [(1, 200, "new")]


def test_a_key_that_changes_its_type_is_rewritten(pg: Loader) -> None:
    pg.load(pg.schema("t", {"id": "integer"}, ["id"]), pg.records("t", {"id": 1}))
    pg.load(pg.schema("t", {"id": "string"}, ["id"]), pg.records("t", {"id": "1"}, {"id": "b"}))
    assert pg.rows("SELECT id FROM hubspot.t ORDER BY id") == [("1",), ("b",)]


def test_a_key_that_gains_or_loses_a_part_is_rebuilt_or_refused_clearly(pg: Loader) -> None:
    properties = {"a": "integer", "b": "integer", "c": "integer"}
    pg.load(pg.schema("t", properties, ["a"]), pg.records("t", {"a": 1, "b": 1}))
    pg.load(
        pg.schema("t", properties, ["a", "b"]), pg.records("t", {"a": 1, "b": 1}, {"a": 1, "b": 2})
    )
    assert pg.rows("SELECT a, b FROM hubspot.t ORDER BY b") == [(1, 1), (1, 2)]
    with pytest.raises(
        DatabaseError, match=r"the stream t has the key \(a\), but hubspot.t has \(a, b\)"
    ):
        pg.load(pg.schema("t", properties, ["a"]), pg.records("t", {"a": 1, "b": 3}))
    assert pg.rows("SELECT count(*) FROM hubspot.t") == [(2,)]


def test_tables_that_were_there_before_are_used_as_they_are(pg: Loader) -> None:
    pg.rows(
        """
        CREATE SCHEMA hubspot;
        CREATE TABLE hubspot.t (id integer PRIMARY KEY, n double precision, s varchar(3) NOT NULL,
            own text NOT NULL DEFAULT 'mine', j json, at timestamp);
        INSERT INTO hubspot.t (id, n, s, at) VALUES (0, 0.5, 'abc', '2026-01-01 00:00');
        CREATE VIEW hubspot.mine AS SELECT id FROM hubspot.t
        """
    )
    pg.load(
        pg.schema(
            "t",
            {"id": "integer", "n": "number", "s": "string", "j": "object", "at": DATE_TIME},
            ["id"],
        ),
        pg.records("t", {"id": 1, "n": 12345678901234567890.5, "s": "long text", "j": {"a": 1}}),
        pg.records("t", {"id": 2, "at": "2026-01-01T00:00:00Z"}),
    )
    assert pg.rows("SELECT id, s, own, j, at FROM hubspot.t ORDER BY id") == [
        (0, "abc", "mine", None, datetime(2026, 1, 1, tzinfo=UTC)),
        (1, "long text", "mine", {"a": 1}, None),
        (2, None, "mine", None, datetime(2026, 1, 1, tzinfo=UTC)),
    ]


def test_a_view_of_a_user_is_not_dropped_the_new_type_goes_beside_it(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "v": "integer"}, ["id"]),
        pg.records("t", {"id": 1, "v": 1}),
    )
    pg.rows("CREATE VIEW hubspot.mine AS SELECT id, v FROM hubspot.t")
    pg.load(
        pg.schema("t", {"id": "integer", "v": "number"}, ["id"]),
        pg.records("t", {"id": 2, "v": 1.5}),
    )
    assert pg.rows("SELECT v, v__number FROM hubspot.t ORDER BY id") == [(1, None), (None, 1.5)]
    pg.rows(
        "DROP VIEW hubspot.mine; CREATE VIEW hubspot.mine AS SELECT id FROM hubspot.t WHERE id > 0"
    )
    with pytest.raises(DatabaseError, match="the key column id of hubspot\\.t"):
        pg.load(pg.schema("t", {"id": "string"}, ["id"]), pg.records("t", {"id": "x"}))


def test_two_spellings_of_one_key_in_a_batch_are_one_row(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {"at": DATE_TIME, "n": "number", "v": "integer"}, ["at", "n"]),
        pg.records(
            "t",
            {"at": "2026-01-01T12:00:00Z", "n": 1, "v": 1},
            {"at": "2026-01-02T00:00:00Z", "n": 1, "v": 1},
        ),
        pg.records("t", {"at": "2026-01-01T14:00:00+02:00", "n": 1.0, "v": 2}),
    )
    assert pg.rows("SELECT v FROM hubspot.t ORDER BY at") == [(2,), (1,)]


def test_comments_and_schema_of_a_stream_may_be_anything(pg: Loader) -> None:
    pg.load(
        pg.schema(
            "t",
            {
                "a": {"type": "string", "title": 'it\'s \\ "100%"', "description": "🙂"},
                "b": True,
                "c": {"not": {}},
            },
        ),
        pg.records("t", {"a": "x", "b": [1], "c": 1}),
    )
    assert pg.rows("SELECT col_description('hubspot.t'::regclass, 1)") == [('it\'s \\ "100%": 🙂',)]


def test_schemas_that_refer_to_themselves_end() -> None:
    schema = {"properties": {"a": {"$ref": "#/properties/a"}, "b": {"$ref": "#/nowhere"}}}
    assert [one.kind for one in fields_of(schema)] == ["jsonb", "jsonb"]


def test_without_rights_the_sentence_says_what_is_missing(pg: Loader) -> None:
    name = pg.rows("SELECT current_database()")[0][0]
    pg.rows(f"DROP ROLE IF EXISTS poor_{name}; CREATE ROLE poor_{name} LOGIN PASSWORD 'x'")
    try:
        pg.url = pg.url.replace("postgres@", f"poor_{name}@")
        with pytest.raises(
            DatabaseError, match=r"schema hubspot .default_target_schema. does not exist"
        ):
            pg.load(pg.schema("t", {"id": "integer"}, ["id"]))
    finally:
        pg.url = pg.url.replace(f"poor_{name}@", "postgres@")
        pg.rows(f"DROP OWNED BY poor_{name}; DROP ROLE poor_{name}")


def test_it_works_as_a_role_that_owns_one_schema(pg: Loader) -> None:
    name = pg.rows("SELECT current_database()")[0][0]
    role = f"owner_{name}"
    pg.rows(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; CREATE SCHEMA hubspot AUTHORIZATION {role}")
    pg.rows("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    admin = pg.url
    try:
        pg.url = pg.url.replace("postgres@", f"{role}@")
        pg.load(
            pg.schema(
                "associations",
                dict.fromkeys(
                    ("_tenant_id", "from_object_type", "from_id", "to_object_type", "to_id"),
                    "string",
                )
                | {"read_at": DATE_TIME},
                ["from_id"],
            ),
            pg.schema(
                "deals", {"_tenant_id": "string", "id": "string", "read_at": DATE_TIME}, ["id"]
            ),
            pg.records("deals", {"id": "1", "_tenant_id": "a"}),
            pg.activate("deals", 2),
            row_level_security=True,
        )
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            pg.rows("CREATE SCHEMA other")
    finally:
        pg.url = admin
        pg.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")
