"""Scans that really run: servers and workers as processes, Meltano, PostgreSQL and a HubSpot."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from service.kit import TENANT, TOKEN
from service.processes import DONE, HELD, Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_simulator import Portal, Simulator


@pytest.fixture(scope="module")
def service(
    postgres_server: str, hubspot: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A server and a worker that all tests of this file share."""
    folder = tmp_path_factory.mktemp("service")
    installation = Installation.fresh(
        postgres_server, folder, hubspot.url, requests_per_minute=6000, burst=6000
    )
    try:
        installation.serve()
        installation.work()
        yield installation
    finally:
        installation.stop()


@pytest.fixture(scope="module")
def watched(service: Installation, hubspot: Simulator) -> list[dict[str, Any]]:
    """What the status of the scan `all` was, from its start to its end."""
    service.start("all", associations=["contacts", "companies"], organizationId="org-456")
    hubspot.latency_ms = HELD
    seen = []

    def is_seen(*statuses: str) -> bool:
        seen.append(service.status("all"))
        return seen[-1]["status"] in statuses

    try:
        wait_for(lambda: is_seen("running", *DONE), why=service.logs())
    finally:
        hubspot.latency_ms = 0
    wait_for(lambda: is_seen(*DONE), why=service.logs())
    return seen


def test_a_scan_brings_exactly_the_deals_and_links_that_hubspot_has(
    service: Installation, portal: Portal, watched: list[dict[str, Any]]
) -> None:
    truth = portal.truth("deals").live
    data = watched[-1]
    assert data["status"] == "completed", data["errors"]
    assert data["progress"]["totalItems"] == len(truth)
    assert data["progress"]["processedItems"] == len(truth)
    assert data["progress"]["percentComplete"] == 100.0
    assert data["progress"]["successRate"] == "100.0%"
    assert "running" in {each["status"] for each in watched}
    assert service.deals("all") == sorted(truth)
    links = service.ledger.run(
        "select from_id, to_id from scans.associations where _scan_id = 'all'"
    )
    expected = [
        (link.from_id, link.to_id)
        for kind in ("contacts", "companies")
        for link in portal.true_links("deals", kind)
    ]
    assert sorted(links) == sorted(expected)
    assert service.ledger.run("select distinct _tenant_id, _organization_id from scans.deals") == [
        (TENANT, "org-456")
    ]


@pytest.mark.usefixtures("watched")
def test_results_are_the_exact_values_of_hubspot(service: Installation, portal: Portal) -> None:
    deals: list[dict[str, Any]] = []
    page = 1
    while True:
        response = service.ask(
            "GET",
            f"/api/v1/scan/result/all?page={page}&page_size=25&include_associations=true&include_raw=true",
        )
        data = json.loads(response.text, parse_float=Decimal, parse_int=Decimal)["data"]
        deals += data["deals"]
        if not data["pagination"]["has_next"]:
            break
        page += 1

    truth = portal.truth("deals").live
    assert [deal["dealId"] for deal in deals] == sorted(truth)
    for deal in deals:
        amount = truth[deal["dealId"]].properties["amount"]
        assert deal["amount"] == (Decimal(amount) if amount else None)
        assert deal["raw"]["id"] == deal["dealId"]
    contacts = {
        (deal["dealId"], link["id"]) for deal in deals for link in deal["associations"]["contacts"]
    }
    assert contacts == {
        (link.from_id, link.to_id) for link in portal.true_links("deals", "contacts")
    }
    assert {link["type"] for deal in deals for link in deal["associations"]["contacts"]} == {
        "deal_to_contact"
    }
    assert data["summary"]["totalDeals"] == len(truth)


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("form", ["json", "csv", "excel"])
def test_a_real_scan_downloads_in_every_form(
    service: Installation, portal: Portal, form: str
) -> None:
    response = service.ask("GET", f"/api/v1/scan/download/all/{form}?include_associations=true")

    assert response.status_code == 200, response.text
    count = len(portal.ids("deals"))
    if form == "json":
        assert len(json.loads(response.text)) == count
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(response.text)))
        assert [row["deal_id"] for row in rows] == sorted(portal.ids("deals"))
    else:
        assert response.content[:2] == b"PK"


def test_filters_reach_hubspot(service: Installation, portal: Portal) -> None:
    truth = portal.truth("deals").live
    stage = next(iter(truth.values())).properties["dealstage"]

    service.start(
        "filtered",
        filters={"dealStage": stage},
        properties=["dealname", "description"],
        dateRange={"startDate": "2000-01-01", "endDate": "2099-12-31"},
    )
    service.finished("filtered")

    expected = [name for name, deal in truth.items() if deal.properties["dealstage"] == stage]
    assert service.deals("filtered") == sorted(expected)
    data = service.ask("GET", "/api/v1/scan/result/filtered").json()["data"]
    assert {"amount", "closedate"} <= data["deals"][0].keys()
    assert set().union(*(deal["properties"] for deal in data["deals"])) <= {
        "description", "amount_in_home_currency", "deal_currency_code", "hs_object_id",
    }  # fmt: skip


