"""Row-level security: a session sees the tenant that it names, through tables and views alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from harness.database import connect
from target_deals_postgres.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target.conftest import Loader

pytestmark = pytest.mark.every_version
MOMENT = {"type": "string", "format": "date-time"}
DEALS = {"_tenant_id": "string", "id": "string", "read_at": MOMENT}
LINKS = dict.fromkeys(
    ("_tenant_id", "from_object_type", "from_id", "to_object_type", "to_id"), "string"
) | {"read_at": MOMENT}


@pytest.fixture
def secured(pg: Loader) -> Iterator[Loader]:
    """Two tenants' deals and links, loaded by a role that owns the schema and is no superuser."""
    name = pg.rows("SELECT current_database()")[0][0]
    for role in ("owner", "reader"):
        pg.rows(f"CREATE ROLE {role}_{name} LOGIN PASSWORD 'x'")
    pg.rows(f"CREATE SCHEMA hubspot AUTHORIZATION owner_{name}")
    admin = pg.url
    pg.url = admin.replace("postgres@", f"owner_{name}@")
    load(pg)
    pg.rows(f"GRANT USAGE ON SCHEMA hubspot TO reader_{name}")
    pg.rows(
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA hubspot TO reader_{name}"
    )
    yield pg
    pg.url = admin
    for role in ("owner", "reader"):
        pg.rows(f"DROP OWNED BY {role}_{name}; DROP ROLE {role}_{name}")


def load(pg: Loader, **settings: Any) -> None:
    at = "2026-01-01T00:00:00Z"
    deals = [
        {"_tenant_id": tenant, "id": str(id_), "read_at": at} for id_ in range(3) for tenant in "ab"
    ]
    links = [
        {
            "_tenant_id": tenant,
            "from_object_type": "deals",
            "from_id": "1",
            "to_object_type": "contacts",
            "to_id": tenant,
            "read_at": at,
        }
        for tenant in "ab"
    ]
    pg.load(
        pg.schema("deals", DEALS, ["_tenant_id", "id"]),
        pg.schema("associations", LINKS, list(LINKS)[:-1]),
        pg.schema("plain", {"id": "integer"}, ["id"]),
        pg.records("deals", *deals, version=1),
        pg.records("associations", *links),
        pg.records("deals", {"_tenant_id": "a", "read_at": at}),
        pg.activate("deals", 1),
        row_level_security=True,
        max_rejected_records=-1,
        **settings,
    )


def seen(url: str, query: str, tenant: str | None = None) -> list[Any]:
    with connect(url) as opened, opened.cursor() as cursor:
        if tenant is not None:
            cursor.execute("SELECT set_config('app.tenant_id', %s, false)", (tenant,))
        cursor.execute(query)
        return cursor.fetchall()


@pytest.mark.parametrize(
    "table", ["deals", "associations", "current_associations", "_rejected_records"]
)
@pytest.mark.parametrize("role", ["owner", "reader"])
def test_nobody_sees_more_than_the_tenant_he_names(secured: Loader, role: str, table: str) -> None:
    url = secured.url.replace("owner_", f"{role}_")
    query = f"SELECT DISTINCT _tenant_id FROM hubspot.{table}"
    assert seen(url, query) == []
    assert seen(url, query, "") == []
    assert seen(url, query, "a") == [("a",)]
    assert seen(url, query, "b") == ([] if table == "_rejected_records" else [("b",)])
    assert seen(url, f"SELECT count(*) FROM hubspot.{table}", "nobody") == [(0,)]


def test_a_tenant_cannot_write_rows_of_another(secured: Loader) -> None:
    url = secured.url.replace("owner_", "reader_")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        seen(url, "INSERT INTO hubspot.deals VALUES ('b', '9', now()) RETURNING id", "a")
    assert (
        seen(url, "UPDATE hubspot.deals SET id = 'x' WHERE _tenant_id = 'b' RETURNING id", "a")
        == []
    )


def test_the_loader_goes_on_writing_many_tenants_at_once(secured: Loader) -> None:
    load(secured)
    assert "deals: 7 processed, 0 created, 0 updated, 6 unchanged" in secured.log


