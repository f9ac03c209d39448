"""What a comparison asks of HubSpot."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import World


def test_an_equal_copy_costs_a_request_for_a_hundred_records_and_few_besides(world: World) -> None:
    assert world.tap.streams  # what it takes to find out about types is asked before
    world.hubspot.requests.clear()
    found = world.verify()
    world.db.rollback()

    asked = world.hubspot.requests.counts("endpoint")
    pages = sum(ceil(found[name].in_hubspot / 100) for name in ("deals", "contacts"))
    assert asked["list"] == pages
    assert asked["associations"] == 3  # one for each pair: there are fewer than a thousand
    assert asked["search"] <= 2  # how far the list goes, for those of several pages
    assert asked.keys() <= {"list", "associations", "batch_read", "search"}
    assert asked["batch_read"] == 2  # archived deals that the copy has: live no more, archived
    assert sum(each.requests for each in found.values()) == sum(asked.values())
