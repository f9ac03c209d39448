"""Histories: every value a property had, cut where HubSpot cuts, and the world at any moment."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hubspot_simulator import Portal, add_lives
from hubspot_simulator.generation import START_MS

if TYPE_CHECKING:
    from .conftest import Api

BATCH = "/crm/objects/2026-09/deals/batch/read"
DAY = 86_400_000


def history(api: Api, deal: str, *names: str, archived: str = "false") -> dict[str, Any]:
    body = {"inputs": [{"id": deal}], "properties": [], "propertiesWithHistory": names}
    results = api.post(f"{BATCH}?archived={archived}", body).json()["results"]
    found: dict[str, Any] = results[0].get("propertiesWithHistory", {})
    return found


def test_every_value_comes_with_its_time_and_source_the_newest_first(
    api: Api, portal: Portal
) -> None:
    deal = portal.create("deals", {"amount": "1"}, at=START_MS)
    portal.change("deals", deal, {"amount": "2", "dealname": "x"}, at=START_MS + DAY)
    portal.change("deals", deal, {"amount": ""}, at=START_MS + 2 * DAY)
    portal.change("deals", deal, {"amount": None, "dealname": "x"}, at=START_MS + 3 * DAY)

    found = history(api, deal, "amount", "dealname", "description", "unknown")

    assert [(each["value"], each["timestamp"][:10]) for each in found["amount"]] == [
        ("", "2024-01-03"),
        ("2", "2024-01-02"),
        ("1", "2024-01-01"),
    ]
    assert found["dealname"] == [
        {
            "value": "x",
            "timestamp": "2024-01-02T00:00:00Z",
            "sourceType": "CRM_UI",
            "sourceId": "userId:1001",
            "updatedByUserId": 1001,
        }
    ]
    assert found.keys() == {"amount", "dealname"}


def test_a_generated_record_has_its_values_since_its_creation(api: Api, portal: Portal) -> None:
    deal = portal.ids()[0]
    before = portal.truth().live[deal]
    portal.change("deals", deal, {"dealname": "changed"})

    found = history(api, deal, "dealname", "dealstage")

    assert [each["value"] for each in found["dealname"]] == [
        "changed",
        before.properties["dealname"],
    ]
    assert found["dealstage"][0]["timestamp"] == before.created_at


@pytest.mark.parametrize(("object_type", "kept"), [("deals", 20), ("contacts", 45)])
def test_older_versions_are_cut(api: Api, portal: Portal, object_type: str, kept: int) -> None:
    record = portal.create(object_type, {"hubspot_owner_id": "0"})
    for number in range(1, 60):
        portal.change(object_type, record, {"hubspot_owner_id": str(number)})

    body = {"inputs": [{"id": record}], "propertiesWithHistory": ["hubspot_owner_id"]}
    path = f"/crm/v3/objects/{object_type}/batch/read"
    result = api.post(path, {**body, "properties": []}).json()["results"][0]
    versions = result["propertiesWithHistory"]["hubspot_owner_id"]

    assert [each["value"] for each in versions] == [str(n) for n in range(59, 59 - kept, -1)]


def test_archived_records_keep_their_history_unless_told_otherwise(
    api: Api, portal: Portal
) -> None:
    deal = portal.create("deals", {"amount": "1"})
    portal.archive("deals", deal)

    kept = history(api, deal, "amount", archived="true")
    portal.behaviour.archived_history = False
    cut = history(api, deal, "amount", archived="true")

    assert ([each["value"] for each in kept["amount"]], cut) == (["1"], {})


def test_a_merged_record_begins_with_the_merge(api: Api, portal: Portal) -> None:
    first = portal.create("deals", {"amount": "1"}, at=START_MS)
    second = portal.create("deals", {"description": "two"}, at=START_MS)

    found = history(
        api, portal.merge("deals", first, second, at=START_MS + DAY), "amount", "description"
    )

    assert {
        (name, v["value"], v["sourceType"], v["timestamp"]) for name, (v,) in found.items()
    } == {
        ("amount", "1", "MERGE_OBJECTS", "2024-01-02T00:00:00Z"),
        ("description", "two", "MERGE_OBJECTS", "2024-01-02T00:00:00Z"),
    }


def test_stage_properties_tell_the_times_of_each_stage() -> None:
    portal = Portal()
    portal.add_stage_properties("deals")
    deal = portal.create("deals", {"pipeline": "default", "dealstage": "closedlost"}, at=START_MS)
    for days, stage in ((1, "contractsent"), (3, "closedlost"), (7, "contractsent")):
        portal.change("deals", deal, {"dealstage": stage}, at=START_MS + days * DAY)

    found = portal.truth().live[deal].properties

    assert found["hs_v2_date_entered_closedlost"] == "2024-01-04T00:00:00Z"
    assert found["hs_v2_date_exited_closedlost"] == "2024-01-08T00:00:00Z"
    assert found["hs_v2_latest_time_in_closedlost"] == str(4 * DAY)
    assert found["hs_v2_cumulative_time_in_closedlost"] == str(5 * DAY)
    assert found["hs_v2_date_entered_contractsent"] == "2024-01-08T00:00:00Z"
    assert found["hs_v2_cumulative_time_in_contractsent"] == str(2 * DAY)


def test_the_world_at_a_moment_is_what_it_was_then() -> None:
    portal, rng = Portal(), Random(7)
    portal.behaviour.restore_touches_modified = True
    seen = {}
    for moment in range(START_MS, START_MS + 400 * DAY, DAY):
        live, binned = portal.ids(), portal.ids(archived=True)
        what = rng.choice(("create", "change", "change", "archive", "restore", "merge"))
        if what == "restore" and binned:
            portal.restore("deals", rng.choice(binned), at=moment)
        elif what == "merge" and len(live) > 1:
            portal.merge("deals", *rng.sample(live, 2), at=moment)
        elif what == "change" and live:
            value = {"amount": str(rng.random()), "dealname": rng.choice(("a", "b", ""))}
            portal.change("deals", rng.choice(live), value, at=moment)
        elif what == "archive" and live:
            portal.archive("deals", rng.choice(live), at=moment)
        else:
            portal.create("deals", {"amount": "5"}, at=moment)
        seen[moment] = {
            deal: {name: value or "" for name, value in record.properties.items()}
            for deal, record in portal.truth().live.items()
        }

    then = {
        moment: {
            deal: {name: value or "" for name, value in record.properties.items()}
            for deal, record in portal.truth_at(moment).items()
        }
        for moment in seen
    }
    amounts = portal.truth_at(START_MS + 200 * DAY, names=["amount"])

    assert then == seen
    assert {name for record in amounts.values() for name in record.properties} == {"amount"}


def test_lives_follow_from_their_seed_and_hold_everything_that_happens_to_deals() -> None:
    portals = Portal(), Portal()
    for portal in portals:
        add_lives(portal, 300, seed=3)

    one, other = (portal.truth() for portal in portals)

    assert one == other
    assert one.archived
    assert one.merged
    assert len(one.live) > 200
