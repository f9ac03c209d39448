"""What `config.objects` may say, and what is refused before anything is stored."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from scan_service.ledger.extraction import Extraction
from scan_service.records import objects
from service.kit import TENANT, TOKEN, Client, Ledger, order
from target_deals_postgres.records.columns import identifier

if TYPE_CHECKING:
    from hubspot_simulator import Portal, Simulator

FEW = "pat-na1-few-scopes"


@pytest.fixture
def zipcodes(portal: Portal) -> None:
    """The account has one custom object with one record."""
    if "zipcodes" not in portal.types.types:
        portal.add_object_type("zipcodes")
        portal.create("zipcodes", {})


def extraction(**config: Any) -> Extraction:
    body = order(**config)["config"]
    del body["scanId"]
    return Extraction.model_validate(body)


def test_a_scan_that_names_no_objects_answers_with_no_new_key(
    client: Client, ledger: Ledger
) -> None:
    client.start("scan-1", objects=None)
    ledger.make_results("scan-1", [{"id": "1", "dealname": "a"}])
    ledger.complete("scan-1")

    status = client.get("/api/v1/scan/status/scan-1").json()["data"]
    result = client.get("/api/v1/scan/result/scan-1").json()["data"]
    stats = client.get("/api/v1/stats").json()["data"]
    removed = client.delete("/api/v1/scan/remove/scan-1?confirm=true").json()["data"]

    assert status["config"] == {"mode": "full", "batchSize": 100, "rateLimitDelay": 100}
    assert status["progress"].keys() == {
        "totalItems", "processedItems", "failedItems", "successRate", "percentComplete",
        "currentBatch", "totalBatches",
    }  # fmt: skip
    assert result.keys() == {"scanId", "scanStatus", "deals", "pagination", "summary"}
    assert stats.keys() == {"tenantId", "scans", "deals", "performance", "storage"}
    assert removed["deletedRecords"] == {"scanJob": 1, "deals": 1, "associations": 0}


def test_the_bookmarks_of_deals_alone_stay_good() -> None:
    """The fingerprint is what it was before there were other types."""
    config: dict[str, Any] = {
        "filters": {"pipeline": "default"},
        "dateRange": {"startDate": "2025-01-01"},
        "properties": ["dealname", "amount"],
        "associations": ["contacts"],
    }
    what = {
        "filters": {"pipeline": "default", "deal_stage": None, "archived": False},
        "dates": {"start_date": "2025-01-01", "end_date": None},
        "properties": ["amount", "dealname"],
        "associations": ["contacts"],
    }
    before = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    alone = extraction(**config).fingerprint()
    named = extraction(objects=["deals"], **config).fingerprint()
    in_item = extraction(objects=[{"name": "deals", **config}]).fingerprint()
    more = extraction(objects=["deals", "contacts"], **config).fingerprint()

    assert alone == named == in_item == before
    assert more != before


@pytest.mark.parametrize("name", ["deals", "User", "x" * 63, "x" * 64, "y" * 128, "ctid", "2-31"])
def test_the_service_finds_the_tables_that_the_target_makes(name: str) -> None:
    assert objects.table_of(name) == identifier(name)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"objects": []}, "config.objects"),
        ({"objects": "contacts"}, "config.objects"),
        ({"objects": ["contacts"] * 51}, "config.objects"),
        ({"objects": ["contacts", "contacts"]}, "config.objects"),
        ({"objects": ["contacts", {"name": "contacts"}]}, "config.objects"),
        ({"objects": [""]}, "config.objects.0"),
        ({"objects": ["deals", "no good"]}, "config.objects.1"),
        ({"objects": ["deals", 'x"; drop table scan; --']}, "config.objects.1"),
        ({"objects": ["x" * 129]}, "config.objects.0"),
        ({"objects": [7]}, "config.objects.0"),
        ({"objects": [None]}, "config.objects.0"),
        ({"objects": ["associations"]}, "config.objects.0"),
        ({"objects": ["owners"]}, "config.objects.0"),
        ({"objects": ["current_associations"]}, "config.objects.0"),
        ({"objects": ["deal_properties"]}, "config.objects.0"),
        ({"objects": [{}]}, "config.objects.0.name"),
        ({"objects": [{"name": "a b"}]}, "config.objects.0.name"),
        ({"objects": [{"name": "contacts", "typo": 1}]}, "config.objects.0.typo"),
        ({"objects": [{"name": "contacts", "properties": ["a b"]}]},
         "config.objects.0.properties.0"),
        ({"objects": [{"name": "contacts", "filters": {"stage": "x"}}]}, "config.objects.0"),
        ({"objects": [{"name": "zipcodes", "filters": {"pipeline": "x"}}]}, "config.objects.0"),
        ({"objects": [{"name": "deals", "filters": {"dealStage": "x"}}]},
         "config.objects.0.filters.dealStage"),
        ({"objects": [{"name": "notes", "dateRange": {"startDate": "soon"}}]},
         "config.objects.0.dateRange.startDate"),
        ({"objects": [{"name": "notes", "associations": ["friends"]}]}, "config.objects"),
        ({"objects": ["contacts"], "associations": ["friends"]}, "config.associations"),
        ({"objects": ["contacts"], "associations": ["companies"]}, "config.associations"),
        ({"objects": ["contacts"], "filters": {"pipeline": "x"}}, "config.filters"),
        ({"objects": ["contacts"], "properties": ["email"]}, "config.properties"),
        ({"objects": ["contacts"], "dateRange": {"endDate": "2025-01-01"}}, "config.dateRange"),
        ({"objects": [{"name": "deals", "properties": ["amount"]}], "properties": ["amount"]},
         "config.properties"),
    ],
)  # fmt: skip
def test_wrong_objects_name_their_field_and_nothing_is_stored(
    change: dict[str, Any], field: str, client: Client, ledger: Ledger
) -> None:
    response = client.start(**change)

    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert [detail["field"] for detail in error["details"]] == [field]
    assert ledger.run("select count(*) from scan") == [(0,)]


def test_settings_without_effect_are_not_refused(client: Client) -> None:
    answer = client.start(
        objects=["contacts"], filters={"archived": False}, dateRange={}, properties=[],
        associations=None,
    )  # fmt: skip

    assert answer.status_code == 202


@pytest.mark.usefixtures("zipcodes")
def test_the_status_shows_the_objects_as_they_were_asked_for_with_their_totals(
    client: Client, portal: Portal
) -> None:
    wanted = [
        "deals",
        {"name": "contacts", "associations": ["zipcodes"], "filters": {"archived": True}},
        "zipcodes",
        {"name": "companies", "dateRange": {"endDate": "1999-12-31"}},
    ]
    client.start(objects=wanted, associations=["zipcodes"])

    data = client.get("/api/v1/scan/status/scan-1").json()["data"]

    assert data["config"]["objects"] == wanted
    totals = {name: each["totalItems"] for name, each in data["progress"]["objects"].items()}
    assert totals == {
        "deals": len(portal.ids("deals")), "contacts": None, "zipcodes": 1, "companies": 0,
    }  # fmt: skip
    assert data["progress"]["totalItems"] is None  # archived contacts cannot be counted


@pytest.mark.usefixtures("zipcodes")
def test_a_custom_object_is_counted_under_each_of_its_names(client: Client, portal: Portal) -> None:
    type_id = portal.types.resolve("zipcodes").type_id
    names = ["zipcodes", "p_zipcodes", f"p{portal.portal_id}_zipcodes", type_id]
    for place, name in enumerate(names):
        assert client.start(f"scan-{place}", objects=[name]).status_code == 202

        progress = client.get(f"/api/v1/scan/status/scan-{place}").json()["data"]["progress"]
        assert progress["totalItems"] == 1
        assert progress["objects"].keys() == {name}


@pytest.mark.parametrize("path", ["scan", "schedule"])
def test_an_object_that_the_account_lacks_is_named(
    client: Client, ledger: Ledger, path: str
) -> None:
    config: dict[str, Any] = {"objects": ["deals", "zipkodes"]}
    if path == "scan":
        response = client.start(**config)
    else:
        body = order(**config)["config"]
        del body["scanId"]
        schedule = {"scheduleId": "nightly", "cron": "0 3 * * *", "config": body}
        response = client.post("/api/v1/schedules", json={"schedule": schedule})

    prefix = "config" if path == "scan" else "schedule.config"
    assert response.status_code == 400
    (detail,) = response.json()["error"]["details"]
    assert detail == {
        "field": f"{prefix}.objects.1", "message": "HubSpot has no object type of this name",
    }  # fmt: skip
    assert ledger.run("select count(*) from scan") == [(0,)]


@pytest.mark.parametrize(
    ("wanted", "word", "scope"),
    [
        ("companies", "companies", "crm.objects.companies.read"),
        ("tickets", "tickets", "tickets"),
        ("zipcodes", "custom objects", "crm.schemas.custom.read"),
    ],
)
@pytest.mark.usefixtures("zipcodes")
def test_a_type_that_the_token_may_not_read_is_named_with_its_scope(
    client: Client, ledger: Ledger, portal: Portal, wanted: str, word: str, scope: str
) -> None:
    portal.add_token(FEW, scopes=["crm.objects.deals.read", "crm.objects.contacts.read"])

    response = client.start(objects=["deals", "contacts", wanted], auth={"accessToken": FEW})

    assert response.status_code == 502
    error = response.json()["error"]
    assert error["code"] == "HUBSPOT_AUTH_ERROR"
    assert word in error["message"]
    assert scope in error["details"]["requiredScopes"]
    assert ledger.run("select count(*) from scan") == [(0,)]


def test_types_that_hubspot_cannot_count_now_do_not_stop_the_start(
    client: Client, hubspot: Simulator
) -> None:
    hubspot.fail("status", status=502, endpoint="schemas")
    hubspot.fail("status", status=502, endpoint="search", times=1)
    try:
        answer = client.start(objects=["contacts", "unknown-until-it-runs", "deals"])
    finally:
        hubspot.heal()

    assert answer.status_code == 202
    progress = client.get("/api/v1/scan/status/scan-1").json()["data"]["progress"]
    assert progress["totalItems"] is None
    assert progress["objects"]["contacts"]["totalItems"] is None
    assert progress["objects"]["deals"]["totalItems"] > 0


def test_an_account_at_its_limit_is_not_asked_for_the_other_types(
    client: Client, hubspot: Simulator
) -> None:
    hubspot.fail("status", status=429, endpoint="search")
    hubspot.requests.clear()
    try:
        answer = client.start(objects=["contacts", "companies", "deals", "notes"])
    finally:
        hubspot.heal()

    assert answer.status_code == 202
    assert hubspot.requests.count(endpoint="search") == 1


def test_refused_records_of_other_types_are_listed_under_their_own_name(
    client: Client, ledger: Ledger
) -> None:
    client.start("scan-1", objects=["deals", "contacts"])
    ledger.make_results("scan-1", [{"id": "1"}])
    ledger.run(
        "create table scans._rejected_records (stream text, _tenant_id text, record_key text,"
        " reason text, payload text, rejected_at timestamptz default now())"
    )
    for stream, record in (("deals", "98"), ("contacts", "99"), ("contacts", "100")):
        key = json.dumps({"_tenant_id": TENANT, "_scan_id": "scan-1", "id": record})
        ledger.run(
            "insert into scans._rejected_records values (%s, %s, %s, 'too big', '{}')",
            stream, TENANT, key,
        )  # fmt: skip
    ledger.complete("scan-1")

    data = client.get("/api/v1/scan/status/scan-1").json()["data"]
    stats = client.get("/api/v1/stats").json()["data"]

    assert data["progress"]["failedItems"] == 3
    assert data["progress"]["processedItems"] == 4
    assert data["progress"]["objects"]["contacts"] == {
        "totalItems": 2, "processedItems": 2, "failedItems": 2,
    }  # fmt: skip
    listed = {(each["dealId"], each.get("object"), each.get("recordId")) for each in data["errors"]}
    assert listed == {("98", None, None), (None, "contacts", "99"), (None, "contacts", "100")}
    assert stats["deals"]["totalExtracted"] == 1
    assert stats["objects"]["contacts"]["totalExtracted"] == 0


def test_a_scan_without_deals_changes_no_average_of_deals(client: Client, ledger: Ledger) -> None:
    client.start("deals")
    ledger.make_results("deals", [{"id": "1"}, {"id": "2"}])
    ledger.complete("deals")
    before = client.get("/api/v1/stats").json()["data"]
    client.start("contacts", objects=["contacts"])
    ledger.complete("contacts")

    after = client.get("/api/v1/stats").json()["data"]

    assert before["deals"]["averagePerScan"] == after["deals"]["averagePerScan"] == 2
    assert after["scans"]["completed"] == 2
    assert after["deals"]["lastExtraction"] == before["deals"]["lastExtraction"]


def test_no_answer_about_objects_echoes_the_token(client: Client) -> None:
    response = client.start(objects=["contacts", {"name": "contacts", TOKEN: TOKEN}])

    assert response.status_code == 400
    assert TOKEN not in response.text
