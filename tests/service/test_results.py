"""Pages, summaries and files of results, from rows as the target writes them."""

from __future__ import annotations

import csv
import io
import json
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

if TYPE_CHECKING:
    from service.kit import Client, Ledger

EXACT = "12345678901234567890.123456789"
LINKS = {
    "contacts": [
        {"id": "1001", "types": [{"category": "HUBSPOT_DEFINED", "type_id": 3, "label": None}]},
        {"id": "1002", "types": []},
    ],
    "companies": [{"id": "2001", "types": []}],
}
DEALS: list[dict[str, Any]] = [
    {
        "id": "12345678901", "dealname": "Enterprise Deal - Acme", "amount": "50000.00",
        "closedate": "2025-12-31T00:00:00Z", "dealstage": "appointmentscheduled",
        "pipeline": "default", "hubspot_owner_id": "98765432", "hs_is_closed_won": False,
        "hs_is_closed": False, "hs_deal_stage_probability": "0.20",
        "createdate": "2025-01-15T10:30:00.123Z", "hs_lastmodifieddate": "2025-11-10T15:45:00Z",
        "hs_next_activity_date": "2025-12-01T09:00:00.500Z",
        "custom_properties": {"industry_vertical": "SaaS", "score": 7.50}, "associations": LINKS,
        "raw": {"id": "12345678901"}, "archived": False,
    },
    {
        "id": "12345678902", "dealname": '=HYPERLINK("http://evil","x")', "amount": "-25.17",
        "hs_is_closed_won": True, "hs_is_closed": True, "amount_in_home_currency": "-20.10",
        "description": 'line one\r\nline "two", with comma',
        "custom_properties": {"industry_vertical": "+1 (555)", "tags": ["@a", "b;c"]},
        "hs_all_team_ids": ["7", "8"], "archived": False,
    },
    {
        "id": "2", "dealname": "emoji 🎉 and \x0b control", "amount": EXACT, "hs_is_closed": True,
        "hs_is_closed_won": False, "description": "x" * 40_000, "closedate": "1850-01-01T00:00:00Z",
        "custom_properties": {}, "archived": True,
    },
]  # fmt: skip


@pytest.fixture
def asked(client: Client, ledger: Ledger) -> Client:
    """A tenant with one finished scan."""
    client.start("done", associations=["contacts", "companies"])
    ledger.make_results("done", DEALS)
    ledger.complete("done")
    return client


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def test_a_deal_looks_as_in_the_document(asked: Client) -> None:
    response = asked.get("/api/v1/scan/result/done?include_associations=true")

    deal = next(d for d in exact(response.text)["data"]["deals"] if d["dealId"] == "12345678901")
    assert uuid.UUID(deal.pop("id")).version == 8
    assert deal == {
        "dealId": "12345678901",
        "hubspotObjectId": "12345678901",
        "dealname": "Enterprise Deal - Acme",
        "amount": Decimal("50000.00"),
        "closedate": "2025-12-31T00:00:00Z",
        "dealstage": "appointmentscheduled",
        "pipeline": "default",
        "hubspotOwnerId": "98765432",
        "isClosedWon": False,
        "isClosed": False,
        "dealStageProbability": Decimal("0.20"),
        "createdate": "2025-01-15T10:30:00.123Z",
        "lastmodifieddate": "2025-11-10T15:45:00Z",
        "archived": False,
        "properties": {"hs_next_activity_date": "2025-12-01T09:00:00.500Z"},
        "customProperties": {"industry_vertical": "SaaS", "score": Decimal("7.5")},
        "associations": {
            "contacts": [
                {
                    "id": "1001",
                    "type": "deal_to_contact",
                    "types": [{"category": "HUBSPOT_DEFINED", "type_id": 3, "label": None}],
                },
                {"id": "1002", "type": "deal_to_contact", "types": []},
            ],
            "companies": [{"id": "2001", "type": "deal_to_company", "types": []}],
        },
        "unparsedProperties": None,
        "extractedAt": "2025-11-10T16:02:00Z",
    }


def test_amounts_keep_all_their_digits(asked: Client) -> None:
    text = asked.get("/api/v1/scan/result/done").text

    assert f'"amount" : {EXACT},' in text
    assert '"amount" : 50000.00,' in text


def test_pages_are_stable_and_complete(asked: Client) -> None:
    pages = [
        asked.get(f"/api/v1/scan/result/done?page={page}&page_size=1").json()["data"]
        for page in (1, 2, 3, 4)
    ]

    ids = [deal["dealId"] for page in pages for deal in page["deals"]]
    assert ids == ["12345678901", "12345678902", "2"]
    assert [page["pagination"]["has_next"] for page in pages] == [True, True, False, False]
    assert pages[3]["deals"] == []
    assert len({deal["id"] for page in pages for deal in page["deals"]}) == 3


