"""What may be removed, and what may not: rejected, cut and returning records delete nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from harness.database import connect
from target_deals_postgres.errors import RejectedRecordsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target.conftest import Loader

DATE = {"type": ["string", "null"], "format": "date"}
MOMENT = {"type": ["string", "null"], "format": "date-time"}
GONE = "2026-01-01T00:00:00Z"
BOTH = pytest.mark.parametrize("hard", [False, True])


def left(pg: Loader, name: str = "id") -> list[Any]:
    return pg.rows(f"SELECT {name} FROM hubspot.t WHERE _sdc_deleted_at IS NULL ORDER BY 1")


@BOTH
@pytest.mark.parametrize("bad", ["2026-02-30", "nonsense"])  # PostgreSQL finds out, or the target
@pytest.mark.parametrize("runs", [1, 2])
def test_a_version_with_a_rejected_record_deletes_nothing_of_its_tenant(
    pg: Loader, bad: str, runs: int, *, hard: bool
) -> None:
    schema = pg.schema(
        "t", {"_tenant_id": "string", "id": "integer", "d": DATE}, ["_tenant_id", "id"]
    )

    def of(tenant: str, id_: int, day: str = "2026-01-01") -> dict[str, Any]:
        return {"_tenant_id": tenant, "id": id_, "d": day}

    old = [of("a", 1), of("a", 2), of("b", 3), of("b", 4)]
    pg.load(schema, pg.records("t", *old, version=1), pg.activate("t", 1))
    first = pg.records("t", of("a", 2, bad), of("a", 5), version=2)
    rest = [*pg.records("t", of("b", 4), version=2), *pg.records("t", of("a", 5), version=2)]
    more = {"max_rejected_records": -1, "hard_delete": hard}
    if runs == 2:
        pg.load(schema, first, **more)
        first = []
    pg.load(schema, first, rest, pg.activate("t", 2), **more)
    assert left(pg) == [(1,), (2,), (4,), (5,)]
    assert "version 2 deletes nothing of 1 tenants, since records of it were rejected" in pg.log
    pg.load(schema, pg.records("t", of("a", 2), version=3), pg.activate("t", 3), **more)
    assert left(pg) == [(2,), (4,)]


def test_values_of_rejected_records_are_not_in_the_log(pg: Loader) -> None:
    schema = pg.schema("t", {"id": "integer", "d": DATE}, ["id"])
    pg.load(schema, pg.records("t", {"id": 1, "d": "2026-02-30"}), max_rejected_records=-1)
    assert "a record was rejected: date/time field value out of range" in pg.log
    assert "2026-02-30" not in pg.log


@BOTH
def test_a_version_that_is_activated_before_its_records_deletes_nothing(
    pg: Loader, *, hard: bool
) -> None:
    schema = pg.schema("t", {"id": "integer", "a": "integer"}, ["id"])
    pg.load(schema, pg.records("t", {"id": 1, "a": 1}, {"id": 2, "a": 2}, version=1))
    # As the SDK's taps do it, cut after the first record; a child stream does it again and again.
    pg.load(
        schema,
        pg.activate("t", 2),
        pg.records("t", {"id": 1}, version=2),
        pg.activate("t", 2),
        hard_delete=hard,
    )
    assert pg.rows("SELECT id, a FROM hubspot.t WHERE _sdc_deleted_at IS NULL ORDER BY 1") == [
        (1, 1),
        (2, 2),
    ]
    assert "came before its records" in pg.log
    pg.load(schema, pg.records("t", {"id": 1}, version=3), pg.activate("t", 3), hard_delete=hard)
    assert left(pg, "a") == [(1,)]


@BOTH
@pytest.mark.parametrize("versions", [{}, {"version": 7}])
@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("mapped", [{}, {"stream_maps": {"t": {"more": "'x'"}}}])
def test_a_record_may_say_that_it_is_deleted_in_every_mode(
    pg: Loader, versions: Any, mapped: Any, *, hard: bool, declared: bool
) -> None:
    mark = {"_sdc_deleted_at": MOMENT} if declared else {}
    schema = pg.schema("t", {"id": "integer", "a": "integer", **mark}, ["id"])
    pg.load(schema, pg.records("t", {"id": 1, "a": 1}, {"id": 2, "a": 2}, **versions), **mapped)
    gone = pg.records("t", {"id": 1, "_sdc_deleted_at": GONE}, {"id": 2, "a": 3}, **versions)
    pg.load(schema, gone, hard_delete=hard, **mapped)
    assert left(pg, "id, a") == [(2, 3)]
    assert pg.rows("SELECT count(*) FROM hubspot.t") == [(1 if hard else 2,)]
    assert "_extra" not in pg.types("t")


@BOTH
@pytest.mark.parametrize("batch", [1, 100])
@pytest.mark.parametrize("declared", [False, True])
def test_a_deleted_row_that_comes_again_lives_again(
    pg: Loader, batch: int, *, hard: bool, declared: bool
) -> None:
    mark = {"_sdc_deleted_at": MOMENT} if declared else {}
    schema = pg.schema("t", {"id": "integer", "a": "integer", "b": "integer", **mark}, ["id"])
    pg.load(schema, pg.records("t", {"id": 1, "a": 1, "b": 1}, {"id": 2, "a": 2, "b": 2}))
    deletion: dict[str, Any] = {"id": 1, "_sdc_deleted_at": GONE}
    pg.load(schema, pg.records("t", deletion))  # softly
    pg.load(schema, pg.records("t", {"id": 1, "a": 5}), hard_delete=hard)
    assert left(pg, "id, a, b") == [(1, 5, 1), (2, 2, 2)]
    again: list[dict[str, Any]] = [
        deletion,
        {"id": 2, "a": 9},
        {"id": 1, "a": 6},
        deletion,
        {"id": 1, "b": 7},
    ]
    pg.load(schema, pg.records("t", *again), hard_delete=hard, batch_size_rows=batch)
    assert left(pg, "id, a, b") == [(1, None if hard else 6, 7), (2, 9, 2)]


def test_other_targets_mark_of_a_deletion_is_kept_in_its_own_type(pg: Loader) -> None:
    pg.rows("CREATE SCHEMA hubspot")
    pg.rows(
        "CREATE TABLE hubspot.t (id numeric PRIMARY KEY, v varchar, _sdc_batched_at timestamp, "
        "_sdc_extracted_at timestamp, _sdc_deleted_at varchar)"
    )
    pg.rows("INSERT INTO hubspot.t VALUES (1, 'x', now(), now(), NULL), (2, 'y', now(), now(), '')")
    schema = pg.schema("t", {"id": "integer", "v": "string"}, ["id"])
    pg.load(schema, pg.records("t", {"id": 1, "v": "z"}))
    pg.load(schema, pg.records("t", {"id": 2, "v": "z"}), add_record_metadata=True)
    assert left(pg, "id, v") == [(1, "z"), (2, "z")]
    pg.load(schema, pg.records("t", {"id": 1, "v": "z"}, version=2), pg.activate("t", 2))
    assert left(pg) == [(1,)]
    pg.load(schema, pg.records("t", {"id": 1, "_sdc_deleted_at": GONE}))
    assert pg.rows("SELECT _sdc_deleted_at FROM hubspot.t WHERE id = 1") == [(GONE,)]


@pytest.fixture
def poor(pg: Loader) -> Iterator[str]:
    """The URL of a role that may write into one table, and make none."""
    role = "poor_" + urlsplit(pg.url).path.strip("/")
    pg.load(pg.schema("t", {"id": "integer", "d": DATE}, ["id"]))
    pg.rows("DROP TABLE hubspot._rejected_records")
    pg.rows(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA hubspot TO {role}")
    pg.rows(f"GRANT SELECT, INSERT, UPDATE ON hubspot.t TO {role}")
    yield role
    with connect(pg.url) as opened, opened.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_role_that_may_make_no_table_is_told_at_once_and_loads_what_is_good(
    pg: Loader, poor: str
) -> None:
    before, pg.url = pg.url, pg.url.replace("postgres@", f"{poor}@")
    schema = pg.schema("t", {"id": "integer", "d": DATE}, ["id"])
    pg.load(schema, pg.records("t", {"id": 1}))
    assert "hubspot._rejected_records cannot be used" in pg.log
    with pytest.raises(RejectedRecordsError, match="1 records were rejected and could not be"):
        pg.load(
            schema,
            pg.records("t", {"id": 2}, {"id": 3, "d": "2026-02-30"}, {"id": 4}),
            max_rejected_records=-1,
        )
    pg.url = before
    assert pg.rows("SELECT id FROM hubspot.t ORDER BY 1") == [(1,), (2,), (4,)]
