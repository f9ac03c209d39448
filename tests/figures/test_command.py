"""`hubspot-figures`: makes and removes functions, says what is missing, writes nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2
import pytest
from harness.database import connect

from .conftest import figures

if TYPE_CHECKING:
    from .conftest import World


def functions(world: World) -> set[str]:
    return {
        name
        for (name,) in world.ask(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'hubspot'::regnamespace"
        )
    }


def test_installing_twice_is_installing_and_removing_leaves_nothing(world: World) -> None:
    made, url = functions(world), url_of(world)
    assert figures(url, "install").returncode == 0
    assert functions(world) == made
    assert len(made) == 12
    assert figures(url, "remove").returncode == 0
    assert functions(world) == set()
    assert figures(url, "install").returncode == 0
    assert functions(world) == made


def test_no_figure_trusts_what_is_estimated_of_tables_that_were_just_loaded(world: World) -> None:
    """Without statistics PostgreSQL takes one row for granted, and goes through all for each."""
    told = world.ask(
        "SELECT proname, 'enable_nestloop=off' = ANY(proconfig) FROM pg_proc "
        "WHERE pronamespace = 'hubspot'::regnamespace"
    )

    assert [name for name, wary in told if not wary] == []


def url_of(world: World) -> str:
    return world.db.dsn


def test_a_database_without_the_tables_is_told_what_to_do(database_url: str) -> None:
    done = figures(database_url, "install")
    assert done.returncode == 3
    assert "Set the tap's `history`" in done.stderr
    with connect(database_url) as db, db.cursor() as cur:
        cur.execute("SELECT FROM pg_namespace WHERE nspname = 'hubspot'")
        assert cur.rowcount == 0


def test_a_tenant_without_amounts_is_named(world: World) -> None:
    with world.db.cursor() as cur:
        cur.execute(
            "INSERT INTO deal_stages (_tenant_id, record_id, entered_at) VALUES "
            "('empty', '1', now())"
        )
        done = figures(url_of(world), "install")
        cur.execute("DELETE FROM deal_stages WHERE _tenant_id = 'empty'")
    assert done.returncode == 0
    assert "No history of amount_in_home_currency is there of empty" in done.stderr
    assert "of acme" not in done.stderr


def test_no_address_and_a_wrong_one_are_told_without_a_password() -> None:
    nowhere = figures("", "install")
    wrong = figures("postgresql://me:hunter2@127.0.0.1:1/db", "install")
    assert (nowhere.returncode, wrong.returncode) == (2, 1)
    assert "DATABASE_URL" in nowhere.stderr
    assert "hunter2" not in wrong.stderr


def test_a_reader_sees_only_what_the_tables_show_him(world: World) -> None:
    with world.db.cursor() as cur:
        cur.execute("DROP ROLE IF EXISTS figures_reader; CREATE ROLE figures_reader")
        cur.execute("GRANT USAGE ON SCHEMA hubspot TO figures_reader; SET ROLE figures_reader")
        try:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cur.execute("SELECT * FROM pipeline_on('acme', now())")
        finally:
            cur.execute("RESET ROLE; DROP OWNED BY figures_reader; DROP ROLE figures_reader")
