"""What a finished scan's deals say about the pipeline, over the API and on the page."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from service.browsing import HOSTILE
from service.kit import TENANT, TOKEN, Client

if TYPE_CHECKING:
    from service.browsing import Browser
    from service.kit import Ledger


def deal(number: int, stage: str, **more: Any) -> dict[str, Any]:
    closed = stage.startswith("closed")
    return {
        "id": str(number), "pipeline": "default", "dealstage": stage, "dealname": f"Deal {number}",
        "hs_is_closed": closed, "hs_is_closed_won": stage == "closedwon",
        "created_at": "2020-01-01T00:00:00Z", **more,
    }  # fmt: skip


@pytest.fixture
def scan(client: Client, ledger: Ledger) -> str:
    client.start("first")
    times = {
        "hs_v2_date_entered_offer": "2021-01-01T00:00:00Z",
        "hs_v2_cumulative_time_in_offer": 7_200_000,
    }
    recent = {"hs_v2_date_entered_offer": "2999-01-01T00:00:00Z"}
    ledger.make_results(
        "first",
        [
            deal(1, "offer", amount_in_home_currency="10.10", custom_properties=times),
            deal(2, "offer", amount_in_home_currency="99.95", custom_properties=recent),
            deal(3, "talk", amount="70", deal_currency_code="EUR"),
            deal(4, "talk", amount_in_home_currency="20", dealname=HOSTILE),
            deal(5, "closedwon", amount_in_home_currency="5", closedate="2999-01-01T00:00:00Z",
                 custom_properties=times),
            deal(6, "talk", amount_in_home_currency="7", archived=True, custom_properties=times),
        ],
    )  # fmt: skip
    ledger.complete("first")
    return "first"


def figures(client: Client, query: str = "") -> dict[str, Any]:
    answer = client.get(f"/api/v1/scan/pipeline/first{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.text, parse_float=Decimal)["data"]["figures"]
    return found


def test_labels_are_told_while_somebody_can_tell_them(client: Client, ledger: Ledger) -> None:
    account = {"connectionId": "main", "accessToken": TOKEN}
    client.post("/api/v1/connections", json={"connection": account})
    client.start("first", auth={"connection": "main"})
    ledger.complete("first")

    def labels() -> dict[str, Any]:
        answer = client.get("/api/v1/scan/pipeline/first?include_labels=true")
        found: dict[str, Any] = answer.json()["data"]["labels"]
        return found

    assert "default" in labels()
    ledger.run("update connection set secret = 'sealed with a key that is gone'")
    assert labels() == {}
    ledger.run("update connection set secret = null")  # made anew, its user is still to say yes
    assert labels() == {}


@pytest.mark.usefixtures("scan")
def test_the_figures_are_those_of_the_deals(client: Client) -> None:
    found = figures(client)

    stages = {each["stage"]: (each["deals"], each["amount"]) for each in found["stages"]}
    assert stages == {
        "offer": (2, Decimal("110.05")), "talk": (2, 20), "closedwon": (1, 5),
    }  # fmt: skip
    # The largest first; deals of which HubSpot tells no time of the stage count from their making.
    assert [(each["id"], each["by"]) for each in found["stalled"]] == [
        ("4", "created"), ("1", "stage"), ("3", "created"),
    ]  # fmt: skip
    assert (found["stalledDeals"], found["stalledAmount"]) == (3, Decimal("30.10"))
    assert (found["openDeals"], found["openAmount"]) == (4, Decimal("130.05"))
    assert found["passed"] == {"offer": {"deals": 3, "averageSeconds": 7200}}


@pytest.mark.usefixtures("scan")
def test_the_figures_are_worked_out_once_for_each_number_of_days(
    client: Client, ledger: Ledger
) -> None:
    first = figures(client)
    ledger.run("delete from scans.deals where id = '4'")

    assert figures(client) == first
    assert figures(client, "?stalled_days=3650")["stalledDeals"] == 0
    assert ledger.run("select count(*) from pipeline_figures") == [(2,)]
    client.delete("/api/v1/scan/remove/first?confirm=true")
    assert ledger.run("select from pipeline_figures") == []


@pytest.mark.usefixtures("scan")
def test_figures_are_the_tenants_own(client: Client, ledger: Ledger) -> None:
    figures(client)
    other = Client(client.http, ledger.key("other"))

    assert other.get("/api/v1/scan/pipeline/first").status_code == 404
    assert ledger.run("select tenant_id from pipeline_figures") == [(TENANT,)]


def test_a_scan_that_runs_or_has_no_deals_has_no_figures(client: Client) -> None:
    client.start("first")
    client.start("contacts", objects=["contacts"])

    assert client.get("/api/v1/scan/pipeline/first").status_code == 404
    assert client.get("/api/v1/scan/pipeline/contacts").status_code == 400
    assert client.get("/api/v1/scan/pipeline/first?stalled_days=x").status_code == 400


def test_the_page_leads_to_the_largest_stalled_deal(
    pages: Browser, client: Client, scan: str
) -> None:
    assert client.key
    pages.sign_in(client.key)

    page = pages.get("/pipeline").text

    assert "&lt;img src=x" in page
    assert "<img src=x" not in page
    stalled = page.partition("Stalled deals, the largest first")[2]
    assert stalled.index(f"/scans/{scan}/records/4") < stalled.index(f"/scans/{scan}/records/1")
    assert "<svg" in page
    assert "style=" not in page
    assert "110.05" in page
    assert "2 h 0 min" in page


def test_without_a_scan_the_page_says_what_to_do(pages: Browser) -> None:
    assert "no completed scan of deals" in pages.get("/pipeline").text
