"""Three users of HubSpot's whole CRM: a warehouse mirror, files of CSV, and a sample."""

from __future__ import annotations

import csv
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from harness.comparison import differences
from harness.meltano import Project
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OBJECTS: list[Any] = [
    {"name": "deals", "associations": ["contacts", "companies"]},
    {"name": "contacts", "associations": ["companies"]},
    "companies",
    "meetings",
    "zipcodes",
]
LINKS: dict[str, tuple[str, ...]] = {
    "deals": ("contacts", "companies"),
    "contacts": ("companies",),
}


@pytest.fixture(name="crm")
def _crm() -> Iterator[Simulator]:
    """A portal with several object types, a custom one among them."""
    portal = Portal.generate(
        150,
        seed=3,
        token="pat-na1-crm",
        counts={"meetings": 40, "zipcodes": 25, "tickets": 10},
        custom_objects=["zipcodes"],
    )
    with Simulator([portal]) as simulator:
        yield simulator


def project_for(crm: Simulator, home: Path, **settings: Any) -> Project:
    """A project that reads the whole portal."""
    return Project(
        home,
        {
            "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": crm.portal().token,
            "TAP_HUBSPOT_DEALS_TENANT_ID": "crm",
            "TAP_HUBSPOT_DEALS_BASE_URL": crm.url,
            "TAP_HUBSPOT_ALL_OBJECTS": OBJECTS,
            "TAP_HUBSPOT_CSV_OBJECTS": OBJECTS,
            **settings,
        },
    )


def assert_mirrored(url: str, portal: Portal) -> None:
    """All object types are in the database as they are in HubSpot."""
    for item in OBJECTS:
        name = item if isinstance(item, str) else item["name"]
        links = LINKS.get(name, ())
        assert differences(url, portal, tenant="crm", object_type=name, links_to=links) == [], name


def test_warehouse_mirror_keeps_every_object_type(
    crm: Simulator, tmp_path: Path, database_url: str
) -> None:
    portal = crm.portal()
    project = project_for(crm, tmp_path, TARGET_DEALS_POSTGRES_DATABASE_URL=database_url)
    first = project.run("hubspot-all")
    assert first.code == 0, first.text
    assert_mirrored(database_url, portal)
    contacts, meetings = portal.ids("contacts"), portal.ids("meetings")
    touched = {
        link.from_id
        for link in portal.true_links("deals", "contacts")
        if link.to_id in contacts[1:3]
    }
    portal.change("contacts", contacts[0], {"email": "new@example.com"})
    portal.merge("contacts", contacts[1], contacts[2])
    portal.archive("meetings", meetings[1])
    portal.create("zipcodes", {})
    portal.change("meetings", meetings[0], {"hs_meeting_title": "Kick-off"})

    second = project.run("hubspot-all")

    assert second.code == 0, second.text
    # No deal changed, but two contacts became one, and with them the links of their deals.
    assert second.counted("deals", by="tap-hubspot-all") <= len(touched)
    assert_mirrored(database_url, portal)

    portal.delete("contacts", portal.ids("contacts")[0])
    again = project.run("hubspot-all", MELTANO_RUN_FULL_REFRESH=True)
    assert again.code == 0, again.text
    assert again.counted("deals", by="tap-hubspot-all") == len(portal.ids("deals"))
    assert_mirrored(database_url, portal)


def test_csv_job_writes_a_file_per_object_and_per_pair(crm: Simulator, tmp_path: Path) -> None:
    portal = crm.portal()
    out = tmp_path / "out"
    out.mkdir()

    run = project_for(crm, tmp_path / "home", TARGET_CSV_OUTPUT_PATH=str(out)).run("hubspot-csv")

    assert run.code == 0, run.text
    for name in ("deals", "contacts", "companies", "meetings", "zipcodes"):
        assert {row["id"] for row in rows(out / f"{name}.csv")} == set(portal.truth(name).live)
    pairs = {(row["from_id"], row["to_id"]) for row in rows(out / "contacts_companies.csv")}
    true = {(link.from_id, link.to_id) for link in portal.true_links("contacts", "companies")}
    assert pairs == true


def test_missing_scope_of_one_type_is_named_before_anything_is_written(
    crm: Simulator, tmp_path: Path, database_url: str
) -> None:
    scopes = ["crm.objects.deals.read", "crm.objects.owners.read", "crm.objects.contacts.read"]
    crm.portal().add_token("pat-na1-narrow", scopes=scopes)
    project = project_for(
        crm,
        tmp_path,
        TAP_HUBSPOT_DEALS_ACCESS_TOKEN="pat-na1-narrow",
        TAP_HUBSPOT_ALL_ON_MISSING_SCOPE="fail",
        TARGET_DEALS_POSTGRES_DATABASE_URL=database_url,
    )

    refused = project.run("hubspot-all")
    written = tables(database_url)
    skipped = project.run("hubspot-all", TAP_HUBSPOT_ALL_ON_MISSING_SCOPE="skip")

    assert refused.code != 0
    assert "crm.objects.companies.read" in refused.text
    assert written == []
    assert skipped.code == 0, skipped.text
    assert "Skipped: The token may not read" in skipped.text
    with closing(psycopg2.connect(database_url)) as opened, opened.cursor() as cursor:
        cursor.execute("select count(*) from hubspot.contacts")
        assert cursor.fetchone() == (len(crm.portal().ids("contacts")),)


def tables(url: str) -> list[str]:
    """All tables outside of PostgreSQL's own schemas."""
    with closing(psycopg2.connect(url)) as opened, opened.cursor() as cursor:
        cursor.execute(
            "select tablename from pg_tables "
            "where schemaname not in ('pg_catalog', 'information_schema')"
        )
        return [name for (name,) in cursor.fetchall()]


def rows(path: Path) -> list[dict[str, str]]:
    """A CSV file's rows."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
