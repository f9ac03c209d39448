"""What a record was before, of a scan that keeps it, and what its page says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scan_service.records.objects import is_taken
from service.browsing import HOSTILE
from service.kit import TENANT, Client

if TYPE_CHECKING:
    from service.browsing import Browser
    from service.kit import Ledger

KEPT = [{"name": "deals", "history": ["amount", "dealstage"]}]
PATH = "/api/v1/scan/result/first/1/history"


def make(client: Client, ledger: Ledger, **config: Any) -> None:
    client.start("first", **config)
    ledger.make_results("first", [{"id": "1", "dealname": "One", "dealstage": "won"}])
    ledger.complete("first")


def keep(ledger: Ledger) -> None:
    """Put the rows of histories where a run would have."""
    ledger.run(
        "create table if not exists scans.deal_property_history (_tenant_id text, _scan_id text,"
        ' record_id text, property text, "timestamp" timestamptz, sequence bigint, value text,'
        " source_type text, source_id text, source_label text, gap_before boolean);"
        "create table if not exists scans.deal_stages (_tenant_id text, _scan_id text,"
        " record_id text, entered_at timestamptz, pipeline text, stage text, left_at timestamptz,"
        " seconds numeric, gap_before boolean);"
        "grant select on scans.deal_property_history, scans.deal_stages to scan_service_tenant"
    )  # fmt: skip
    for at, value, source in (("2025-01-01", "5", None), ("2025-03-01", HOSTILE, HOSTILE)):
        ledger.run(
            "insert into scans.deal_property_history values"
            " (%s, 'first', '1', 'amount', %s, 0, %s, 'CRM_UI', null, %s, null)",
            TENANT, at, value, source,
        )  # fmt: skip
    for at, stage, left, seconds in (
        ("2025-01-01", "offer", "2025-01-31", 2_592_000), ("2025-01-31", "won", None, None)
    ):  # fmt: skip
        ledger.run(
            "insert into scans.deal_stages values"
            " (%s, 'first', '1', %s, 'default', %s, %s, %s, null)",
            TENANT, at, stage, left, seconds,
        )  # fmt: skip


def test_values_and_stays_come_newest_first(client: Client, ledger: Ledger) -> None:
    make(client, ledger, objects=KEPT)
    keep(ledger)

    data = client.get(PATH).json()["data"]

    assert data["properties"] == ["amount", "dealstage"]
    assert [each["value"] for each in data["changes"]] == [HOSTILE, "5"]
    assert [(each["stage"], each["seconds"]) for each in data["stays"]] == [
        ("won", None), ("offer", 2_592_000),
    ]  # fmt: skip
    assert Client(client.http, ledger.key("other")).get(PATH).status_code == 404


def test_a_scan_without_histories_answers_with_nothing(client: Client, ledger: Ledger) -> None:
    make(client, ledger)

    data = client.get(PATH).json()["data"]

    assert (data["properties"], data["stays"], data["changes"]) == ([], [], [])


def test_the_page_shows_the_history_or_says_what_to_switch_on(pages: Browser) -> None:
    make(pages.api(), pages.ledger, objects=KEPT)
    keep(pages.ledger)
    shown = pages.get("/scans/first/records/1").text
    assert "<img src=x" not in shown
    assert "for 30 d 0 h" in shown
    assert "still there" in shown

    pages.ledger.run("update scan set config = '{}'")
    pages.ledger.run("delete from scans.deal_property_history; delete from scans.deal_stages")

    assert "This scan kept no history" in pages.get("/scans/first/records/1").text


def test_what_a_scan_reads_is_another_thing_with_histories(client: Client, ledger: Ledger) -> None:
    """Else an incremental scan would go on where one without them ended."""
    client.start("with", objects=KEPT)
    client.start("without", objects=["deals"])

    ((count,),) = ledger.run("select count(distinct fingerprint) from scan")
    assert count == 2


def test_reading_histories_costs_two_requests_for_a_hundred_records(client: Client) -> None:
    def requests(objects: list[Any]) -> int:
        body = {
            "config": {
                "scanId": "none", "tenantId": TENANT, "objects": objects,
                "auth": {"accessToken": "pat-na1-0123abcd-4567-89ef-aaaa-bbbbccccdddd"},
            }
        }  # fmt: skip
        data = client.post("/api/v1/scan/estimate", json=body).json()["data"]
        assert data["totalItems"]
        found: int = data["requests"] - -(-data["totalItems"] // 50) * (objects == KEPT)
        return found

    assert requests(KEPT) == requests(["deals"])


def test_no_object_may_have_the_name_of_a_table_of_histories() -> None:
    assert is_taken("deal_stages")
    assert is_taken("contact_property_history")
