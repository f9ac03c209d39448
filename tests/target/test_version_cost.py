"""A new version of rows that stay as they are: noted, not written into them, never forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from harness.database import connect
from harness.loading import until

if TYPE_CHECKING:
    from harness.loading import Start
    from target.conftest import Loader, Message

pytestmark = pytest.mark.every_version

ROWS = 20_000
MOST = 20  # bytes of WAL for an unchanged row: 1 MB for 50,000
PROPERTIES = {"_tenant_id": "string", "id": "integer", "v": "string"}
KEYS = ["_tenant_id", "id"]


def came(pg: Loader, version: int, *ids: int, tenant: str = "a") -> list[Message]:
    rows = [{"_tenant_id": tenant, "id": id_, "v": f"row {id_}"} for id_ in ids]
    return pg.records("t", *rows, version=version)


def alive(pg: Loader, tenant: str = "a") -> list[int]:
    return [
        id_
        for (id_,) in pg.rows(
            "SELECT id FROM hubspot.t WHERE _sdc_deleted_at IS NULL AND _tenant_id = %s "
            "ORDER BY id",
            tenant,
        )
    ]


def test_an_identical_load_with_a_new_version_writes_next_to_nothing(pg: Loader) -> None:
    schema = pg.schema("t", PROPERTIES, KEYS)
    position = "SELECT pg_current_wal_insert_lsn() - '0/0', pg_relation_size('hubspot.t')"
    pg.load(schema, came(pg, 1, *range(ROWS)), pg.activate("t", 1))
    for version in (2, 3):
        [(before, size)] = pg.rows(position)
        pg.load(schema, came(pg, version, *range(ROWS)), pg.activate("t", version))
        [(after, now)] = pg.rows(position)
        assert f"{ROWS} processed, 0 created, 0 updated, {ROWS} unchanged" in pg.log
        assert 0 < after - before < MOST * ROWS
        assert now == size
    assert len(alive(pg)) == ROWS


def test_what_is_noted_goes_with_the_activation_and_other_tenants_keep_theirs(pg: Loader) -> None:
    schema = pg.schema("t", PROPERTIES, KEYS)
    pg.load(schema, came(pg, 1, 1, 2), came(pg, 1, 1, 2, tenant="b"), pg.activate("t", 1))
    pg.load(schema, came(pg, 2, 1, tenant="b"))
    pg.load(schema, came(pg, 3, 1), pg.activate("t", 3))
    noted = (
        "SELECT _tenant_id, version, active, cardinality(seen) FROM hubspot._versions ORDER BY 1"
    )
    assert pg.rows(noted) == [("a", 3, True, None), ("b", 1, True, None), ("b", 2, False, 1)]
    pg.load(schema, came(pg, 2, 3, tenant="b"), pg.activate("t", 2))
    assert (alive(pg), alive(pg, "b")) == ([1], [1, 3])
    assert pg.rows(noted) == [("a", 3, True, None), ("b", 2, True, None)]
    pg.load(schema, came(pg, 2, 1, tenant="b"))  # the version is active: nothing is noted
    assert pg.rows(noted) == [("a", 3, True, None), ("b", 2, True, None)]


def test_a_run_that_goes_on_after_a_kill_deletes_what_neither_of_both_brought(
    pg: Loader, start: Start
) -> None:
    schema = pg.schema("t", PROPERTIES, KEYS)
    pg.load(schema, came(pg, 1, *range(3000)), pg.activate("t", 1))
    process = start(pg.url)
    process.send(schema)
    for at in range(0, 2500, 500):
        process.send(*came(pg, 2, *range(at, at + 500)), pg.state(at + 500))
    until(lambda: bool(process.states()))
    process.popen.kill()
    process.popen.wait()
    done = process.states()[-1]
    assert done <= 2500

    # Of these, 2,600 to 2,699 are gone.
    rest = came(pg, 2, *range(done, 2600), *range(2700, 3000))
    pg.load(schema, rest, pg.activate("t", 2), batch_size_rows=400)

    assert alive(pg) == [*range(2600), *range(2700, 3000)]


def test_a_version_that_is_older_than_the_active_one_deletes_nothing(pg: Loader) -> None:
    schema = pg.schema("t", PROPERTIES, KEYS)
    pg.load(schema, came(pg, 1, 1, 2, 3))
    pg.load(schema, came(pg, 3, 1, 2), pg.activate("t", 3))
    pg.load(schema, came(pg, 2, 2), pg.activate("t", 2))
    assert alive(pg) == [1, 2]
    assert "version 2, or a newer one, was active already" in pg.log


def test_a_key_that_changes_while_a_version_comes_deletes_nothing(pg: Loader) -> None:
    schema = pg.schema("t", PROPERTIES, KEYS)
    pg.load(schema, came(pg, 1, 1, 2, 3), pg.activate("t", 1))
    pg.load(schema, came(pg, 2, 1))
    wider = pg.schema("t", PROPERTIES | {"id": "number"}, KEYS)
    pg.load(wider, came(pg, 2, 2), pg.activate("t", 2))
    assert alive(pg) == [1, 2, 3]
    assert "since the key changed while it came" in pg.log
    pg.load(wider, came(pg, 3, 2), pg.activate("t", 3))
    assert alive(pg) == [2]


@pytest.mark.parametrize("hard", [False, True])
def test_keys_in_other_spellings_and_types_are_seen(pg: Loader, *, hard: bool) -> None:
    key = {
        "at": {"type": "string", "format": "date-time"},
        "id": {"type": "string", "format": "uuid"},
        "n": {"type": "number"},
        "o": {"type": "object"},
    }
    one = {"at": "2026-01-01T01:00:00+01:00", "id": f"{'A' * 8}-{'B' * 4}-4CCC-8DDD-{'E' * 12}"}
    more = {"at": "2026-01-01T00:00:00Z", "id": one["id"].lower()}
    schema = pg.schema("t", key, list(key))
    both = [one | {"n": 1, "o": {"a": 1, "b": 2}}, one | {"n": 2, "o": {}}]
    pg.load(schema, pg.records("t", *both, version=1), pg.activate("t", 1))
    again = more | {"n": 1.0, "o": {"b": 2, "a": 1}}
    pg.load(schema, pg.records("t", again, version=2), pg.activate("t", 2), hard_delete=hard)
    assert pg.rows("SELECT n FROM hubspot.t WHERE _sdc_deleted_at IS NULL") == [(1,)]


def test_a_role_that_may_make_no_table_writes_the_version_into_the_rows(pg: Loader) -> None:
    schema = pg.schema("t", PROPERTIES, KEYS)
    pg.load(schema, came(pg, 1, 1, 2, 3), pg.activate("t", 1))
    with connect(pg.url) as opened, opened.cursor() as cur:
        cur.execute("DROP TABLE hubspot._versions")
        cur.execute("DROP ROLE IF EXISTS plain_loader; CREATE ROLE plain_loader LOGIN")
        cur.execute("GRANT USAGE ON SCHEMA hubspot TO plain_loader")
        cur.execute("GRANT SELECT, INSERT, UPDATE ON hubspot.t TO plain_loader")
    parts = urlsplit(pg.url)
    url = urlunsplit(parts._replace(netloc=parts.netloc.replace("postgres@", "plain_loader@")))
    pg.load(schema, came(pg, 2, 1, 2), pg.activate("t", 2), database_url=url, loads=False)
    assert alive(pg) == [1, 2]
    assert "_versions cannot be used (permission denied" in pg.log
    versions: list[Any] = pg.rows("SELECT _sdc_table_version FROM hubspot.t ORDER BY id")
    assert versions == [(2,), (2,), (1,)]


def test_a_tenant_sees_nothing_of_the_versions_of_others(pg: Loader) -> None:
    schema = pg.schema("t", PROPERTIES, KEYS)
    for version in (1, 2):
        rows = [came(pg, version, 1, 2, tenant=tenant) for tenant in "ab"]
        pg.load(schema, *rows, row_level_security=True)
    with connect(pg.url) as opened, opened.cursor() as cur:
        cur.execute("DROP ROLE IF EXISTS versions_reader; CREATE ROLE versions_reader")
        cur.execute("GRANT USAGE ON SCHEMA hubspot TO versions_reader")
        cur.execute("GRANT SELECT ON hubspot._versions TO versions_reader")
        cur.execute("SET ROLE versions_reader; SET app.tenant_id = 'b'")
        cur.execute("SELECT DISTINCT _tenant_id FROM hubspot._versions")
        assert cur.fetchall() == [("b",)]
