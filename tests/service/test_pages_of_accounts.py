"""From a new tenant to a scan's records, by pages alone; and the answers of the API behind them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from service.browsing import HOSTILE, Browser
from service.kit import TOKEN, Client

if TYPE_CHECKING:
    from service.kit import Ledger


def connect(client: Client) -> None:
    made = client.post(
        "/api/v1/connections", json={"connection": {"connectionId": "main", "accessToken": TOKEN}}
    )
    assert made.status_code == 201


def test_an_account_is_described_as_forms_need_it(client: Client) -> None:
    connect(client)

    found = client.get("/api/v1/connections/main/objects?names=deals,contacts,nonsense")

    data = found.json()["data"]
    assert {"deals", "contacts", "tickets"} <= set(data["types"])
    assert data["objects"].keys() == {"deals", "contacts"}
    amount = next(p for p in data["objects"]["deals"]["properties"] if p["name"] == "amount")
    assert amount["custom"] is False
    assert data["objects"]["deals"]["pipelines"][0]["stages"]
    assert data["objects"]["contacts"]["pipelines"] == []


def test_an_account_of_nobody_is_not_described(client: Client, ledger: Ledger) -> None:
    connect(client)
    other = Client(client.http, ledger.key("other"))

    assert client.get("/api/v1/connections/none/objects").status_code == 404
    assert other.get("/api/v1/connections/main/objects").status_code == 404


def test_an_estimate_tells_what_a_scan_would_cost_and_starts_nothing(client: Client) -> None:
    body = {
        "config": {
            "scanId": "x", "tenantId": "tenant-abc-123", "auth": {"accessToken": TOKEN},
            "objects": ["deals", {"name": "contacts", "associations": ["companies"]}],
        }
    }  # fmt: skip
    data = client.post("/api/v1/scan/estimate", json=body).json()["data"]

    assert data["objects"]["deals"] == {"totalItems": 60, "requests": 3}
    contacts = data["objects"]["contacts"]["totalItems"]
    assert data["totalItems"] == 60 + contacts
    assert data["requests"] == 3 + 2 + -(-contacts // 100) + -(-contacts // 1000)
    assert client.get("/api/v1/scan/list").json()["data"]["scans"] == []


def test_one_record_is_answered_with_its_links(client: Client, ledger: Ledger) -> None:
    client.start("first", associations=["contacts"])
    links = {
        "contacts": [{"id": "7", "types": [{"category": "HUBSPOT_DEFINED", "label": "Buyer"}]}]
    }
    ledger.make_results("first", [{"id": "1", "amount": "12.30", "associations": links}])
    ledger.complete("first")

    found = client.get("/api/v1/scan/result/first/1")

    assert '"amount" : 12.30' in found.text
    assert found.json()["data"]["record"]["associations"]["contacts"][0]["id"] == "7"
    assert client.get("/api/v1/scan/result/first/2").status_code == 404
    assert client.get("/api/v1/scan/result/first/1?object=contacts").status_code == 400
    other = Client(client.http, ledger.key("other"))
    assert other.get("/api/v1/scan/result/first/1").status_code == 404


def test_from_a_new_tenant_to_a_scan_that_has_begun(pages: Browser) -> None:
    assert "Connect one first" in pages.get("/start").text
    refused = pages.post("/connections", {"name": "main", "token": "pat-na1-wrong-token"})
    assert refused.status_code == 502
    assert "authentication failed" in refused.text
    made = pages.post("/connections", {"name": "main", "token": TOKEN})
    assert made.headers["Location"] == "/start?connection=main"
    assert TOKEN not in pages.get("/connections").text

    form = pages.get("/start?connection=main&object=deals&object=contacts").text
    assert "optgroup" in form
    assert 'name="property.contacts"' in form
    wanted: dict[str, Any] = {
        "connection": "main", "name": "first", "mode": "full", "object": ["deals", "contacts"],
        "property.deals": ["amount", "dealname"], "link.deals": ["contacts"],
        "from.deals": "2020-01-01",
    }  # fmt: skip
    estimate = pages.post("/start", {**wanted, "do": "estimate"})
    assert re.search(r"about [\d,]+ requests to HubSpot", estimate.text)
    assert 'value="2020-01-01"' in estimate.text

    begun = pages.post("/start", {**wanted, "do": "start"})

    assert begun.headers["Location"] == "/scans/first"
    assert pages.get("/scans/first").status_code == 200
    config = pages.api().get("/api/v1/scan/status/first").json()["data"]["config"]
    assert config["connection"] == "main"
    assert config["objects"][0] == {
        "name": "deals", "properties": ["amount", "dealname"], "associations": ["contacts"],
        "dateRange": {"startDate": "2020-01-01"},
    }  # fmt: skip


def test_a_stage_that_is_chosen_is_the_filter(pages: Browser) -> None:
    connect(pages.api())
    form = pages.get("/start?connection=main").text
    value = re.search(r'<option value="([^" ]+ [^"]+)"', form)
    assert value

    pages.post(
        "/start",
        {"connection": "main", "name": "s", "object": "deals", "where.deals": value[1], "do": "x"},
    )

    config = pages.api().get("/api/v1/scan/status/s").json()["data"]["config"]
    pipeline, _, stage = value[1].partition(" ")
    assert config["objects"] == [
        {"name": "deals", "filters": {"pipeline": pipeline, "stage": stage}}
    ]


def test_what_a_form_lacks_is_said_and_what_it_has_is_kept(pages: Browser) -> None:
    connect(pages.api())

    refused = pages.post("/start", {"connection": "main", "name": "a b", "do": "start"})

    assert refused.status_code == 400
    assert "config.scanId" in refused.text
    assert 'value="a b"' in refused.text


def test_records_are_shown_page_by_page_in_the_columns_one_chooses(pages: Browser) -> None:
    pages.api().start("first")
    pages.ledger.make_results(
        "first", [{"id": f"{n:03}", "dealname": f"Deal {n}", "amount": "1.50"} for n in range(60)]
    )
    pages.ledger.complete("first")

    page = pages.get("/scans/first/records?column=amount").text

    assert "60 deals" in page
    assert page.count("<td>1.50</td>") == 50
    assert "Deal 1<" not in page
    following = re.search(r'rel="next" href="([^"]+)"', page)
    assert following
    second = pages.get(following[1].replace("&amp;", "&")).text
    assert second.count("<td>1.50</td>") == 10
    assert "Page 2 of 2" in second


def test_hostile_values_are_text_among_records_and_on_one(pages: Browser) -> None:
    pages.api().start("first", associations=["contacts"])
    links = {"contacts": [{"id": HOSTILE, "types": [{"label": HOSTILE}]}]}
    own = {HOSTILE: HOSTILE}
    pages.ledger.make_results(
        "first",
        [{"id": "1", "dealname": HOSTILE, "associations": links, "custom_properties": own}],
    )
    pages.ledger.complete("first")

    for path in ("/records", "/records/1"):
        shown = pages.get(f"/scans/first{path}").text
        assert "&lt;img src=x" in shown
        assert "<img src=x" not in shown


def test_a_connection_can_be_removed(pages: Browser) -> None:
    connect(pages.api())

    assert pages.post("/connections/main/remove").headers["Location"] == "/connections"

    assert "No account is connected" in pages.get("/connections").text