def test_a_table_that_comes_later_or_was_open_before_is_protected_too(secured: Loader) -> None:
    secured.load(
        secured.schema("later", DEALS, ["id"]),
        secured.records("later", {"id": "1", "_tenant_id": "a"}, {"id": "2", "_tenant_id": "b"}),
    )
    assert len(seen(secured.url, "SELECT id FROM hubspot.later")) == 2
    secured.load(secured.schema("later", DEALS, ["id"]), row_level_security=True)
    assert seen(secured.url, "SELECT id FROM hubspot.later") == []
    assert seen(secured.url, "SELECT id FROM hubspot.later", "b") == [("2",)]


def test_tables_without_tenants_stay_open(secured: Loader) -> None:
    assert seen(secured.url.replace("owner_", "reader_"), "SELECT count(*) FROM hubspot.plain") == [
        (0,)
    ]


def test_readers_may_read_new_tables_and_only_those_are_granted(pg: Loader) -> None:
    pg.load(pg.schema("old", {"id": "integer"}, ["id"]))
    with connect(pg.url) as opened, opened.cursor() as cur:
        cur.execute('DROP ROLE IF EXISTS "a Reader"; CREATE ROLE "a Reader"')
    new = pg.schema("new", {"id": "integer"}, ["id"])
    for schema in (pg.schema("old", {"id": "integer", "x": "string"}, ["id"]), new, new):
        pg.load(schema, readers=["a Reader"])

    assert pg.rows(
        "SELECT has_table_privilege('a Reader', 'hubspot.new', 'SELECT'), "
        "has_table_privilege('a Reader', 'hubspot.new', 'INSERT'), "
        "has_table_privilege('a Reader', 'hubspot.old', 'SELECT'), "
        "has_schema_privilege('a Reader', 'hubspot', 'USAGE')"
    ) == [(True, False, False, True)]


def test_readers_may_read_what_the_target_says_of_loads_and_links(pg: Loader) -> None:
    with connect(pg.url) as opened, opened.cursor() as cur:
        cur.execute("DROP ROLE IF EXISTS analyst; CREATE ROLE analyst")
    moment = {"type": "string", "format": "date-time"}
    link = dict.fromkeys(("from_object_type", "from_id", "to_object_type", "to_id"), "string")
    link_schema = pg.schema("associations", link | {"read_at": moment}, list(link))
    deals = pg.schema("deals", {"id": "string", "read_at": moment}, ["id"])
    pg.load(
        *(deals, link_schema, pg.records("deals", {"x": "no key"})),
        readers=["analyst"],
        max_rejected_records=-1,
    )
    with connect(pg.url) as opened, opened.cursor() as cur:
        cur.execute("SELECT current_setting('server_version_num')::int >= 150000")
        views = ["_latest_loads", "current_associations"] if cur.fetchone() == (True,) else []
        cur.execute("SET ROLE analyst")
        for table in ("_loads", "_rejected_records", "deals", "associations", *views):
            cur.execute(f"SELECT count(*) FROM hubspot.{table}")
            assert cur.rowcount == 1


def test_a_reader_that_does_not_exist_is_named_before_anything_is_written(pg: Loader) -> None:
    with pytest.raises(DatabaseError, match="readers: the database has no role nobody_here"):
        pg.load(
            pg.schema("t", {"id": "integer"}, ["id"]),
            pg.records("t", {"id": 1}),
            readers=["nobody_here"],
        )
    assert pg.rows("SELECT to_regclass('hubspot.t')") == [(None,)]


def test_a_reader_whom_nobody_here_may_let_into_the_schema_is_named(pg: Loader) -> None:
    name = pg.rows("SELECT current_database()")[0][0]
    roles = [f"loader_{name}", f"reader_{name}"]
    for role in roles:
        pg.rows(f"CREATE ROLE {role} LOGIN")
    pg.rows(f"CREATE SCHEMA hubspot; GRANT USAGE, CREATE ON SCHEMA hubspot TO {roles[0]}")
    admin, pg.url = pg.url, pg.url.replace("postgres@", f"{roles[0]}@")
    pg.load(pg.schema("t", {"id": "integer"}, ["id"]), readers=[roles[1]])
    pg.url = admin
    assert f"readers: {roles[1]} may not enter the schema hubspot" in pg.log
    granted = "SELECT has_table_privilege(%s, 'hubspot.t', 'SELECT')"
    assert pg.rows(granted, roles[1]) == [(True,)]
    for role in roles:
        pg.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")