def test_raw_and_associations_appear_only_when_asked_for(asked: Client) -> None:
    plain = asked.get("/api/v1/scan/result/done").json()["data"]["deals"][0]
    raw = asked.get("/api/v1/scan/result/done?include_raw=True").json()["data"]["deals"][0]

    assert "raw" not in plain
    assert "associations" not in plain
    assert raw["raw"] == {"id": "12345678901"}


def test_the_summary_adds_exactly_in_the_home_currency_and_its_parts_sum_up(asked: Client) -> None:
    summary = exact(asked.get("/api/v1/scan/result/done").text)["data"]["summary"]

    assert summary == {
        "totalDeals": 3,
        "totalAmount": Decimal("12345678901234617870.023456789"),
        "closedWonDeals": 1,
        "closedWonAmount": Decimal("-20.10"),
        "closedLostDeals": 1,
        "closedLostAmount": Decimal(EXACT),
        "openDeals": 1,
        "openAmount": Decimal("50000.00"),
    }


def test_a_scan_without_deals_has_an_empty_page_and_empty_files(
    client: Client, ledger: Ledger
) -> None:
    client.start("empty")
    ledger.complete("empty")

    page = client.get("/api/v1/scan/result/empty").json()["data"]
    files = {form: client.get(f"/api/v1/scan/download/empty/{form}") for form in ("json", "csv")}

    assert page["deals"] == []
    assert page["pagination"]["total_pages"] == 0
    assert page["summary"]["totalAmount"] == 0
    assert files["json"].json() == []
    assert files["csv"].text.splitlines()[0].startswith("deal_id,dealname,amount")
    assert len(files["csv"].text.splitlines()) == 1
    assert client.get("/api/v1/scan/download/empty/excel").content[:2] == b"PK"


def test_json_is_the_array_of_the_same_objects(asked: Client) -> None:
    page = exact(asked.get("/api/v1/scan/result/done?include_associations=true").text)
    response = asked.get("/api/v1/scan/download/done/json?include_associations=true")

    assert exact(response.text) == page["data"]["deals"]
    assert response.headers["Content-Type"] == "application/json"
    lean = asked.get("/api/v1/scan/download/done/json?include_custom_props=false").json()
    assert all("customProperties" not in deal for deal in lean)


def test_csv_has_the_documents_columns_first_and_no_formula(asked: Client) -> None:
    response = asked.get("/api/v1/scan/download/done/csv?include_associations=true")

    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    assert ",".join(rows[0]).startswith(
        "deal_id,dealname,amount,closedate,dealstage,pipeline,hubspot_owner_id,is_closed_won,"
        "extracted_at,is_closed,"
    )
    first, second, third = rows
    assert first["amount"] == "50000.00"
    assert first["closedate"] == "2025-12-31T00:00:00Z"
    assert first["is_closed_won"] == "false"
    assert first["contacts"] == "1001;1002"
    assert first["industry_vertical"] == "SaaS"
    assert second["dealname"] == '\'=HYPERLINK("http://evil","x")'
    assert second["amount"] == "-25.17"  # a number keeps its minus
    assert second["industry_vertical"] == "+1 (555)"  # and so does a phone number
    assert second["tags"] == "'@a;b;c"
    assert second["hs_all_team_ids"] == "7;8"
    assert second["description"] == 'line one\r\nline "two", with comma'
    assert third["amount"] == EXACT
    assert third["description"] == "x" * 40_000


def test_csv_leaves_custom_properties_out_when_told(asked: Client) -> None:
    text = asked.get("/api/v1/scan/download/done/csv?include_custom_props=false").text

    assert "industry_vertical" not in text.splitlines()[0]


def test_excel_changes_what_a_cell_cannot_hold_visibly(asked: Client) -> None:
    response = asked.get("/api/v1/scan/download/done/excel?include_associations=true")

    name = response.headers["Content-Disposition"]
    assert name.startswith('attachment; filename="hubspot_deals_')
    assert '.xlsx"; filename*=UTF-8' in name
    book = openpyxl.load_workbook(io.BytesIO(response.content))
    sheet, notes = book["deals"], book["notes"]
    rows = list(sheet.iter_rows(values_only=True))
    head = {heading: index for index, heading in enumerate(rows[0])}
    by_id = {row[0]: row for row in rows[1:]}
    assert by_id["12345678901"][head["amount"]] == 50000
    assert by_id["12345678902"][head["dealname"]] == '=HYPERLINK("http://evil","x")'
    cell = sheet.cell(row=3, column=head["dealname"] + 1)
    assert cell.data_type == "s"  # a text, not a formula
    big = by_id["2"]
    assert big[head["amount"]] == EXACT  # more digits than a cell has: text
    assert big[head["dealname"]] == "emoji 🎉 and _x000B_ control"  # as Excel writes it
    assert str(big[head["description"]]).endswith("... [cut from 40000 characters]")
    assert len(str(big[head["description"]])) == 32_767
    assert big[head["closedate"]] == "1850-01-01T00:00:00Z"
    noted = list(notes.iter_rows(min_row=2, values_only=True))
    assert {str(row[2]).split()[0] for row in noted} == {"text"}
    assert all(row[0] == "deals" for row in noted)


