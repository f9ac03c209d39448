"""Scans that verify another one: is this copy complete?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hubspot_simulator import Portal, Simulator
from service.kit import TENANT, TOKEN
from service.processes import HELD, Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.browsing import Browser
    from service.kit import Client, Ledger

ZEROS = dict.fromkeys(
    ("inHubspot", "inScan", "missing", "extra", "stale", "altered", "doubled", "behind"), 0
)
OBJECTS = ["deals", {"name": "contacts", "properties": ["email"]}]


@pytest.fixture(scope="module")
def account() -> Iterator[tuple[Portal, Simulator]]:
    """A HubSpot that only these tests change."""
    portal = Portal.generate(30, contacts=10, seed=5, token=TOKEN)
    with Simulator([portal], latency_ms=0) as simulator:
        yield portal, simulator


@pytest.fixture(scope="module")
def service(
    postgres_server: str,
    account: tuple[Portal, Simulator],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """A server and a worker, and the finished scan `one`."""
    folder = tmp_path_factory.mktemp("verifying")
    found = Installation.fresh(
        postgres_server, folder, account[1].url, requests_per_minute=6000, burst=6000
    )
    try:
        found.serve()
        found.work()
        found.start("one", objects=OBJECTS, associations=["contacts"])
        assert found.finished("one", seconds=250)["status"] == "completed"
        yield found
    finally:
        found.stop()


def verified(service: Installation, name: str) -> dict[str, Any]:
    """Verify the scan `one`; gives the status of the scan that did."""
    service.start(name, verifies="one")
    data: dict[str, Any] = service.finished(name, seconds=250)
    return data


def test_a_whole_scan_is_equal_and_the_one_that_verified_it_has_no_records(
    service: Installation, account: tuple[Portal, Simulator]
) -> None:
    portal, hubspot = account
    asked = len(hubspot.requests.all())
    data = verified(service, "whole")

    assert (data["status"], data["errors"]) == ("completed", [])
    found = data["verification"]
    assert (found["verifies"], found["verdict"], found["differences"]) == ("one", "equal", [])
    parts = {(part["object"], part["linkedTo"]): part for part in found["parts"]}
    assert parts.keys() == {("deals", None), ("deals", "contacts"), ("contacts", None)}
    deals, contacts = len(portal.ids("deals")), len(portal.ids("contacts"))
    assert parts["deals", None]["inHubspot"] == parts["deals", None]["inScan"] == deals
    links = len(portal.true_links("deals", "contacts"))
    assert parts["deals", "contacts"]["inHubspot"] == links
    assert data["progress"]["processedItems"] == deals + contacts
    assert data["progress"]["objects"]["contacts"]["totalItems"] == contacts
    assert data["config"]["verifies"] == "one"
    assert data["config"]["objects"] == OBJECTS
    assert len(hubspot.requests.all()) - asked < 30
    assert service.ask("GET", "/api/v1/scan/result/whole").status_code == 404
    assert service.ask("GET", "/api/v1/scan/download/whole/json").status_code == 404
    assert service.ledger.run("select from scans.deals where _scan_id = 'whole'") == []
    assert service.run_folders() == []


def test_what_is_lost_and_altered_is_named_and_what_happens_in_hubspot_is_behind(
    service: Installation, account: tuple[Portal, Simulator]
) -> None:
    portal = account[0]
    link = min(portal.true_links("deals", "contacts"), key=repr)
    fifth = link.from_id
    first, second, third, fourth = [deal for deal in portal.ids("deals") if deal != fifth][:4]
    service.ledger.run("delete from scans.deals where id = %s", first)
    value = """jsonb_set(properties, '{dealname}', '"Secret name"')"""
    service.ledger.run(f"update scans.deals set properties = {value} where id = %s", second)
    service.ledger.run(
        "delete from scans.associations where from_id = %s and to_id = %s", fifth, link.to_id
    )
    portal.change("deals", third, {"dealname": "Changed since"})
    portal.archive("deals", fourth)
    portal.create("deals", {"dealname": "Made since"})
    data = verified(service, "damaged")

    assert data["status"] == "completed"
    found = data["verification"]
    assert found["verdict"] == "different"
    of_link = {"linkedTo": "contacts", "linkedId": link.to_id}
    told = [
        {name: each[name] for name in each if name not in ("category", "typeId")}
        for each in found["differences"]
    ]
    of_deal = {"object": "deals", "properties": []}
    assert {"kind": "missing", "recordId": first, **of_deal} in told
    assert {"kind": "altered", "recordId": second, **of_deal, "properties": ["dealname"]} in told
    assert {"kind": "missing", "recordId": fifth, **of_deal, **of_link} in told
    assert {each["recordId"] for each in told} == {first, second, fifth}
    [deals] = [p for p in found["parts"] if (p["object"], p["linkedTo"]) == ("deals", None)]
    assert (deals["missing"], deals["altered"], deals["behind"]) == (1, 1, 3)
    assert "Secret name" not in str(data) + service.logs()


def test_a_wait_for_hubspot_is_seen_while_it_lasts(
    service: Installation, account: tuple[Portal, Simulator]
) -> None:
    service.start("waits", verifies="one")  # which asks HubSpot itself, before the run does
    account[1].fail("ten_secondly", times=1, retry_after=6)

    data = wait_for(
        lambda: (found := service.status("waits"))["waiting"] and found, why=service.logs()[-3000:]
    )
    ended = service.finished("waits", seconds=250)

    assert data["waiting"]["code"] == "HUBSPOT_RATE_LIMIT"
    assert data["errors"][-1]["retryCount"] == 1
    assert (ended["status"], ended["waiting"], ended["errors"]) == ("completed", None, [])


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_scan_that_is_removed_meanwhile_is_not_called_damaged(
    service: Installation, account: tuple[Portal, Simulator], when: str
) -> None:
    """Before the other one looks at it, or while it does."""
    hubspot, name = account[1], f"late-{when}"
    another = """{"id": "00000000-0000-4000-8000-000000000000", "scan_id": "short", "place": -1}"""
    service.ledger.run(
        "insert into scan overriding system value"
        " select (jsonb_populate_record(scan, %s::jsonb)).* from scan where scan_id = 'one'",
        another,
    )
    service.start(name, verifies="short")
    asked = len(hubspot.requests.all())
    hubspot.latency_ms = HELD
    try:
        if when == "while":
            wait_for(lambda: len(hubspot.requests.all()) > asked, why=service.logs()[-3000:])
        service.ledger.run("delete from scan where scan_id = 'short'")
    finally:
        hubspot.latency_ms = 0
    data = service.finished(name, seconds=250)

    assert data["status"] == "failed"
    assert data["errors"][-1]["code"] == "NOT_FOUND"
    assert data["verification"]["verdict"] is None


def test_the_page_of_such_a_scan_says_what_was_found_and_offers_no_records(pages: Browser) -> None:
    pages.api().start("copy")
    pages.ledger.complete("copy")
    pages.api().start("check", verifies="copy")
    part = {"object": "deals", "linkedTo": "contacts", "verdict": "different", "missing": 3}
    found = {"verdict": "different", "parts": [{**ZEROS, **part}], "differences": []}
    pages.ledger.complete("check")
    pages.ledger.run(
        "update scan set findings = %s::jsonb where scan_id = 'check'", json.dumps(found)
    )

    shown = pages.get("/scans/check").text

    assert 'Compares <a href="/scans/copy">copy</a> with HubSpot: different' in shown
    assert "; deals to contacts: 3 missing." in shown
    assert "/download/" not in shown
    assert "Compares" not in pages.get("/scans/copy").text


def test_only_a_completed_full_scan_is_verified_and_says_itself_what_is_read(
    client: Client, ledger: Ledger
) -> None:
    def refusal(name: str, **config: Any) -> list[tuple[str, str]]:
        response = client.start(name, **config)
        assert response.status_code == 400, response.text
        return [(each["field"], each["message"]) for each in response.json()["error"]["details"]]

    no_copy = ("config.verifies", "must name a completed scan that read everything")
    assert refusal("check", verifies="nothing") == [no_copy]
    client.start("waiting")
    assert refusal("check", verifies="waiting") == [no_copy]
    client.start("changes", mode="incremental")
    client.start("copy", objects=["deals", "contacts"], keepDays=3)
    ledger.run("update scan set status = 'completed', slot = null, token = null")
    assert refusal("check", verifies="changes") == [no_copy]
    for said in (
        {"objects": ["deals"]},
        {"properties": ["amount"]},
        {"associations": ["contacts"]},
        {"dateRange": {"startDate": "2025-01-01"}},
        {"mode": "incremental"},
    ):
        [(field, _)] = refusal("check", verifies="copy", **said)
        assert field == "config.verifies"
    assert client.start("check", verifies="copy").status_code == 202
    stored = client.get("/api/v1/scan/status/check").json()["data"]
    assert stored["config"]["objects"] == ["deals", "contacts"]
    assert "keepDays" not in stored["config"]
    assert stored["verification"] == {
        "verifies": "copy",
        "verdict": None,
        "parts": [],
        "differences": [],
    }
    ledger.run("update scan set status = 'completed', slot = null, token = null")
    assert refusal("again", verifies="check") == [no_copy]
    assert ledger.run("select distinct tenant_id from scan") == [(TENANT,)]