@pytest.mark.usefixtures("watched")
def test_a_scan_leaves_no_process_no_file_and_no_token(service: Installation) -> None:
    assert service.members() == []
    assert service.run_folders() == []
    assert TOKEN not in service.logs()
    assert service.row("all")["token"] is None
    dump = service.ledger.run("select row_to_json(scan)::text from scan")
    dump += service.ledger.run("select row_to_json(j)::text from procrastinate_jobs as j")
    assert TOKEN not in str(dump)


def test_while_a_scan_runs_its_token_is_in_no_argument_and_its_files_are_private(
    service: Installation, hubspot: Simulator
) -> None:
    service.start("secret")
    hubspot.latency_ms = HELD
    try:
        wait_for(lambda: len(service.members()) >= 4, why=service.logs())
        arguments = [" ".join(member.cmdline()) for member in service.members()]
        (folder,) = service.run_folders()
        open_to_others = [
            (path.relative_to(folder), oct(path.stat().st_mode))
            for path in (folder, *folder.rglob("*"))
            if path.stat().st_mode & 0o077 and not path.is_symlink()
        ]
        (sealed,) = service.ledger.run("select token from scan where scan_id = 'secret'")[0]
    finally:
        hubspot.latency_ms = 0
    service.finished("secret")

    assert not any(TOKEN in text for text in arguments)
    assert open_to_others == []
    assert TOKEN.encode() not in bytes(sealed)


def test_cancelling_a_running_scan_ends_its_processes_and_frees_its_slot(
    service: Installation, hubspot: Simulator
) -> None:
    service.start("cancelled", batchSize=10)
    hubspot.latency_ms = HELD
    try:
        wait_for(lambda: service.members("tap-hubspot-deals"))
        response = service.ask("POST", "/api/v1/scan/cancel/cancelled")
        status = service.status("cancelled")
        wait_for(lambda: not service.members(), why=service.logs()[-3000:])
    finally:
        hubspot.latency_ms = 0
    wait_for(lambda: service.row("cancelled")["slot"] is None)

    assert response.status_code == 200
    assert response.json()["data"]["previousStatus"] == "running"
    assert status["status"] == "cancelled"
    assert service.row("cancelled")["status"] == "cancelled"
    assert service.row("cancelled")["token"] is None
    assert service.ask("POST", "/api/v1/scan/cancel/cancelled").status_code == 409
    assert service.run_folders() == []


def test_a_token_revoked_while_a_scan_waits_fails_it_with_the_reason(
    service: Installation, hubspot: Simulator
) -> None:
    hubspot.fail("status", status=401, endpoint="list")
    hubspot.fail("status", status=401, endpoint="properties")
    try:
        service.start("revoked")
        data = service.finished("revoked")
    finally:
        hubspot.heal()

    assert data["status"] == "failed"
    (error,) = data["errors"]
    assert error["code"] == "HUBSPOT_AUTH_ERROR"
    assert "credentials" in error["error"]
    assert service.row("revoked")["attempt"] == 1


def test_an_incremental_scan_reads_only_what_changed_since_the_last_of_its_kind(
    service: Installation, portal: Portal
) -> None:
    service.start("kind-1", mode="incremental", properties=["dealname"])
    first = service.finished("kind-1")
    changed = sorted(portal.ids("deals"))[3]
    portal.change("deals", changed, {"dealname": "changed since"})
    service.start("kind-2", mode="incremental", properties=["dealname"])
    second = service.finished("kind-2")

    assert first["progress"]["processedItems"] == len(portal.ids("deals"))
    assert second["status"] == "completed", second["errors"]
    assert service.deals("kind-2") == [changed]


@pytest.mark.usefixtures("watched")
def test_removing_a_scan_removes_its_rows_and_no_others(service: Installation) -> None:
    service.start("removed")
    service.finished("removed")
    before = len(service.deals("all"))
    rows = len(service.deals("removed"))

    response = service.ask("DELETE", "/api/v1/scan/remove/removed?confirm=true")
    stats = service.ask("GET", "/api/v1/stats").json()["data"]

    assert response.json()["data"]["deletedRecords"]["deals"] == rows
    assert rows > 0
    assert service.deals("removed") == []
    assert len(service.deals("all")) == before
    assert service.ask("GET", "/api/v1/scan/status/removed").status_code == 404
    assert stats["deals"]["totalExtracted"] > stats["storage"]["totalRecords"] > 0


def test_a_wait_for_hubspot_is_seen_with_its_end_while_it_lasts(
    service: Installation, hubspot: Simulator
) -> None:
    hubspot.fail("ten_secondly", endpoint="list", times=1, retry_after=8)
    service.start("waits")

    data = wait_for(
        lambda: (found := service.status("waits"))["waiting"] and found, why=service.logs()[-3000:]
    )
    ended = service.finished("waits")

    assert data["waiting"]["code"] == "HUBSPOT_RATE_LIMIT"
    assert data["waiting"]["until"] > data["timing"]["startedAt"]
    assert data["errors"][-1]["code"] == "HUBSPOT_RATE_LIMIT"
    assert data["errors"][-1]["retryCount"] == 1
    assert (ended["status"], ended["waiting"], ended["errors"]) == ("completed", None, [])