def test_a_download_says_whose_day_and_what_form_it_is(asked: Client, ledger: Ledger) -> None:
    ledger.run("update scan set completed_at = '2025-11-10T16:08:00Z'")

    names = {
        form: asked.get(f"/api/v1/scan/download/done/{form}").headers["Content-Disposition"]
        for form in ("json", "csv", "excel")
    }

    assert 'filename="hubspot_deals_2025-11-10.json"' in names["json"]
    assert 'filename="hubspot_deals_2025-11-10.csv"' in names["csv"]
    assert 'filename="hubspot_deals_2025-11-10.xlsx"' in names["excel"]


def test_refused_records_are_counted_listed_and_removed_with_the_scan(
    client: Client, ledger: Ledger
) -> None:
    client.start("done")
    ledger.make_results("done", DEALS)
    ledger.run(
        "create table scans._rejected_records (stream text, _tenant_id text, record_key text,"
        " reason text, payload text, rejected_at timestamptz default now())"
    )
    key = json.dumps({"_tenant_id": "tenant-abc-123", "_scan_id": "done", "id": "99"})
    ledger.run(
        "insert into scans._rejected_records values ('deals', %s, %s, 'too big', '{}')",
        "tenant-abc-123",
        key,
    )
    ledger.complete("done")

    data = client.get("/api/v1/scan/status/done").json()["data"]
    client.delete("/api/v1/scan/remove/done?confirm=true")

    assert data["progress"]["failedItems"] == 1
    assert data["progress"]["processedItems"] == 4
    assert data["progress"]["successRate"] == "75.0%"
    assert data["errors"][0]["dealId"] == "99"
    assert data["errors"][0]["error"] == "too big"
    assert ledger.run("select count(*) from scans._rejected_records") == [(0,)]


def test_statistics_count_for_ever_and_storage_counts_what_is_there(
    asked: Client, ledger: Ledger
) -> None:
    ledger.run("update outcome set seconds = 465, completed_at = now()")
    before = asked.get("/api/v1/stats").json()["data"]
    asked.delete("/api/v1/scan/remove/done?confirm=true")
    after = asked.get("/api/v1/stats").json()["data"]

    assert before["scans"] == after["scans"]
    assert before["scans"]["successRate"] == "100.0%"
    assert after["deals"]["totalExtracted"] == 3
    assert after["performance"]["averageScanDuration"] == "7m 45s"
    assert before["storage"]["totalRecords"] == 3
    assert after["storage"]["totalRecords"] == 0


MERGED: list[dict[str, Any]] = [
    {"id": "1", "dealname": "stays", "amount": "10", "archived": False},
    {"id": "2", "merged_into": "1"},
]


def test_a_full_scan_shows_no_deal_that_was_merged_into_another(
    client: Client, ledger: Ledger
) -> None:
    """The tap marks them for mirrors; HubSpot has no such deals, and neither has the scan."""
    client.start("full")
    ledger.make_results("full", MERGED)
    ledger.complete("full")

    page = client.get("/api/v1/scan/result/full").json()["data"]
    progress = client.get("/api/v1/scan/status/full").json()["data"]["progress"]
    files = {
        form: client.get(f"/api/v1/scan/download/full/{form}") for form in ("json", "csv", "excel")
    }

    assert [deal["dealId"] for deal in page["deals"]] == ["1"]
    assert page["pagination"]["total_items"] == 1
    assert page["summary"]["totalDeals"] == 1
    assert page["summary"]["openDeals"] == 1
    assert progress["processedItems"] == progress["totalItems"] == 1
    assert "mergedInto" not in page["deals"][0]
    assert [deal["dealId"] for deal in files["json"].json()] == ["1"]
    assert [row["deal_id"] for row in csv.DictReader(io.StringIO(files["csv"].text))] == ["1"]
    sheet = openpyxl.load_workbook(io.BytesIO(files["excel"].content))["deals"]
    assert [row[0] for row in sheet.iter_rows(min_row=2, values_only=True)] == ["1"]


def test_an_incremental_scan_says_which_deal_took_anothers_place(
    client: Client, ledger: Ledger
) -> None:
    client.start("changes", mode="incremental")
    ledger.make_results("changes", MERGED)
    ledger.complete("changes")

    page = client.get("/api/v1/scan/result/changes").json()["data"]
    text = client.get("/api/v1/scan/download/changes/csv").text

    assert {deal["dealId"]: deal["mergedInto"] for deal in page["deals"]} == {"1": None, "2": "1"}
    rows = {row["deal_id"]: row["merged_into"] for row in csv.DictReader(io.StringIO(text))}
    assert rows == {"1": "", "2": "1"}
