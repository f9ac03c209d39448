"""Pages of results: where one begins, and whose a cursor is."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from service.kit import TENANT

if TYPE_CHECKING:
    from service.kit import Client, Ledger

MANY = 250  # more than one mark


def fill(client: Client, ledger: Ledger, scan_id: str, most: int = MANY) -> None:
    """A finished scan of deals 1000, 1001, ..."""
    assert client.start(scan_id).status_code == 202
    ledger.make_results(scan_id, [])
    ledger.run(
        "insert into scans.deals (_tenant_id, _scan_id, id) select %s, %s, n::text"
        " from generate_series(1000, %s) as n", TENANT, scan_id, 999 + most,
    )  # fmt: skip
    ledger.complete(scan_id)


def page(client: Client, scan_id: str, query: str) -> tuple[list[str], dict[str, Any]]:
    """The ids of a page, and its pagination."""
    answer = client.get(f"/api/v1/scan/result/{scan_id}?{query}")
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return [deal["dealId"] for deal in data["deals"]], data["pagination"]


def test_pages_by_number_and_by_cursor_hold_each_record_once(
    client: Client, ledger: Ledger
) -> None:
    fill(client, ledger, "many")
    every = [str(number) for number in range(1000, 1000 + MANY)]

    numbered, walked, query = [], [], "page_size=70"
    for number in (1, 2, 3, 4):
        ids, at = page(client, "many", f"page={number}&page_size=70")
        numbered += ids
        followed, here = page(client, "many", query)
        walked += followed
        assert here == at, "a page is the same whichever way one came"
        query = f"cursor={here['next_cursor']}&page_size=70"
    beyond, after = page(client, "many", "page=1000000&page_size=1000")
    second = page(client, "many", "page_size=100")[1]["next_cursor"]
    other, _ = page(client, "many", f"cursor={second}&page_size=70")

    assert numbered == walked == every
    assert (after["next_cursor"], after["has_next"], after["total_items"]) == (None, False, MANY)
    assert beyond == []
    assert other == every[100:170], "a page may have another size than the one before"


def test_a_cursor_is_good_for_the_records_that_it_came_with_and_for_no_others(
    client: Client, ledger: Ledger
) -> None:
    fill(client, ledger, "one")
    fill(client, ledger, "other", 5)
    cursor = page(client, "one", "page_size=100")[1]["next_cursor"]

    wrong = [f"{cursor}&page=2", "", "%00", cursor[:-1], *map(encoded, NONSENSE)]
    asked = ["other?cursor=" + cursor, *(f"one?cursor={each}" for each in wrong)]
    refused = [client.get(f"/api/v1/scan/result/{each}") for each in asked]

    assert [answer.status_code for answer in refused] == [400] * len(refused)
    assert {answer.json()["error"]["details"][0]["field"] for answer in refused} == {"cursor"}


NONSENSE = ("[" * 1400, '[5,"1"]', '["x",5,"1"]', "5", "{}", '[null,-1,"1"]', '["\\ud800",1,""]')


def encoded(said: str) -> str:
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")
