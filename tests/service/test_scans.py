"""The life of a scan as a tenant sees it, on the real ledger; nothing runs here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from service.kit import TENANT, TOKEN, Client, Ledger, order

if TYPE_CHECKING:
    from hubspot_simulator import Portal, Simulator
    from starlette.testclient import TestClient

FULL = {
    "organizationId": "org-456",
    "filters": {"pipeline": "default", "dealStage": None, "archived": False},
    "dateRange": {"startDate": "2025-01-01", "endDate": "2025-12-31"},
    "properties": ["dealname", "amount", "closedate"],
    "associations": ["contacts", "companies"],
    "batchSize": 100,
    "rateLimitDelay": 100,
}


def test_a_started_scan_is_accepted_as_the_document_says(client: Client) -> None:
    response = client.start("hubspot-deals-2025-11-10", **FULL)

    assert response.status_code == 202
    body = response.json()
    assert body["message"] == "Deal extraction started successfully"
    assert body["data"]["scanId"] == "hubspot-deals-2025-11-10"
    assert body["data"]["tenantId"] == TENANT
    assert body["data"]["status"] == "pending"
    assert body["data"]["estimatedDuration"] == "unknown"
    assert body["data"]["statusUrl"] == "/api/v1/scan/status/hubspot-deals-2025-11-10"


def test_status_knows_the_total_from_hubspots_count_and_shows_no_token(
    client: Client, portal: Portal
) -> None:
    client.start("scan-1")

    response = client.get("/api/v1/scan/status/scan-1")

    data = response.json()["data"]
    assert data["status"] == "pending"
    assert data["progress"]["totalItems"] == len(portal.ids("deals"))
    assert data["progress"]["percentComplete"] == 0.0
    assert data["config"] == {"mode": "full", "batchSize": 100, "rateLimitDelay": 100}
    assert TOKEN not in response.text


def test_an_integer_may_be_written_with_a_point(client: Client) -> None:
    """JSON has one kind of number: 50.0 is the integer 50."""
    client.start("scan-1", batchSize=50.0, rateLimitDelay=0.0)

    config = client.get("/api/v1/scan/status/scan-1").json()["data"]["config"]
    assert (config["batchSize"], config["rateLimitDelay"]) == (50, 0)
    assert client.start("scan-2", batchSize=50.5).status_code == 400


def test_a_second_scan_of_the_same_name_is_a_conflict_for_this_tenant_only(
    client: Client, ledger: Ledger, http: TestClient
) -> None:
    assert client.start("scan-1").status_code == 202
    other = Client(http, ledger.key("tenant-b"))

    second = client.start("scan-1")
    others = other.post("/api/v1/scan/start", json=order("scan-1", "tenant-b"))

    assert second.status_code == 409
    assert second.json()["error"]["code"] == "CONFLICT"
    assert others.status_code == 202


def test_five_scans_get_a_slot_and_the_sixth_waits_for_one(client: Client, ledger: Ledger) -> None:
    for number in range(7):
        assert client.start(f"scan-{number}").status_code == 202

    slots = ledger.run("select scan_id, slot from scan order by place")
    jobs = ledger.run("select count(*) from procrastinate_jobs")[0][0]
    client.post("/api/v1/scan/cancel/scan-2")
    after = ledger.run("select scan_id, slot from scan where slot is not null order by place")

    assert [slot for _, slot in slots] == [1, 2, 3, 4, 5, None, None]
    assert jobs == 5
    assert [name for name, _ in after] == ["scan-0", "scan-1", "scan-3", "scan-4", "scan-5"]
    assert dict(after)["scan-5"] == 3


def test_no_code_can_give_a_tenant_one_slot_twice(client: Client, ledger: Ledger) -> None:
    client.start("scan-1")
    client.start("scan-2")

    with pytest.raises(Exception, match="scan_slot"):
        ledger.run("update scan set slot = 1")


def test_a_backlog_beyond_its_bound_is_refused(client: Client, ledger: Ledger) -> None:
    client.start("scan-1")
    ledger.run(
        "insert into scan (tenant_id, scan_id, config, fingerprint)"
        " select %s, 'w' || n, '{}', '' from generate_series(1, 100) as n",
        TENANT,
    )

    response = client.start("scan-2")

    assert response.status_code == 429
    assert response.json()["error"]["retryAfter"] == 60
    assert response.headers["Retry-After"] == "60"


def test_a_waiting_scan_can_be_cancelled_once(client: Client, ledger: Ledger) -> None:
    client.start("scan-1")

    first = client.post("/api/v1/scan/cancel/scan-1")
    second = client.post("/api/v1/scan/cancel/scan-1")

    assert first.status_code == 200
    assert first.json()["message"] == "Scan cancelled successfully"
    assert first.json()["data"]["previousStatus"] == "pending"
    assert first.json()["data"]["currentStatus"] == "cancelled"
    assert second.status_code == 409
    assert ledger.run("select token, slot from scan") == [(None, None)]
    assert ledger.run("select status::text from procrastinate_jobs") == [("cancelled",)]


def test_a_pending_scan_has_no_results_no_download_and_cannot_be_removed(client: Client) -> None:
    client.start("scan-1")

    assert client.get("/api/v1/scan/result/scan-1").status_code == 404
    assert client.get("/api/v1/scan/download/scan-1/csv").status_code == 409
    assert client.delete("/api/v1/scan/remove/scan-1?confirm=true").status_code == 409


def test_the_list_pages_sorts_and_filters(client: Client) -> None:
    for number in range(5):
        client.start(f"scan-{number}")
    client.post("/api/v1/scan/cancel/scan-3")

    first = client.get("/api/v1/scan/list?page_size=2&order=asc").json()["data"]
    last = client.get("/api/v1/scan/list?page_size=2&page=3&order=asc").json()["data"]
    beyond = client.get("/api/v1/scan/list?page=9").json()["data"]
    cancelled = client.get("/api/v1/scan/list?status=cancelled").json()["data"]
    by_status = client.get("/api/v1/scan/list?sort=status&order=desc").json()["data"]

    assert [scan["scanId"] for scan in first["scans"]] == ["scan-0", "scan-1"]
    assert first["pagination"] == {
        "current_page": 1, "page_size": 2, "total_items": 5, "total_pages": 3,
        "has_next": True, "has_previous": False, "next_page": 2, "previous_page": None,
    }  # fmt: skip
    assert [scan["scanId"] for scan in last["scans"]] == ["scan-4"]
    assert last["pagination"]["next_page"] is None
    assert beyond["scans"] == []
    assert [scan["scanId"] for scan in cancelled["scans"]] == ["scan-3"]
    assert by_status["scans"][0]["scanId"] == "scan-3"


def test_a_token_that_hubspot_refuses_is_refused_at_once_and_nothing_is_stored(
    client: Client, ledger: Ledger
) -> None:
    body = order("scan-1", auth={"accessToken": "pat-na1-wrong-wrong-wrong"})

    response = client.post("/api/v1/scan/start", json=body)

    assert response.status_code == 502
    error = response.json()["error"]
    assert error["code"] == "HUBSPOT_AUTH_ERROR"
    assert error["details"]["hubspotStatus"] == 401
    assert error["details"]["requiredScopes"] == ["crm.objects.deals.read"]
    assert "wrong-wrong" not in response.text
    assert ledger.run("select count(*) from scan") == [(0,)]


def test_a_missing_scope_is_named(client: Client, portal: Portal) -> None:
    portal.add_token("pat-na1-scopeless-token", scopes=["crm.objects.contacts.read"])

    response = client.post(
        "/api/v1/scan/start", json=order(auth={"accessToken": "pat-na1-scopeless-token"})
    )

    assert response.status_code == 502
    details = response.json()["error"]["details"]
    assert details["hubspotStatus"] == 403
    assert "crm.objects.deals.read" in details["requiredScopes"]


def test_a_hubspot_that_stumbles_does_not_stop_the_start(
    client: Client, hubspot: Simulator
) -> None:
    hubspot.fail("status", status=502, endpoint="search")
    try:
        response = client.start("scan-1")
    finally:
        hubspot.heal()

    assert response.status_code == 202
    progress = client.get("/api/v1/scan/status/scan-1").json()["data"]["progress"]
    assert progress["totalItems"] is None
    assert progress["percentComplete"] is None


def test_a_start_that_is_refused_has_started_nothing(client: Client, ledger: Ledger) -> None:
    client.start("before")
    ledger.run("alter table outcome rename to hidden")  # what the answer's estimate is made of
    try:
        refused = client.start("scan-1")
    finally:
        ledger.run("alter table hidden rename to outcome")

    assert refused.status_code == 500
    assert client.get("/api/v1/scan/status/scan-1").status_code == 404
    assert client.start("scan-1").status_code == 202


def test_the_count_respects_the_filters(client: Client, portal: Portal) -> None:
    truth = portal.truth("deals").live
    pipeline = next(iter(truth.values())).properties["pipeline"]
    assert isinstance(pipeline, str)
    expected = sum(deal.properties["pipeline"] == pipeline for deal in truth.values())

    client.start("scan-1", filters={"pipeline": pipeline})
    client.start("scan-2", dateRange={"startDate": "1999-01-01", "endDate": "1999-12-31"})
    client.start("scan-3", filters={"archived": True})

    def total(name: str) -> int | None:
        data = client.get(f"/api/v1/scan/status/{name}").json()["data"]
        count: int | None = data["progress"]["totalItems"]
        return count

    assert total("scan-1") == expected
    assert total("scan-2") == 0
    assert total("scan-3") is None
