"""Genius, a database: other people's taps and our target, on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.database import connect
from harness.vendors import genius
from harness.vendors.running import rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.meltano import Project

pytestmark = pytest.mark.heavy
COUNT = 3000


def stored(url: str, stream: str, columns: str = "id, name") -> list[tuple[Any, ...]]:
    return sorted(
        rows(url, f"select {columns} from genius.{stream} where _tenant_id = 'acme'"), key=str
    )


def test_genius_in_postgresql_arrives_with_its_tenant_and_then_only_what_changed(
    installed: Callable[..., Project], database_url: str
) -> None:
    with genius.postgresql(COUNT) as url:
        ours = installed(
            "tap-genius",
            TAP_GENIUS_TENANT_ID="acme",
            TAP_GENIUS_SQLALCHEMY_URL=url,
            TARGET_DEALS_POSTGRES_DATABASE_URL=database_url,
        )
        first = ours.run("genius-all")
        with connect(url) as opened, opened.cursor() as cursor:
            cursor.execute(
                "update leads set status = 'Sold', modified = '2027-01-01Z' "
                "where lead_id = 5000000007"
            )
        second = ours.run("genius-all")
        columns = "lead_id, status, amount, modified"
        leads = sorted(rows(url, f"select {columns} from leads"), key=str)
        others = {table: rows(url, f"select id, name from {table}") for table in genius.OTHERS}

    assert (first.code, second.code) == (0, 0), first.text + second.text
    assert stored(database_url, "leads", columns) == leads
    for table, held in others.items():
        assert stored(database_url, table) == sorted(held, key=str)
    assert second.counted("leads", by="target-genius") < 10


SINCE = "2026-01-02T00:00:00+00:00"
COUNTS = "select count(*), count(*) filter (where {column} >= '2026-01-02Z') from genius.leads"
MINUTES = 24 * 60
"""Before `SINCE`; a lead a minute."""


def limited(project: Project, url: str, column: str, prefix: str) -> list[tuple[int, ...]]:
    """All leads and those since a moment, after a sample, a run from there on, and a whole one."""
    job = f"{prefix.removeprefix('TAP_').lower().replace('_', '-')}-all"
    found = []
    for limits in ({f"{prefix}_MAX_RECORDS": "7"}, {f"{prefix}_START_DATE": SINCE}):
        ran = project.run(job, **limits)
        assert ran.code == 0, ran.text
        found += rows(url, COUNTS.format(column=column))
    ran = project.run("--full-refresh", job)
    assert ran.code == 0, ran.text
    return found + rows(url, COUNTS.format(column=column))


def of_mariadb(installed: Callable[..., Project], port: int, database_url: str) -> Project:
    """A project that reads the MariaDB of a port."""
    return installed(
        "tap-genius-mysql",
        TAP_GENIUS_MYSQL_TENANT_ID="acme",
        TAP_GENIUS_MYSQL_HOST="127.0.0.1",
        TAP_GENIUS_MYSQL_PORT=str(port),
        TAP_GENIUS_MYSQL_USER="root",
        TAP_GENIUS_MYSQL_PASSWORD="unused",
        TAP_GENIUS_MYSQL_FILTER_DBS="genius",
        TARGET_DEALS_POSTGRES_DATABASE_URL=database_url,
    )


def test_a_first_date_and_a_sample_of_postgresql_are_those_of_our_own_taps(
    installed: Callable[..., Project], database_url: str
) -> None:
    with genius.postgresql(COUNT) as url:
        ours = installed(
            "tap-genius",
            TAP_GENIUS_TENANT_ID="acme",
            TAP_GENIUS_SQLALCHEMY_URL=url,
            TARGET_DEALS_POSTGRES_DATABASE_URL=database_url,
        )
        counts = limited(ours, database_url, "modified", "TAP_GENIUS")

    late = COUNT - MINUTES + 1
    assert counts == [(7, 0), (7 + late, late), (COUNT, late)]
    assert stored(database_url, "users") == [(1, "a"), (2, None)]


@pytest.mark.skipif(genius.MARIADB is None, reason="apt-get install mariadb-server-core")
def test_a_first_date_and_a_sample_of_mariadb_are_those_of_our_own_taps(
    installed: Callable[..., Project], tmp_path: Path, database_url: str
) -> None:
    with genius.mariadb(tmp_path / "mariadb", COUNT) as port:
        ours = of_mariadb(installed, port, database_url)
        counts = limited(ours, database_url, "updated_at", "TAP_GENIUS_MYSQL")

    late = COUNT - MINUTES + 1
    assert counts == [(7, 0), (7 + late, late), (COUNT, late)]
    assert stored(database_url, "users") == [(1, "a"), (2, None)]


@pytest.mark.skipif(genius.MARIADB is None, reason="apt-get install mariadb-server-core")
def test_genius_in_mariadb_arrives_with_its_tenant_and_then_only_what_changed(
    installed: Callable[..., Project], tmp_path: Path, database_url: str
) -> None:
    with genius.mariadb(tmp_path / "mariadb", COUNT) as port:
        ours = of_mariadb(installed, port, database_url)
        first = ours.run("genius-mysql-all")
        genius.ask(
            port,
            "use genius; update `lead` set status = 'Sold', updated_at = '2027-01-01' "
            "where lead_id = 5000000007;",
        )
        second = ours.run("genius-mysql-all")
        leads = genius.ask(port, "select lead_id, status, amount, is_sale from genius.`lead`;")
        others = {
            table: genius.ask(port, f"select id, name from genius.`{name}`;")
            for table, name in genius.SINGULAR.items()
        }

    assert (first.code, second.code) == (0, 0), first.text + second.text
    columns = "lead_id::text, status, to_char(amount, 'FM999990.00'), is_sale::int::text"
    assert stored(database_url, "leads", columns) == sorted(map(tuple, leads), key=str)
    for table, held in others.items():
        told = stored(database_url, table, "id::text, coalesce(name, 'NULL')")
        assert told == sorted(map(tuple, held), key=str)
    earliest = "select min(updated_at) at time zone 'UTC' from genius.leads"
    assert str(rows(database_url, earliest)[0][0]) == "2026-01-01 00:01:00"
    assert second.counted("leads", by="target-genius") < 10


@pytest.mark.parametrize("tenant", [None, ""])
def test_without_a_tenant_nothing_is_stored(
    installed: Callable[..., Project], database_url: str, tenant: str | None
) -> None:
    with genius.postgresql(3) as url:
        ours = installed(
            "tap-genius",
            TAP_GENIUS_TENANT_ID=tenant,
            TAP_GENIUS_SQLALCHEMY_URL=url,
            TARGET_DEALS_POSTGRES_DATABASE_URL=database_url,
        )
        finished = ours.run("genius-all")

    assert finished.code == 1
    assert rows(database_url, "select count(*) from genius.leads") == [(0,)]
