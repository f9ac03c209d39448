"""What object types and properties a tenant's scans hold, over the API and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service.browsing import HOSTILE
from service.kit import Client

if TYPE_CHECKING:
    from service.browsing import Browser
    from service.kit import Ledger

BEFORE = {"amount": "text", "dealname": "text", "closedate": "day"}
AFTER = {"amount": "number", "dealname": "text", "score": "number"}


def schema(client: Client) -> dict[str, Any]:
    answer = client.get("/api/v1/schema")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def make_two(client: Client, ledger: Ledger) -> None:
    for name, kinds, label in (("first", BEFORE, "Deal Name"), ("second", AFTER, HOSTILE)):
        client.start(name)
        ledger.make_results(
            name, [{"id": "1", "dealname": "One", "amount": "5"}, {"id": "2", "dealname": "Two"}]
        )
        ledger.complete(name, kinds=kinds, labels={"dealname": label})


def test_properties_have_label_type_and_how_many_records_have_a_value(
    client: Client, ledger: Ledger
) -> None:
    make_two(client, ledger)

    deals = schema(client)["objects"]["deals"]

    assert (deals["scanId"], deals["records"]) == ("second", 2)
    found = {p["name"]: (p["label"], p["type"], p["filled"]) for p in deals["properties"]}
    assert found == {
        "amount": (None, "number", 1),
        "dealname": (HOSTILE, "text", 2),
        "score": (None, "number", 0),
    }


def test_changes_name_what_came_went_and_is_called_or_typed_otherwise(
    client: Client, ledger: Ledger
) -> None:
    make_two(client, ledger)

    (change,) = schema(client)["changes"]

    assert (change["previousScanId"], change["scanId"]) == ("first", "second")
    assert [each["name"] for each in change["added"]] == ["score"]
    assert [(each["name"], each["type"]) for each in change["removed"]] == [("closedate", "date")]
    assert change["retyped"] == [{"name": "amount", "from": "text", "to": "number"}]
    assert change["relabelled"] == [{"name": "dealname", "from": "Deal Name", "to": HOSTILE}]


def test_a_scan_that_chose_its_properties_removed_nothing(client: Client, ledger: Ledger) -> None:
    client.start("first")
    ledger.complete("first", kinds=BEFORE)
    client.start("chosen", properties=["amount"])
    ledger.complete("chosen", kinds={"amount": "text"})

    assert schema(client)["changes"] == []


def test_a_schema_is_the_tenants_own(client: Client, ledger: Ledger) -> None:
    make_two(client, ledger)

    assert schema(Client(client.http, ledger.key("other"))) == {"objects": {}, "changes": []}


def test_the_page_shows_labels_and_changes(pages: Browser) -> None:
    assert "Nothing to show yet" in pages.get("/schema").text
    make_two(pages.api(), pages.ledger)

    page = pages.get("/schema?object=deals").text

    assert "<img src=x" not in page
    assert "was Text, is Number" in page
    assert "Deal Name" in page
    assert pages.get("/schema?object=none").status_code == 200
