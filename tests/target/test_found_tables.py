"""Tables that people made or changed: used as they are, or refused with a sentence that helps."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from target_deals_postgres.errors import DatabaseError

if TYPE_CHECKING:
    from target.conftest import Loader

pytestmark = pytest.mark.every_version
AB = {"id": "integer", "a": "string"}
MOMENT = {"type": ["string", "null"], "format": "date-time"}
LINKS = dict.fromkeys(("from_object_type", "from_id", "to_object_type", "to_id"), "string")


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("CREATE VIEW hubspot.t AS SELECT 1 AS id", "a view"),
        ("CREATE MATERIALIZED VIEW hubspot.t AS SELECT 1 AS id", "a materialized view"),
        ("CREATE SEQUENCE hubspot.t", "a sequence"),
    ],
)
def test_what_is_no_table_is_named(pg: Loader, statement: str, kind: str) -> None:
    pg.rows(f"CREATE SCHEMA hubspot; {statement}")
    with pytest.raises(DatabaseError, match=rf"hubspot\.t exists and is no table \({kind}\)"):
        pg.load(pg.schema("t", AB, ["id"]), pg.records("t", {"id": 1}), pg.state(1))
    assert pg.states == []


def test_columns_that_round_take_every_digit_before_the_first_number_comes(pg: Loader) -> None:
    pg.rows(
        "CREATE SCHEMA hubspot; CREATE TABLE hubspot.t (id numeric(10, 0) PRIMARY KEY, "
        "n numeric(12, 2), at timestamptz(0))"
    )
    pg.load(
        pg.schema("t", {"id": "integer", "n": "number", "at": MOMENT}, ["id"]),
        pg.records("t", {"id": 1, "n": 1.239, "at": "2026-01-01T00:00:00.7Z"}),
    )
    assert pg.rows("SELECT n, at FROM hubspot.t") == [
        (Decimal("1.239"), datetime(2026, 1, 1, 0, 0, 0, 700000, tzinfo=UTC))
    ]
    assert pg.rows(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'hubspot.t'::regclass AND attname = 'id'"
    ) == [("numeric(10,0)",)]  # an integer it stores or refuses


def test_a_column_that_rounds_stays_as_a_view_wants_it_and_the_digits_go_beside_it(
    pg: Loader,
) -> None:
    pg.rows(
        "CREATE SCHEMA hubspot; CREATE TABLE hubspot.t (id bigint PRIMARY KEY, n numeric(12, 2));"
        "CREATE VIEW hubspot.mine AS SELECT n FROM hubspot.t"
    )
    for _ in range(2):
        pg.load(
            pg.schema("t", {"id": "integer", "n": "number"}, ["id"]),
            pg.records("t", {"id": 1, "n": 1.239}),
        )
    assert pg.rows("SELECT n, n__number FROM hubspot.t") == [(None, Decimal("1.239"))]


def test_a_generated_column_is_left_to_postgresql(pg: Loader) -> None:
    pg.rows(
        "CREATE SCHEMA hubspot; CREATE TABLE hubspot.t (id bigint PRIMARY KEY, w text, "
        "a text GENERATED ALWAYS AS (upper(w)) STORED)"
    )
    for value in ("x", "y"):
        pg.load(
            pg.schema("t", {**AB, "w": "string"}, ["id"]),
            pg.records("t", {"id": 1, "w": "w", "a": value}),
        )
    assert pg.rows("SELECT a, a__text FROM hubspot.t") == [("W", "y")]


def test_a_partitioned_table_is_merged_into(pg: Loader) -> None:
    pg.rows(
        "CREATE SCHEMA hubspot; CREATE TABLE hubspot.t (_tenant_id text, id bigint, a text, "
        "PRIMARY KEY (_tenant_id, id)) PARTITION BY LIST (_tenant_id);"
        "CREATE TABLE hubspot.t_a PARTITION OF hubspot.t FOR VALUES IN ('a')"
    )
    schema = pg.schema("t", {**AB, "_tenant_id": "string"}, ["_tenant_id", "id"])
    for version, a in enumerate(("x", "y", "y"), start=1):
        pg.load(
            schema,
            pg.records("t", {"_tenant_id": "a", "id": 1, "a": a}, version=version),
            pg.records("t", {"_tenant_id": "a", "id": version + 1, "a": a}, version=version),
            pg.records("t", {"_tenant_id": "nowhere", "id": 1, "a": a}, version=version),
            pg.activate("t", version),
            max_rejected_records=-1,
        )
    assert pg.rows("SELECT id, a FROM hubspot.t_a WHERE _sdc_deleted_at IS NULL ORDER BY id") == [
        (1, "y"),
        (4, "y"),
    ]
    assert pg.rows("SELECT DISTINCT reason FROM hubspot._rejected_records") == [
        ('no partition of relation "t" found for row',)
    ]


def test_someones_trigger_may_change_rows(pg: Loader) -> None:
    schema = pg.schema("t", AB, ["id"])
    pg.load(schema)
    pg.rows(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN NEW.a := upper(NEW.a); RETURN NEW; END $$;"
        "CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON hubspot.t "
        "FOR EACH ROW EXECUTE FUNCTION shout()"
    )
    for a in ("x", "y"):
        pg.load(schema, pg.records("t", {"id": 1, "a": a}, {"id": 2, "a": a}))
    assert pg.rows("SELECT a FROM hubspot.t") == [("Y",), ("Y",)]


def test_a_table_of_another_role_is_written_but_not_changed(pg: Loader) -> None:
    role = "writer_" + pg.rows("SELECT current_database()")[0][0]
    pg.load(pg.schema("t", AB, ["id"]), pg.records("t", {"id": 1, "a": "x"}))
    pg.rows(
        f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA hubspot TO {role};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON hubspot.t TO {role}"
    )
    admin = pg.url
    try:
        pg.url = admin.replace("postgres@", f"{role}@")
        pg.load(pg.schema("t", AB, ["id"]), pg.records("t", {"id": 1, "a": "y"}, {"id": 2}))
        with pytest.raises(DatabaseError, match="must be owner of table t"):
            pg.load(pg.schema("t", {**AB, "new": "string"}, ["id"]))
    finally:
        pg.url = admin
        pg.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert pg.rows("SELECT * FROM hubspot.t ORDER BY id") == [(1, "y"), (2, None)]


def test_a_database_that_may_only_be_read_says_so(pg: Loader) -> None:
    name = pg.rows("SELECT current_database()")[0][0]
    pg.rows(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    with pytest.raises(DatabaseError, match="read-only transaction"):
        pg.load(pg.schema("t", AB, ["id"]), pg.records("t", {"id": 1}), pg.state(1))
    assert pg.states == []


@pytest.mark.parametrize(
    "taken",
    [
        # Another tap's tables, of which people would not expect that we look at them.
        "CREATE TABLE hubspot.current_associations (a integer)",
        "CREATE TABLE hubspot.books (id bigint PRIMARY KEY, read_at date)",
        "CREATE TABLE hubspot.notes (id text PRIMARY KEY, read_at timestamptz, archived text)",
        "CREATE TABLE hubspot.associations_to (a integer)",
    ],
)
def test_tables_of_others_beside_the_links_do_no_harm(pg: Loader, taken: str) -> None:
    pg.rows(f"CREATE SCHEMA hubspot; {taken}")
    pg.load(
        pg.schema("associations", {**LINKS, "read_at": MOMENT}, list(LINKS)),
        pg.schema("deals", {"id": "string", "read_at": MOMENT}, ["id"]),
        pg.records("deals", {"id": "1"}),
    )
    assert pg.rows("SELECT id FROM hubspot.deals") == [("1",)]


def test_a_stream_may_have_the_name_of_a_table_of_ours(pg: Loader) -> None:
    specs: dict[str, Any] = {"stream": "string", "reason": "integer"}
    pg.load(
        pg.schema("_rejected_records", specs, ["stream"]),
        pg.records("_rejected_records", {"stream": "x", "reason": 1}, {"stream": 5}),
        max_rejected_records=-1,
    )
    assert pg.rows("SELECT stream FROM hubspot._rejected_records") == [("_rejected_records",)]
    [(table,)] = pg.rows(
        "SELECT relname FROM pg_class "
        "WHERE relkind = 'r' AND relname ~ '^_rejected_records_[0-9a-f]{8}$'"
    )
    assert pg.rows(f"SELECT reason FROM hubspot.{table}") == [(1,)]


def test_a_column_that_counts_by_itself_goes_on_counting(pg: Loader) -> None:
    pg.rows(
        "CREATE SCHEMA hubspot; CREATE TABLE hubspot.t (id bigint PRIMARY KEY, v text, "
        "at int GENERATED BY DEFAULT AS IDENTITY, n int GENERATED ALWAYS AS IDENTITY)"
    )
    schema = pg.schema("t", {"id": "integer", "v": "string"}, ["id"])

    for v in ("x", "y"):
        pg.load(schema, pg.records("t", {"id": 1, "v": v}, {"id": 2}))

    assert pg.rows("SELECT id, v, at, n FROM hubspot.t ORDER BY 1") == [
        (1, "y", 1, 1),
        (2, None, 2, 2),
    ]
