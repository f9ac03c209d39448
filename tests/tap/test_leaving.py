"""Deals that leave a filter, or HubSpot, between two incremental runs: the second one tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring, config_for, discover, select

if TYPE_CHECKING:
    from hubspot_simulator import Portal

STAGE = "dealstage"


def placed(portal: Portal, *, inside: bool) -> list[str]:
    """The deals of the first pipeline, or those of others."""
    first = portal.pipelines["deals"][0].id
    truth = portal.truth("deals").live
    return [i for i, r in truth.items() if (r.properties["pipeline"] == first) is inside]


def told(mirroring: Mirroring, settings: dict[str, Any]) -> list[str]:
    """The deals that an incremental run sends; it reads nothing else anew."""
    mirroring.hubspot.advance(3600)
    output = mirroring.run(**settings)
    bookmark = mirroring.mirror.state["bookmarks"]["deals"]["partitions"][0]
    assert bookmark["full_read_at"] < bookmark["replication_key_value"]
    return sorted(output.ids())


def is_gone(mirroring: Mirroring, deal: str) -> bool:
    """Whether a deal and all of its links are marked as removed."""
    rows = mirroring.mirror.rows("associations")
    links = [r["removed_at"] for r in rows if r["from_id"] == deal]
    return bool(mirroring.mirror.deals()[deal]["removed_at"]) and all(links)


def test_a_deal_that_moves_to_another_pipeline_leaves_the_filter(mirroring: Mirroring) -> None:
    portal = mirroring.portal
    first, second = portal.pipelines["deals"]
    settings: dict[str, Any] = {"pipeline": first.id}
    mirroring.run(**settings)
    deal = placed(portal, inside=True)[3]
    other = {"pipeline": second.id, STAGE: second.stages[0].id}
    portal.change("deals", deal, other)
    assert told(mirroring, settings) == [deal]
    assert is_gone(mirroring, deal)
    portal.change("deals", deal, {"pipeline": first.id, STAGE: first.stages[0].id})
    assert told(mirroring, settings) == [deal]
    assert deal in mirroring.mirror.live()


def test_a_deal_that_moves_to_another_stage_leaves_the_filter(mirroring: Mirroring) -> None:
    portal = mirroring.portal
    stages = portal.pipelines["deals"][0].stages
    settings: dict[str, Any] = {"deal_stage": stages[0].id}
    mirroring.run(**settings)
    deal = sorted(mirroring.mirror.live())[2]
    portal.change("deals", deal, {STAGE: stages[1].id})
    assert told(mirroring, settings) == [deal]
    assert is_gone(mirroring, deal)


@pytest.mark.parametrize(
    ("setting", "moved"), [("created_from", "2019-01-01"), ("created_until", "2026-06-01")]
)
def test_a_deal_with_another_date_of_creation_leaves_the_filter(
    mirroring: Mirroring, setting: str, moved: str
) -> None:
    settings: dict[str, Any] = {
        setting: "2020-01-01" if setting == "created_from" else "2026-01-01"
    }
    mirroring.run(**settings)
    deal = sorted(mirroring.mirror.live())[2]
    mirroring.portal.change("deals", deal, {"createdate": f"{moved}T00:00:00.000Z"})
    assert told(mirroring, settings) == [deal]
    assert is_gone(mirroring, deal)


def test_a_deal_that_is_archived_leaves_the_filter_with_its_mark(mirroring: Mirroring) -> None:
    portal = mirroring.portal
    settings: dict[str, Any] = {"pipeline": portal.pipelines["deals"][0].id}
    mirroring.run(**settings)
    deal, outside = placed(portal, inside=True)[3], placed(portal, inside=False)[3]
    portal.archive("deals", deal)
    portal.archive("deals", outside)
    assert told(mirroring, settings) == [deal]
    assert mirroring.mirror.deals()[deal]["archived"] is True


def test_a_deal_merged_into_a_survivor_outside_the_filter_is_marked(mirroring: Mirroring) -> None:
    portal = mirroring.portal
    settings: dict[str, Any] = {"pipeline": portal.pipelines["deals"][0].id}
    mirroring.run(**settings)
    inside, outside = placed(portal, inside=True)[3], placed(portal, inside=False)[3]
    survivor = portal.merge("deals", outside, inside)
    assert told(mirroring, settings) == [inside]
    assert mirroring.mirror.deals()[inside]["merged_into"] == survivor
    assert survivor not in mirroring.mirror.deals()
    assert outside not in mirroring.mirror.deals()


@pytest.mark.parametrize("hours", [None, 0], ids=["changes", "everything"])
def test_a_survivor_outside_the_filter_that_is_merged_again_is_followed(
    mirroring: Mirroring, hours: int | None
) -> None:
    portal = mirroring.portal
    settings: dict[str, Any] = {"pipeline": portal.pipelines["deals"][0].id}
    mirroring.run(**settings)
    inside, outside = placed(portal, inside=True)[3], placed(portal, inside=False)
    first = portal.merge("deals", outside[3], inside)
    assert told(mirroring, settings) == [inside]
    last = portal.merge("deals", outside[4], first)
    mirroring.hubspot.advance(3600)
    mirroring.run(**settings, full_refresh_hours=hours)
    assert mirroring.mirror.deals()[inside]["merged_into"] == last


@pytest.mark.parametrize("number", [1, 120])
def test_deals_that_are_restored_are_live_again_however_many(
    mirroring: Mirroring, number: int
) -> None:
    portal = mirroring.portal
    deals = portal.ids()[:number]
    mirroring.run()
    for deal in deals:
        portal.archive("deals", deal)
    assert told(mirroring, {}) == deals
    for deal in deals:
        portal.restore("deals", deal)
    assert told(mirroring, {}) == deals
    assert mirroring.differences() == []


@pytest.mark.parametrize("number", [1, 120])
@pytest.mark.parametrize("binned", [False, True], ids=["live", "archived"])
def test_deals_that_are_purged_are_removed_however_many(
    mirroring: Mirroring, number: int, *, binned: bool
) -> None:
    portal = mirroring.portal
    deals = portal.ids()[:number]
    mirroring.run()
    if binned:
        for deal in deals:
            portal.archive("deals", deal)
        assert told(mirroring, {}) == deals
    for deal in deals:
        portal.delete("deals", deal)
    assert told(mirroring, {}) == deals
    assert all(is_gone(mirroring, deal) for deal in deals)
    assert mirroring.differences() == []


def test_a_daily_run_half_an_hour_early_reads_everything_all_the_same(
    mirroring: Mirroring,
) -> None:
    mirroring.run()
    mirroring.hubspot.advance(23.5 * 3600)
    assert len(mirroring.run().ids()) == 250
    mirroring.hubspot.advance(20 * 3600)
    assert mirroring.run().ids() == []


def test_a_search_that_came_out_of_order_is_asked_again(mirroring: Mirroring) -> None:
    mirroring.run()
    changed = mirroring.portal.ids()[:40]
    for deal in changed:
        mirroring.portal.change("deals", deal, {"dealname": "changed"})
    mirroring.portal.behaviour.unordered_searches = 2
    assert sorted(mirroring.run().ids()) == changed
    assert mirroring.differences() == []


def test_a_deselected_stream_costs_no_request(mirroring: Mirroring) -> None:
    settings: dict[str, Any] = {"objects": ["deals", "contacts"]}
    catalog = discover(config_for(mirroring.hubspot, **settings))
    for stream in ("contacts", "contact_properties", "owners", "deal_pipelines"):
        select(catalog, stream, selected=False)
    mirroring.hubspot.requests.clear()
    mirroring.run(catalog=catalog, **settings)
    paths = [r.path for r in mirroring.hubspot.requests.all()]
    assert not [p for p in paths if "owners" in p or "pipelines" in p]
    assert not [p for p in paths if p.endswith("contacts") or "objects/2026-09/contacts" in p]


def without_deals(mirroring: Mirroring, **settings: Any) -> None:
    """A run that gives the links alone."""
    mirroring.hubspot.advance(3600)
    catalog = discover(config_for(mirroring.hubspot, **settings))
    select(catalog, "deals", selected=False)
    mirroring.run(catalog=catalog, **settings)


def test_deals_that_left_while_they_were_deselected_are_marked_once_they_are_selected(
    mirroring: Mirroring,
) -> None:
    portal = mirroring.portal
    left, purged, merged, survivor = sorted(portal.truth("deals").live)[:4]
    mirroring.run()
    first, second = portal.pipelines["deals"]
    portal.change("deals", left, {"pipeline": second.id, STAGE: second.stages[0].id})
    portal.delete("deals", purged)
    without_deals(mirroring, pipeline=first.id)
    portal.merge("deals", survivor, merged)
    without_deals(mirroring)
    portal.archive("deals", portal.truth("deals").merged[merged])
    without_deals(mirroring)
    without_deals(mirroring, pipeline=first.id)
    mirroring.hubspot.advance(3600)
    mirroring.run(pipeline=first.id)
    rows = mirroring.mirror.deals()
    assert rows[left]["removed_at"]
    assert rows[purged]["removed_at"]
    assert rows[merged]["merged_into"] or rows[merged]["removed_at"]
    assert sorted(mirroring.mirror.live()) == placed(portal, inside=True)
