"""Deals that are archived, restored, merged or deleted for good."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring
from hubspot_simulator import Portal

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator import Simulator, TrueRecord

    Serve = Callable[..., Simulator]

VERSIONS: dict[str, Any] = {"emit_activate_version_messages": True}


def test_archived_deals_are_read_when_they_are_asked_for(serve: Serve) -> None:
    mirroring = Mirroring(serve(Portal.generate(300, archived=130, odd_values=True)))
    mirroring.run(archived=True)
    assert mirroring.differences(all_archived=True) == []


def test_archived_deals_are_left_out_otherwise(serve: Serve) -> None:
    mirroring = Mirroring(serve(Portal.generate(300)))
    for deal in mirroring.portal.ids()[:130]:
        mirroring.portal.archive("deals", deal, at=datetime(2025, 1, 1, tzinfo=UTC))
    mirroring.run()
    assert len(mirroring.mirror.deals()) == 170
    mirroring.run()
    assert len(mirroring.mirror.deals()) == 170


def test_archived_deals_pass_the_same_filters(serve: Serve) -> None:
    hubspot = serve(Portal.generate(400))
    portal = hubspot.portals[0]
    for deal in portal.ids()[::2]:
        portal.archive("deals", deal)
    truth = portal.truth("deals")
    archived = truth.archived.values()
    created = sorted(r.created_at for r in archived)[30]
    pipeline = next(iter(archived)).properties["pipeline"]
    stage = next(r for r in archived if r.properties["pipeline"] == pipeline).properties[
        "dealstage"
    ]
    cases: list[tuple[dict[str, Any], Callable[[TrueRecord], bool]]] = [
        ({"pipeline": pipeline}, lambda r: r.properties["pipeline"] == pipeline),
        ({"deal_stage": stage}, lambda r: r.properties["dealstage"] == stage),
        ({"start_date": created}, lambda r: r.created_at >= created),
        ({"end_date": created}, lambda r: r.created_at <= created),
    ]
    for settings, wanted in cases:
        mirroring = Mirroring(hubspot)
        mirroring.run(archived=True, **settings)
        both = {**truth.live, **truth.archived}
        assert set(mirroring.mirror.deals()) == {i for i, r in both.items() if wanted(r)}


def test_a_deal_archived_since_the_last_run_is_marked_though_not_asked_for(
    mirroring: Mirroring,
) -> None:
    mirroring.run()
    deal = mirroring.portal.ids()[17]
    mirroring.portal.archive("deals", deal)
    output = mirroring.run()
    assert output.ids() == [deal]
    assert mirroring.mirror.deals()[deal]["archived"] is True
    assert mirroring.differences() == []


def test_a_full_refresh_marks_what_was_archived_since_too(mirroring: Mirroring) -> None:
    mirroring.run()
    deal = mirroring.portal.ids()[17]
    mirroring.portal.archive("deals", deal)
    mirroring.run(association_refresh_hours=0)
    assert mirroring.mirror.deals()[deal]["archived"] is True
    assert mirroring.differences() == []


def test_a_deal_archived_during_the_first_read_is_marked_by_the_next(serve: Serve) -> None:
    hubspot = serve(Portal.generate(500))
    mirroring = Mirroring(hubspot)
    deal = mirroring.portal.ids()[0]
    hubspot.after(3, lambda: mirroring.portal.archive("deals", deal), endpoint="list")
    mirroring.run()
    mirroring.run()
    assert mirroring.mirror.deals()[deal]["archived"] is True


def test_links_of_an_archived_deal_are_not_current(mirroring: Mirroring) -> None:
    mirroring.run()
    link = next(iter(mirroring.portal.true_links()))
    mirroring.portal.archive("deals", link.from_id)
    mirroring.run()
    deal = mirroring.mirror.deals()[link.from_id]
    links = [r for r in mirroring.mirror.rows("associations") if r["from_id"] == link.from_id]
    assert links
    assert all(r["read_at"] != deal["read_at"] for r in links)


def test_merged_deals_are_marked_with_the_one_that_took_their_place(mirroring: Mirroring) -> None:
    mirroring.run()
    portal = mirroring.portal
    first, second = portal.ids()[3:5]
    survivor = portal.merge("deals", first, second)
    mirroring.run()
    deals = mirroring.mirror.deals()
    assert deals[first]["merged_into"] == deals[second]["merged_into"] == survivor
    assert deals[survivor]["merged_into"] is None
    assert mirroring.differences() == []


def test_the_values_of_a_merged_deal_stay_as_they_were(mirroring: Mirroring) -> None:
    mirroring.run()
    portal = mirroring.portal
    first, second = portal.ids()[3:5]
    name = mirroring.mirror.deals()[second]["dealname"]
    portal.merge("deals", first, second)
    mirroring.run()
    assert mirroring.mirror.deals()[second]["dealname"] == name


def test_a_chain_of_merges_points_every_old_deal_to_the_last_one(mirroring: Mirroring) -> None:
    mirroring.run()
    portal = mirroring.portal
    a, b, c, d = portal.ids()[3:7]
    second = portal.merge("deals", portal.merge("deals", a, b), c)
    mirroring.run()
    assert {mirroring.mirror.deals()[i]["merged_into"] for i in (a, b, c)} == {second}
    last = portal.merge("deals", d, second)
    mirroring.run()
    assert {mirroring.mirror.deals()[i]["merged_into"] for i in (a, b, c, d, second)} == {last}
    assert mirroring.differences() == []


def test_a_first_read_does_not_mention_deals_merged_long_ago(serve: Serve) -> None:
    hubspot = serve(Portal.generate(50))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal
    portal.merge("deals", *portal.ids()[:2], at=datetime(2025, 6, 1, tzinfo=UTC))
    mirroring.run()
    assert set(mirroring.mirror.deals()) == set(portal.ids())
    assert mirroring.differences() == []


def test_deals_merged_during_the_first_read_are_marked(serve: Serve) -> None:
    hubspot = serve(Portal.generate(500))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal
    first, second = portal.ids()[:2]
    hubspot.after(2, lambda: portal.merge("deals", first, second), endpoint="list")
    mirroring.run()
    mirroring.run()
    assert mirroring.differences() == []


def test_a_merged_deal_comes_with_markers_though_its_property_is_not_asked_for(
    mirroring: Mirroring,
) -> None:
    mirroring.run(properties=["dealname"])
    first, second = mirroring.portal.ids()[:2]
    mirroring.portal.merge("deals", first, second)
    output = mirroring.run(properties=["dealname"])
    assert mirroring.differences(only=["dealname"]) == []
    assert "hs_merged_object_ids" not in output.records()[0]


def test_a_restored_deal_is_live_again(mirroring: Mirroring) -> None:
    portal = mirroring.portal
    mirroring.run()
    deal = portal.ids()[5]
    portal.archive("deals", deal)
    mirroring.run()
    assert mirroring.mirror.deals()[deal]["archived"] is True
    portal.restore("deals", deal)
    output = mirroring.run()
    assert output.ids() == [deal]
    assert mirroring.differences() == []


def test_a_deal_archived_before_the_first_read_and_restored_after_is_read(serve: Serve) -> None:
    mirroring = Mirroring(serve(Portal.generate(300, archived=120)))
    portal = mirroring.portal
    deals = portal.ids(archived=True)[:110]
    mirroring.run()
    for deal in deals:
        portal.restore("deals", deal)
    mirroring.run()
    assert mirroring.differences() == []


@pytest.mark.parametrize("settings", [{}, {"created_from": "2000-01-01", "pipeline": "default"}])
def test_a_restore_that_makes_up_for_a_deletion_is_seen_in_a_large_portal(
    serve: Serve, settings: dict[str, Any]
) -> None:
    """There are as many deals as before: only where they are tells that something happened."""
    portal = Portal.generate(5200, archived=700, custom_properties=0, contacts_per_deal=0)
    mirroring = Mirroring(serve(portal))
    asked: dict[str, Any] = {"properties": ["dealname"], "associations": [], **settings}
    mirroring.run(**asked)
    before = mirroring.mirror.live().keys()
    kept = portal.truth("deals")
    restored = next(i for i, r in kept.archived.items() if r.properties["pipeline"] == "default")
    gone = sorted(before)[len(before) // 2]
    portal.restore("deals", restored)
    portal.delete("deals", gone)
    mirroring.hubspot.requests.clear()
    output = mirroring.run(**asked)
    assert sorted(output.ids()) == sorted([restored, gone])
    assert mirroring.mirror.live().keys() == before - {gone} | {restored}
    assert mirroring.hubspot.requests.count(endpoint="search") < 40


def test_a_restored_deal_outside_the_filters_is_left_out(serve: Serve) -> None:
    hubspot = serve(Portal.generate(300))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal
    inside, outside = (
        next(
            i
            for i, r in portal.truth("deals").live.items()
            if (r.properties["pipeline"] == "default") is wanted
        )
        for wanted in (True, False)
    )
    mirroring.run(pipeline="default")
    portal.archive("deals", inside)
    portal.archive("deals", outside)
    mirroring.run(pipeline="default")
    portal.restore("deals", inside)
    portal.restore("deals", outside)
    mirroring.run(pipeline="default")
    assert mirroring.mirror.deals()[inside]["archived"] is False
    assert outside not in mirroring.mirror.deals()


def test_a_full_refresh_restores_too_and_tells_it_once(mirroring: Mirroring) -> None:
    portal = mirroring.portal
    deal = portal.ids()[5]
    mirroring.run()
    portal.archive("deals", deal)
    mirroring.run()
    portal.restore("deals", deal)
    output = mirroring.run(association_refresh_hours=0)
    assert output.ids().count(deal) == 1
    assert mirroring.differences() == []


def test_deals_deleted_for_good_are_removed_by_the_next_run(mirroring: Mirroring) -> None:
    mirroring.run(**VERSIONS)
    portal = mirroring.portal
    deals = portal.ids()[:3]
    for deal in deals:
        portal.delete("deals", deal)
    output = mirroring.run(**VERSIONS)
    assert mirroring.differences() == []
    assert output.ids() == deals
    assert all(r["removed_at"] == r["_sdc_deleted_at"] == r["read_at"] for r in output.records())
    gone = [r for r in mirroring.mirror.rows("associations") if r["from_id"] in deals]
    assert gone
    assert all(r["removed_at"] for r in gone)
    assert mirroring.run(**VERSIONS).ids() == []
    output = mirroring.run(**VERSIONS, association_refresh_hours=0)
    assert mirroring.differences() == []
    activated = [m["stream"] for m in output.of("ACTIVATE_VERSION")]
    assert {"deals", "associations"} <= set(activated)


def test_versions_clear_no_tables_of_an_incremental_run(mirroring: Mirroring) -> None:
    mirroring.run(**VERSIONS)
    mirroring.portal.change("deals", mirroring.portal.ids()[0], {"dealname": "x"})
    output = mirroring.run(**VERSIONS)
    assert not output.of("ACTIVATE_VERSION", "deals")
    assert not output.of("ACTIVATE_VERSION", "associations")
    assert mirroring.differences() == []


def test_without_the_setting_there_are_no_versions(mirroring: Mirroring) -> None:
    output = mirroring.run()
    assert not output.of("ACTIVATE_VERSION")
    assert not any("version" in m for m in output.of("RECORD"))


def test_a_full_refresh_with_versions_keeps_the_marks_of_archived_deals(
    mirroring: Mirroring,
) -> None:
    portal = mirroring.portal
    mirroring.run(**VERSIONS, archived=True)
    portal.archive("deals", portal.ids()[0])
    mirroring.run(**VERSIONS, archived=True, association_refresh_hours=0)
    assert mirroring.differences(all_archived=True) == []
