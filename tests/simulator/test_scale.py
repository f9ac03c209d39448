"""A portal of a million deals: lazily made, quickly searched."""

from __future__ import annotations

import time

import pytest
from hubspot_simulator import Portal, Simulator

from .conftest import Api

COUNT = 300_000


@pytest.fixture(scope="module")
def large() -> Portal:
    return Portal.generate(COUNT, contacts=1000)


def test_an_incremental_search_costs_milliseconds(large: Portal) -> None:
    changed = [str(each) for each in range(0)]
    ids = large.records("deals").ids_from()
    for object_id, _ in zip(ids, range(500), strict=False):
        changed.append(str(object_id))
    now = large.clock.now_ms()
    for each in changed:
        large.change("deals", each, {"amount": "1"}, at=now)
    with Simulator([large]) as hubspot:
        api = Api(hubspot.url)

        def search(low: int, last: str) -> list[str]:
            window = {
                "propertyName": "hs_lastmodifieddate",
                "operator": "BETWEEN",
                "value": low,
                "highValue": now,
            }
            keyset = {"propertyName": "hs_object_id", "operator": "GT", "value": last}
            body = api.search(window, keyset, sorts=["hs_object_id"], limit=200)
            return [record["id"] for record in body["results"]]

        search(now - 1000, "0")  # makes the index
        begun = time.monotonic()
        found = search(now - 999, "0")
        while len(found) % 200 == 0:
            found += search(now - 999, found[-1])
        seconds = time.monotonic() - begun
        api.session.close()

    assert found == changed
    assert seconds < 1


def test_a_deep_page_is_as_quick_as_the_first(large: Portal) -> None:
    records = large.records("deals")
    deep = records.base.id_at(COUNT - 100)
    with Simulator([large]) as hubspot:
        api = Api(hubspot.url)
        api.get("/crm/v3/objects/deals", limit=100)
        begun = time.monotonic()
        page = api.get("/crm/v3/objects/deals", limit=100, after=deep).json()
        seconds = time.monotonic() - begun
        api.session.close()

    assert len(page["results"]) == 100
    assert "paging" not in page
    assert seconds < 0.5
