"""The views in the form of Fivetran's tables: what they must have, and that they tell the truth."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg2
import pytest
from harness.database import drop_database, new_database
from harness.meltano import ROOT
from harness.singer import config_for
from hubspot_simulator import Portal, Simulator

from .conftest import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg2.extensions import connection

BLOCKS = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/dbt.md").read_text(), flags=re.DOTALL)
ENGAGEMENTS = ("calls", "emails", "meetings", "notes", "tasks")
OBJECTS: list[dict[str, Any]] = [
    {
        "name": "deals",
        "associations": ["contacts", "companies"],
        "history": ["dealstage", "amount"],
    },
    {"name": "contacts", "history": ["jobtitle"]},
    {"name": "companies", "history": ["name"]},
    {
        "name": "tickets",
        "associations": ["contacts", "companies", "deals", *ENGAGEMENTS],
        "history": ["subject"],
    },
    *({"name": t, "associations": ["contacts", "companies", "deals"]} for t in ENGAGEMENTS),
]


class Warehouse(NamedTuple):
    """A portal, and the database that mirrors it."""

    portal: Portal
    url: str
    db: connection

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self.db.cursor() as cur:
            cur.execute(query)
            return cur.fetchall()


@pytest.fixture(scope="session")
def warehouse(
    postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    """A small portal with every type that the views know, in tables."""
    portal = Portal.generate(60, counts=dict.fromkeys(("tickets", *ENGAGEMENTS), 12), seed=5)
    portal.archive("deals", portal.ids()[0])
    portal.link("calls", portal.ids("calls")[0], "companies", portal.ids("companies")[0])
    url = new_database(postgres_server)
    with Simulator([portal]) as hubspot:
        load(url, config_for(hubspot, objects=OBJECTS), tmp_path_factory.mktemp("fivetran"))
    with closing(psycopg2.connect(url)) as db:
        db.autocommit = True
        yield Warehouse(portal, url, db)
    drop_database(postgres_server, url)


def command(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "hubspot_figures.fivetran_command", *arguments],
        env={**os.environ, "HUBSPOT_FIGURES_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


def dbt(warehouse: Warehouse, folder: Path, variables: str) -> subprocess.CompletedProcess[str]:
    """Build the public package, unmodified, on the views."""
    packages, program = os.environ.get("DBT_PACKAGES"), os.environ.get("DBT", "dbt")
    if not packages or shutil.which(program) is None:
        pytest.skip("DBT_PACKAGES names no folder with the package fivetran/dbt_hubspot, or no dbt")
    project = "name: ours\nversion: 1.0.0\nconfig-version: 2\nprofile: ours\n"
    (folder / "dbt_project.yml").write_text(project + variables)
    (folder / "dbt_packages").symlink_to(packages)
    parameters = warehouse.db.get_dsn_parameters()
    output = {
        "type": "postgres",
        "host": parameters["host"],
        "port": int(parameters["port"]),
        "user": parameters["user"],
        "password": "",
        "dbname": parameters["dbname"],
        "schema": "dbt",
        "threads": 2,
    }
    profile = {"ours": {"target": "now", "outputs": {"now": output}}}
    (folder / "profiles.yml").write_text(json.dumps(profile))
    return subprocess.run(
        [program, "--no-send-anonymous-usage-stats", "build", "--profiles-dir", folder],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


DOCUMENTED = {
    "deal": "deal_id is_deleted portal_id deal_pipeline_id deal_pipeline_stage_id owner_id "
    "property_dealname property_description property_amount property_closedate "
    "property_createdate _fivetran_deleted",
    "deal_stage": "_fivetran_active _fivetran_end _fivetran_start _fivetran_synced date_entered "
    "deal_id source source_id value",
    "deal_company": "_fivetran_synced company_id deal_id type_id category",
    "deal_contact": "_fivetran_synced contact_id deal_id type_id category",
    "deal_pipeline": "_fivetran_deleted _fivetran_synced active display_order label pipeline_id "
    "created_at updated_at",
    "deal_pipeline_stage": "_fivetran_deleted _fivetran_synced active closed_won is_closed "
    "display_order label pipeline_id probability stage_id created_at updated_at",
    "deal_property_history": "_fivetran_synced deal_id name source source_id timestamp value",
    "merged_deal": "deal_id merged_deal_id _fivetran_synced",
    "company": "_fivetran_synced _fivetran_deleted id portal_id is_deleted property_name "
    "property_createdate property_industry property_city property_state property_country "
    "property_annualrevenue",
    "company_property_history": "_fivetran_synced company_id name source source_id timestamp value",
    "contact": "_fivetran_deleted _fivetran_synced id property_company property_firstname "
    "property_lastname property_email property_createdate property_jobtitle",
    "contact_property_history": "_fivetran_synced contact_id name source source_id timestamp value",
    "owner": "_fivetran_synced active_user_id created_at email first_name last_name owner_id "
    "portal_id type updated_at",
    "owner_team": "owner_id team_id is_team_primary _fivetran_synced _fivetran_deleted",
    "team": "id name _fivetran_synced _fivetran_deleted",
    "team_user": "user_id team_id is_secondary_user _fivetran_synced _fivetran_deleted",
    "users": "id primary_team_id role_id email first_name last_name _fivetran_synced "
    "_fivetran_deleted",
    "role": "id name requires_billing_write _fivetran_synced _fivetran_deleted",
    "property": "_fivetran_id _fivetran_synced calculated created_at description field_type "
    "group_name hubspot_defined hubspot_object label name show_currency_symbol type updated_at",
    "property_option": "_fivetran_synced label property_id display_order hidden value "
    "hubspot_object name",
    "engagement": "_fivetran_synced active created_at id owner_id portal_id timestamp type",
    "engagement_company": "_fivetran_synced company_id engagement_id category",
    "engagement_contact": "_fivetran_synced contact_id engagement_id category",
    "engagement_deal": "_fivetran_synced deal_id engagement_id category",
    "engagement_call": "_fivetran_synced engagement_id _fivetran_deleted property_hs_createdate "
    "property_hubspot_owner_id",
    "engagement_email": "_fivetran_synced engagement_id property_hs_createdate "
    "property_hubspot_owner_id",
    "engagement_meeting": "_fivetran_synced engagement_id property_hs_createdate "
    "property_hubspot_owner_id",
    "engagement_note": "_fivetran_synced engagement_id property_hs_createdate "
    "property_hubspot_owner_id",
    "engagement_task": "_fivetran_synced engagement_id property_hs_createdate "
    "property_hubspot_owner_id",
    "ticket": "_fivetran_synced id is_deleted _fivetran_deleted portal_id property_createdate "
    "property_hs_pipeline property_hs_pipeline_stage property_hs_ticket_priority "
    "property_hs_ticket_category property_hubspot_owner_id property_subject property_content",
    "ticket_company": "_fivetran_synced ticket_id company_id category",
    "ticket_contact": "_fivetran_synced ticket_id contact_id category",
    "ticket_deal": "_fivetran_synced ticket_id deal_id category",
    "ticket_engagement": "_fivetran_synced ticket_id engagement_id category",
    "ticket_pipeline": "_fivetran_deleted _fivetran_synced active display_order label "
    "object_type_id pipeline_id created_at updated_at",
    "ticket_pipeline_stage": "_fivetran_deleted _fivetran_synced active display_order is_closed "
    "label pipeline_id stage_id ticket_state created_at updated_at",
    "ticket_property_history": "_fivetran_synced source source_id timestamp_instant ticket_id "
    "name value _fivetran_start _fivetran_end",
}
"""The columns that the package documents of its sources, as far as the portal has the property."""


@pytest.fixture(scope="session")
def switches(warehouse: Warehouse) -> str:
    """The views are made; gives what the command says of them."""
    made = command(warehouse.url, "install")
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.mark.usefixtures("switches")
def test_the_views_have_every_documented_column(warehouse: Warehouse) -> None:
    there: dict[str, set[str]] = {}
    for view, column in warehouse.ask(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'hubspot_fivetran'"
    ):
        there.setdefault(view, set()).add(column)
    lacking = {v: {*cs.split()} - there.get(v, set()) for v, cs in DOCUMENTED.items()}
    assert {view: columns for view, columns in lacking.items() if columns} == {}
    assert there.keys() == DOCUMENTED.keys()
    for view in there:
        warehouse.ask(f"SELECT * FROM hubspot_fivetran.{view}")


@pytest.mark.usefixtures("switches")
def test_the_views_say_what_the_portal_says(warehouse: Warehouse) -> None:
    portal, ask = warehouse.portal, warehouse.ask
    truth = portal.truth("deals")
    deals = {
        str(i): (name, amount, stage, owner, custom)
        for i, name, amount, stage, owner, custom in ask(
            "SELECT deal_id, property_dealname, property_amount, deal_pipeline_stage_id, owner_id, "
            "property_custom_1 FROM hubspot_fivetran.deal WHERE NOT is_deleted"
        )
    }
    assert deals.keys() == truth.live.keys()
    for deal, (name, amount, stage, owner, custom) in deals.items():
        true = truth.live[deal].properties
        assert (name, stage) == (true["dealname"], true["dealstage"])
        assert amount == (Decimal(true["amount"]) if true["amount"] else None)
        assert owner == (int(true["hubspot_owner_id"]) if true["hubspot_owner_id"] else None)
        assert custom == true["custom_1"]
    for view, from_type, to_type, columns in (
        ("deal_contact", "deals", "contacts", "deal_id, contact_id"),
        ("deal_company", "deals", "companies", "deal_id, company_id"),
        ("ticket_contact", "tickets", "contacts", "ticket_id, contact_id"),
    ):
        links = ask(f"SELECT {columns}, category, type_id FROM hubspot_fivetran.{view}")
        assert {(str(a), str(b), c, d) for a, b, c, d in links} == {
            (t.from_id, t.to_id, t.category, t.type_id)
            for t in portal.true_links(from_type, to_type)
        }
        assert len(links) == len(set(links)) > 0
    stages = ask("SELECT stage_id, is_closed, closed_won FROM hubspot_fivetran.deal_pipeline_stage")
    assert ("closedwon", True, True) in stages
    assert ("closedlost", True, False) in stages
    kinds = ask("SELECT type, count(*) FROM hubspot_fivetran.engagement GROUP BY 1 ORDER BY 1")
    assert kinds == [(t, 12) for t in ("CALL", "EMAIL", "MEETING", "NOTE", "TASK")]
    last = ask("SELECT deal_id, value FROM hubspot_fivetran.deal_stage WHERE _fivetran_active")
    assert {str(i): stage for i, stage in last if str(i) in deals} == {
        deal: stage for deal, (_, _, stage, _, _) in deals.items()
    }


def test_the_command_says_which_models_have_a_source(switches: str) -> None:
    lines = switches.splitlines()
    assert lines[:2] == ["vars:", "  hubspot_schema: hubspot_fivetran"]
    assert "  hubspot_service_enabled: true" in lines
    assert "  hubspot_engagement_communication_enabled: false" in lines
    assert "  hubspot_email_event_enabled: false" in lines


@pytest.mark.usefixtures("switches")
def test_a_view_is_planned_as_if_it_read_the_tables_itself(warehouse: Warehouse) -> None:
    query = "EXPLAIN SELECT property_dealname FROM hubspot_fivetran.deal WHERE deal_id = 1"
    plan = " ".join(line for (line,) in warehouse.ask(query))
    assert "Scan" in plan
    assert " on deals t" in plan
    assert "Function Scan" not in plan


@pytest.mark.usefixtures("switches")
def test_nothing_of_the_mirror_is_held_by_the_views(warehouse: Warehouse) -> None:
    with warehouse.db.cursor() as cur:
        cur.execute("BEGIN; ALTER TABLE hubspot.deals ALTER amount TYPE text; ROLLBACK")
        cur.execute("BEGIN; ALTER TABLE hubspot.deals DROP COLUMN dealname; ROLLBACK")


def test_installing_twice_is_installing_and_removing_leaves_nothing(warehouse: Warehouse) -> None:
    query = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('two')"
    assert command(warehouse.url, "install", "--into", "two").returncode == 0
    made = set(warehouse.ask(query))
    assert len(made) == len(DOCUMENTED)
    assert command(warehouse.url, "install", "--into", "two", "--tenant", "acme").returncode == 0
    assert set(warehouse.ask(query)) == made
    with warehouse.db.cursor() as cur:
        cur.execute("CREATE VIEW two.mine AS SELECT deal_id FROM two.deal")
    refused = command(warehouse.url, "install", "--into", "two")
    assert (refused.returncode, "depend" in refused.stderr) == (1, True)
    assert command(warehouse.url, "remove", "--into", "two", "--cascade").returncode == 0
    assert warehouse.ask("SELECT to_regnamespace('two')") == [(None,)]


def test_whose_views_they_are_has_to_be_known(postgres_server: str, warehouse: Warehouse) -> None:
    url = new_database(postgres_server)
    told = command(url, "install")
    assert (told.returncode, "name the tenant" in told.stderr) == (3, True)
    drop_database(postgres_server, url)
    with warehouse.db.cursor() as cur:
        cur.execute("INSERT INTO hubspot.owners (_tenant_id, id) VALUES ('other', '1')")
        told = command(warehouse.url, "install", "--into", "three")
        cur.execute("DELETE FROM hubspot.owners WHERE _tenant_id = 'other'")
    assert (told.returncode, "several tenants" in told.stderr) == (3, True)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: " ".join(block.split())[:50])
@pytest.mark.usefixtures("switches")
def test_a_statement_of_the_page_runs_and_tells_something(warehouse: Warehouse, block: str) -> None:
    assert warehouse.ask(block)


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_the_public_dbt_package_builds_on_the_views(
    warehouse: Warehouse, switches: str, tmp_path: Path
) -> None:
    done = dbt(warehouse, tmp_path, switches)
    assert done.returncode == 0, done.stdout[-5000:]
    print("\n" + done.stdout.strip().splitlines()[-1])
    truth = warehouse.portal.truth("deals").live
    with localcontext(prec=100):  # to the last digit
        amounts = [d.properties["amount"] for d in truth.values() if d.properties["amount"]]
        wanted = sum(map(Decimal, amounts))
    [(deals, amount)] = warehouse.ask(
        "SELECT count(*), sum(amount) FROM dbt_hubspot.hubspot__deals WHERE NOT is_deal_deleted"
    )
    assert (deals, amount) == (len(truth), wanted)
