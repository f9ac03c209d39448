"""Accounts of any width and records of any size: every property stands in results and files."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from hubspot_simulator import Portal, Simulator
from service.kit import TENANT, TOKEN
from service.processes import DONE, Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OTHER, OTHER_TOKEN = "tenant-wide-b", "pat-na1-wide-wide-wide"
LONG = "hs_v2_cumulative_time_in_1f6d4f4e_5f56_4ea4_8a8a_0123456789ab_"
WIDTH = 850
TEXT = "\U0001f389 " + "x" * 65_534  # HubSpot's longest text


def wide(prefix: str, token: str) -> Portal:
    """A portal whose deals have many properties of HubSpot's, some with long names."""
    portal = Portal.generate(3, token=token, counts={"contacts": 4})
    names = [f"{prefix}_{number}" for number in range(WIDTH)]
    names += [f"{LONG}{prefix}_{number}" for number in range(4)]
    for name in names:
        portal.add_property("deals", name, "string", hubspot_defined=True)
    portal.create("deals", {name: f"value of {name}" for name in names})
    return portal


@pytest.fixture(scope="module")
def portals() -> list[Portal]:
    return [wide("a", TOKEN), wide("b", OTHER_TOKEN)]


@pytest.fixture(scope="module")
def service(
    postgres_server: str, portals: list[Portal], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    with Simulator(portals, latency_ms=0) as hubspot:
        installation = Installation.fresh(
            postgres_server, tmp_path_factory.mktemp("wide"), hubspot.url
        )
        try:
            installation.serve()
            installation.work()
            yield installation
        finally:
            installation.stop()


def finish(service: Installation, scan_id: str, tenant: str, **config: Any) -> str:
    """Run a scan to its end; return the tenant's key."""
    key = service.ledger.key(tenant)
    service.start(scan_id, tenant=tenant, key=key, **config)
    wait_for(
        lambda: service.row(scan_id, tenant)["status"] in DONE,
        seconds=480,
        why=service.logs()[-3000:],
    )
    status = service.status(scan_id, key)
    assert status["status"] == "completed", status["errors"]
    return key


def deals(service: Installation, scan_id: str, key: str) -> list[dict[str, Any]]:
    path = f"/api/v1/scan/result/{scan_id}?include_associations=true"
    found: list[dict[str, Any]] = service.ask("GET", path, key).json()["data"]["deals"]
    return found


def values(names: list[str], found: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: found.get(name) for name in names}


@pytest.mark.timeout(300)
def test_two_tenants_wider_than_a_table_together_keep_every_property_under_its_whole_name(
    service: Installation, portals: list[Portal]
) -> None:
    for prefix, tenant, token, portal in (
        ("a", TENANT, TOKEN, portals[0]),
        ("b", OTHER, OTHER_TOKEN, portals[1]),
    ):
        key = finish(service, "wide", tenant, auth={"accessToken": token}, associations=[])
        true = {
            name: f"value of {name}"
            for name in (
                *(f"{prefix}_{number}" for number in range(WIDTH)),
                *(f"{LONG}{prefix}_{number}" for number in range(4)),
            )
        }
        wide_one = portal.ids("deals")[-1]

        shown = {deal["dealId"]: deal for deal in deals(service, "wide", key)}
        as_csv = service.ask("GET", "/api/v1/scan/download/wide/csv", key).text
        excel = service.ask("GET", "/api/v1/scan/download/wide/excel", key).content

        assert values([*true], shown[wide_one]["properties"]) == true
        rows = {row["deal_id"]: row for row in csv.DictReader(io.StringIO(as_csv, newline=""))}
        assert values([*true], rows[wide_one]) == true
        sheet = openpyxl.load_workbook(io.BytesIO(excel))["deals"]
        head, *lines = sheet.iter_rows(values_only=True)
        cells = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
        assert values([*true], cells[wide_one]) == true
    (columns,) = service.ledger.run(
        "select count(*) from pg_attribute where attrelid = 'scans.deals'::regclass and attnum > 0"
    )
    assert columns[0] < 40


@pytest.mark.timeout(300)
def test_a_property_that_changes_its_type_keeps_its_name_in_both_scans(
    service: Installation, portals: list[Portal]
) -> None:
    portal = portals[0]
    portal.add_property("deals", "hs_odd", "number", hubspot_defined=True)
    deal = portal.create("deals", {"hs_odd": "7.50"})
    key = finish(service, "before", TENANT, associations=[])
    portal.retype_property("deals", "hs_odd", "string")
    finish(service, "after", TENANT, associations=[])

    found = {
        scan: next(d for d in deals(service, scan, key) if d["dealId"] == deal)["properties"]
        for scan in ("before", "after")
    }
    head = service.ask("GET", "/api/v1/scan/download/after/csv", key).text.splitlines()[0]

    assert found["before"]["hs_odd"] == 7.5
    assert found["after"]["hs_odd"] == "7.50"
    assert [name for name in head.split(",") if name.startswith("hs_odd")] == ["hs_odd"]


@pytest.mark.timeout(300)
def test_a_deal_with_33_longest_texts_passes(service: Installation, portals: list[Portal]) -> None:
    portal = portals[0]
    names = [f"note_{number}" for number in range(33)]
    for name in names:
        portal.add_property("deals", name, "string")
    deal = portal.create("deals", dict.fromkeys(names, TEXT))

    key = finish(service, "long", TENANT, associations=[])

    found = next(d for d in deals(service, "long", key) if d["dealId"] == deal)
    assert values(names, found["customProperties"]) == dict.fromkeys(names, TEXT)
    whole = service.ask("GET", "/api/v1/scan/download/long/json", key).json()
    assert found["customProperties"] in [each["customProperties"] for each in whole]


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_a_company_with_60_000_contacts_passes(
    service: Installation, portals: list[Portal]
) -> None:
    portal = portals[0]
    company = portal.create("companies", {"name": "all of them"})
    for _ in range(60_000):
        portal.link("companies", company, "contacts", portal.create("contacts", {"email": "a@b.c"}))

    key = finish(
        service, "linked", TENANT,
        objects=[{"name": "companies", "associations": ["contacts"], "properties": ["name"]}],
    )  # fmt: skip

    path = "/api/v1/scan/result/linked?object=companies&include_associations=true"
    records = service.ask("GET", path, key).json()["data"]["records"]
    (found,) = (each for each in records if each["hubspotObjectId"] == company)
    assert len({link["id"] for link in found["associations"]["contacts"]}) == 60_000
