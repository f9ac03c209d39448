"""ACTIVATE_VERSION and deletion: what the source lost goes, of the tenants that the run wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from target_deals_postgres.errors import SchemaMissingError

if TYPE_CHECKING:
    from target.conftest import Loader

pytestmark = pytest.mark.every_version

TENANTS = {"_tenant_id": "string", "id": "integer", "v": "string"}
KEYS = ["_tenant_id", "id"]


def rows(tenant: str, *ids: int, v: str = "x") -> list[dict[str, Any]]:
    return [{"_tenant_id": tenant, "id": id_, "v": v} for id_ in ids]


def alive(pg: Loader, table: str = "t") -> list[Any]:
    return pg.rows(
        f"SELECT _tenant_id, id FROM hubspot.{table} WHERE _sdc_deleted_at IS NULL ORDER BY 1, 2"
    )


def test_only_the_tenants_that_were_written_lose_rows(pg: Loader) -> None:
    schema = pg.schema("t", TENANTS, KEYS)
    for tenant in "ab":
        pg.load(schema, pg.records("t", *rows(tenant, 1, 2, 3), version=1), pg.activate("t", 1))
    pg.load(schema, pg.records("t", *rows("a", 1, 3), version=2), pg.activate("t", 2))
    assert alive(pg) == [("a", 1), ("a", 3), ("b", 1), ("b", 2), ("b", 3)]
    assert pg.rows("SELECT count(*) FROM hubspot.t") == [(6,)]
    assert "t: version 2 is active, 1 rows deleted" in pg.log


def test_a_tenant_without_a_row_is_named_by_the_schema(pg: Loader) -> None:
    schema = pg.schema("t", TENANTS, KEYS, **{"x-tenant-id": "a"})
    pg.load(pg.schema("t", TENANTS, KEYS), pg.records("t", *rows("a", 1), *rows("b", 1), version=1))
    pg.load(schema, pg.activate("t", 2))
    assert alive(pg) == [("b", 1)]


def test_rows_of_a_tenant_stay_when_its_records_came_in_another_version(pg: Loader) -> None:
    pg.load(
        pg.schema("t", TENANTS | {"d": "date"}, KEYS),
        pg.records("t", *rows("a", 1, 2), *rows("b", 1, 2), version=1),
    )
    for odd in ({"d": "2026-02-30"}, {"d": "2026-02-28"}):  # PostgreSQL refuses the first
        pg.load(
            pg.schema("t", TENANTS | {"d": "date"}, KEYS),
            pg.records("t", {"_tenant_id": "a", "id": 3} | odd, version=3),
            pg.records("t", *rows("b", 1), version=2),
            pg.activate("t", 2),
        )
        assert ("a", 2) in alive(pg)
        assert ("b", 2) not in alive(pg)


def test_without_a_name_and_a_row_nothing_is_deleted(pg: Loader) -> None:
    schema = pg.schema("t", TENANTS, KEYS)
    pg.load(schema, pg.records("t", *rows("a", 1), version=1))
    pg.load(schema, pg.activate("t", 2))
    assert alive(pg) == [("a", 1)]


def test_scans_of_a_tenant_do_not_delete_each_other(pg: Loader) -> None:
    schema = pg.schema(
        "t",
        {"_tenant_id": "string", "_scan_id": "string", "id": "integer"},
        ["_tenant_id", "_scan_id", "id"],
    )
    for version, scan in enumerate(("one", "two"), start=1):
        pg.load(
            schema,
            pg.records("t", {"_tenant_id": "a", "_scan_id": scan, "id": version}, version=version),
            pg.activate("t", version),
        )
    assert alive(pg) == [("a", 1), ("a", 2)]


def test_a_table_without_tenants_is_judged_whole(pg: Loader) -> None:
    schema = pg.schema("t", {"id": "integer"}, ["id"])
    pg.load(schema, pg.records("t", {"id": 1}, {"id": 2}))  # before there were versions
    pg.load(schema, pg.records("t", {"id": 2}, {"id": 3}, version=1), pg.activate("t", 1))
    assert pg.rows("SELECT id FROM hubspot.t WHERE _sdc_deleted_at IS NULL ORDER BY 1") == [
        (2,),
        (3,),
    ]


def test_hard_delete_removes_the_rows(pg: Loader) -> None:
    schema = pg.schema("t", TENANTS, KEYS)
    pg.load(
        schema, pg.records("t", *rows("a", 1, 2), *rows("b", 1), version=1), pg.activate("t", 1)
    )
    pg.load(
        schema, pg.records("t", *rows("a", 2), version=2), pg.activate("t", 2), hard_delete=True
    )
    assert pg.rows("SELECT _tenant_id, id FROM hubspot.t ORDER BY 1, 2") == [("a", 2), ("b", 1)]


def test_a_row_that_comes_again_lives_again(pg: Loader) -> None:
    schema = pg.schema("t", TENANTS, KEYS)
    pg.load(schema, pg.records("t", *rows("a", 1, 2), version=1))
    pg.load(schema, pg.records("t", *rows("a", 1), version=2), pg.activate("t", 2))
    assert alive(pg) == [("a", 1)]
    pg.load(schema, pg.records("t", *rows("a", 2), version=2))  # an incremental run, same version
    assert alive(pg) == [("a", 1), ("a", 2)]
    pg.load(schema, pg.records("t", *rows("a", 2), version=3), pg.activate("t", 3))
    pg.load(schema, pg.records("t", *rows("a", 1)))  # without a version too
    assert alive(pg) == [("a", 1), ("a", 2)]


def test_incremental_runs_between_full_reads_delete_nothing_and_rewrite_nothing(pg: Loader) -> None:
    schema = pg.schema("t", TENANTS, KEYS)
    pg.load(schema, pg.records("t", *rows("a", 1, 2, 3), version=5), pg.activate("t", 5))
    before = pg.rows("SELECT id, xmin::text FROM hubspot.t ORDER BY id")
    pg.load(schema, pg.records("t", *rows("a", 2), version=5))
    assert pg.rows("SELECT id, xmin::text FROM hubspot.t ORDER BY id") == before
    pg.load(schema, pg.records("t", *rows("a", 1, 2), version=6), pg.activate("t", 6))
    assert alive(pg) == [("a", 1), ("a", 2)]


def test_versions_do_not_change_rows_that_belong_to_newer_ones(pg: Loader) -> None:
    schema = pg.schema("t", TENANTS, KEYS)
    pg.load(schema, pg.records("t", *rows("a", 1), version=9))
    pg.load(schema, pg.records("t", *rows("a", 2), version=8), pg.activate("t", 8))
    assert alive(pg) == [("a", 1), ("a", 2)]


def test_activate_version_may_be_switched_off(pg: Loader) -> None:
    schema = pg.schema("t", TENANTS, KEYS)
    pg.load(schema, pg.records("t", *rows("a", 1), version=1))
    pg.load(
        schema,
        pg.records("t", *rows("a", 2), version=2),
        pg.activate("t", 2),
        process_activate_version_messages=False,
    )
    assert alive(pg) == [("a", 1), ("a", 2)]


def test_activate_version_of_an_unknown_stream_is_an_error(pg: Loader) -> None:
    with pytest.raises(SchemaMissingError, match="ACTIVATE_VERSION of stream t came before"):
        pg.load(pg.activate("t", 1))


def test_records_may_carry_their_deletion(pg: Loader) -> None:
    schema = pg.schema(
        "t",
        {
            "id": "integer",
            "v": "string",
            "_sdc_deleted_at": {"type": ["string", "null"], "format": "date-time"},
        },
        ["id"],
    )
    pg.load(schema, pg.records("t", {"id": 1, "v": "kept"}, {"id": 2, "v": "x"}))
    deletion = {"id": 1, "_sdc_deleted_at": "2026-01-01T00:00:00Z"}
    pg.load(schema, pg.records("t", deletion))
    assert pg.rows("SELECT id, v FROM hubspot.t WHERE _sdc_deleted_at IS NOT NULL") == [(1, "kept")]
    pg.load(schema, pg.records("t", deletion, {"id": 3}), hard_delete=True)
    assert pg.rows("SELECT id FROM hubspot.t ORDER BY 1") == [(2,), (3,)]
