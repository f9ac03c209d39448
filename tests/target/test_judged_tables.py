"""Tables on which people put constraints, triggers and policies: what these refuse is listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from target_deals_postgres.errors import DatabaseRefusedError

if TYPE_CHECKING:
    from target.conftest import Loader

pytestmark = pytest.mark.every_version
ALL: dict[str, Any] = {"max_rejected_records": -1}
PROPERTIES = {"id": "integer", "a": "integer", "b": "integer"}


@pytest.fixture
def schema(pg: Loader) -> Any:
    """A stream, of which the table is there."""
    schema = pg.schema("t", PROPERTIES, ["id"])
    pg.load(schema)
    return schema


def rejected(pg: Loader) -> list[Any]:
    return pg.rows("SELECT payload, reason FROM hubspot._rejected_records ORDER BY id")


@pytest.mark.parametrize("code", ["45000", "TR001", "20000", "27000", "38000", "P0001"])
def test_a_trigger_may_refuse_a_row_in_a_code_of_its_own(
    pg: Loader, schema: Any, code: str
) -> None:
    pg.rows(
        "CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NEW.a < 0 THEN RAISE 'too little' USING ERRCODE = '{code}'; END IF; "
        "RETURN NEW; END $$;"
        "CREATE TRIGGER judge BEFORE INSERT OR UPDATE ON hubspot.t "
        "FOR EACH ROW EXECUTE FUNCTION judge()"
    )
    pg.load(
        schema,
        pg.records("t", *({"id": at, "a": -1 if at == 3 else 1, "b": 1} for at in range(6))),
        pg.state(1),
        **ALL,
    )
    assert pg.rows("SELECT id FROM hubspot.t ORDER BY 1") == [(0,), (1,), (2,), (4,), (5,)]
    assert rejected(pg) == [('{"id":3,"a":-1,"b":1}', "too little")]
    assert pg.states == [1]


JUDGES = {
    "check": "ALTER TABLE hubspot.t ADD CHECK (a > 0)",
    "unique": "INSERT INTO hubspot.t VALUES (9, -1, 0); CREATE UNIQUE INDEX ON hubspot.t (a)",
    "expression": "CREATE INDEX ON hubspot.t ((1 / (a + 1)))",
    "generated": "ALTER TABLE hubspot.t ADD c bigint GENERATED ALWAYS AS (1 / (a + 1)) STORED",
    "foreign": "CREATE TABLE hubspot.p (id bigint PRIMARY KEY); INSERT INTO hubspot.p VALUES (1);"
    "ALTER TABLE hubspot.t ADD FOREIGN KEY (a) REFERENCES hubspot.p",
}


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("batch", [1, 100])
def test_each_record_of_a_key_is_judged_whatever_the_batch(
    pg: Loader, schema: Any, judge: str, batch: int
) -> None:
    pg.rows(JUDGES[judge])
    records: list[Any] = []
    for at in range(3):
        records += [{"id": at, "b": at}, {"id": at, "a": -1, "b": 7}, {"id": at, "b": at + 5}]
    records += [{"id": 0, "a": 1}, {"id": 4, "a": -1, "b": 7}, {"id": 4, "b": 8}]
    pg.load(schema, pg.records("t", *records), batch_size_rows=batch, **ALL)
    assert pg.rows("SELECT id, a, b FROM hubspot.t WHERE id < 9 ORDER BY 1") == [
        (0, 1, 5),
        (1, None, 6),
        (2, None, 7),
        (4, None, 8),
    ]
    assert len(rejected(pg)) == 4


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_trigger_fires_once_for_each_record_that_changes_its_row(
    pg: Loader, schema: Any, batch: int
) -> None:
    pg.rows(
        "CREATE TABLE hubspot.fired (how text, id bigint);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO hubspot.fired VALUES (TG_OP, NEW.id); NEW.b := NEW.b + 100; "
        "RETURN NEW; END $$;"
        "CREATE TRIGGER note BEFORE INSERT OR UPDATE ON hubspot.t "
        "FOR EACH ROW EXECUTE FUNCTION note()"
    )
    first = pg.records("t", {"id": 1, "a": 1, "b": 1}, {"id": 2, "b": 2}, {"id": 3, "a": 3})
    again = pg.records("t", {"id": 1, "a": 7}, {"id": 3, "a": 3}, {"id": 2, "a": 1, "b": 5})
    pg.load(schema, first, batch_size_rows=batch)
    pg.load(schema, again, batch_size_rows=batch)
    assert pg.rows("SELECT id, a, b FROM hubspot.t ORDER BY 1") == [
        (1, 7, 201),
        (2, 1, 105),
        (3, 3, None),
    ]
    assert pg.rows("SELECT how, id FROM hubspot.fired ORDER BY 1, 2") == [
        *(("INSERT", at) for at in (1, 2, 3)),
        *(("UPDATE", at) for at in (1, 2)),
    ]
    assert pg.rows(
        "SELECT created, updated, unchanged FROM hubspot._loads WHERE processed > 0 "
        "ORDER BY started_at"
    ) == [(3, 0, 0), (0, 2, 1)]


@pytest.mark.parametrize("batch", [1, 100])
def test_a_null_where_a_default_is_wanted_is_judged_too(pg: Loader, batch: int) -> None:
    pg.rows(
        "CREATE SCHEMA hubspot; CREATE TABLE hubspot.t (id bigint PRIMARY KEY, b bigint, "
        "a bigint NOT NULL DEFAULT 5)"
    )
    pg.load(
        pg.schema("t", PROPERTIES, ["id"]),
        pg.records("t", {"id": 1, "a": None, "b": 7}, {"id": 1, "a": 6}),
        batch_size_rows=batch,
        **ALL,
    )
    assert pg.rows("SELECT id, a, b FROM hubspot.t") == [(1, 6, None)]
    assert len(rejected(pg)) == 1


def test_a_deferred_constraint_costs_the_records_that_break_it(pg: Loader, schema: Any) -> None:
    parents = pg.schema("p", {"id": "integer"}, ["id"])
    pg.load(parents)
    pg.rows(
        "ALTER TABLE hubspot.t ADD CONSTRAINT of FOREIGN KEY (a) REFERENCES hubspot.p "
        "DEFERRABLE INITIALLY DEFERRED"
    )
    # A child before its parent, in one batch.
    pg.load(schema, parents, pg.records("t", {"id": 1, "a": 1}), pg.records("p", {"id": 1}))
    assert rejected(pg) == []
    pg.load(
        schema,
        pg.records("t", {"id": 2, "a": 7}, {"id": 3, "a": 1}, {"id": 4, "b": 2}),
        pg.state(1),
        **ALL,
    )
    assert pg.rows("SELECT id, a FROM hubspot.t ORDER BY 1") == [(1, 1), (3, 1), (4, None)]
    [(payload, reason)] = rejected(pg)
    assert payload == '{"id":2,"a":7}'
    assert "violates foreign key constraint" in reason
    assert pg.states == [1]
    [counts] = pg.rows(
        "SELECT processed, created, rejected FROM hubspot._loads ORDER BY started_at DESC LIMIT 1"
    )
    assert counts == (3, 2, 1)


@pytest.mark.parametrize("batch", [1, 100])
def test_a_column_that_counts_by_itself_counts_for_records_that_say_nothing(
    pg: Loader, batch: int
) -> None:
    pg.rows(
        "CREATE SCHEMA hubspot; CREATE TABLE hubspot.t (id bigint PRIMARY KEY, b bigint, "
        "a bigint GENERATED BY DEFAULT AS IDENTITY)"
    )
    pg.load(
        pg.schema("t", PROPERTIES, ["id"]),
        pg.records("t", {"id": 1, "a": 50}, {"id": 2, "b": 1}, {"id": 3}),
        batch_size_rows=batch,
    )
    assert pg.rows("SELECT id, a FROM hubspot.t ORDER BY 1") == [(1, 50), (2, 1), (3, 2)]


@pytest.mark.parametrize("batch", [1, 100])
def test_rows_that_a_policy_hides_are_never_passed_by(pg: Loader, schema: Any, batch: int) -> None:
    role = "loader_" + pg.rows("SELECT current_database()")[0][0]
    pg.load(schema, pg.records("t", {"id": 1, "a": 0, "b": 1}))
    pg.rows(
        f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA hubspot TO {role};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA hubspot TO {role};"
        "ALTER TABLE hubspot.t ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY seen ON hubspot.t USING (a > 0) WITH CHECK (true)"
    )
    admin = pg.url
    try:
        pg.url = admin.replace("postgres@", f"{role}@")
        with pytest.raises(DatabaseRefusedError, match="row-level security"):
            pg.load(
                schema,
                pg.records("t", {"id": 1, "a": 5}, {"id": 2, "a": 5, "b": 5}),
                pg.state(1),
                batch_size_rows=batch,
            )
        assert pg.states == []
    finally:
        pg.url = admin
        pg.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")
