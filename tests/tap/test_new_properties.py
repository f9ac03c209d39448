"""Properties that come, change or go between two runs, and what the rows before them get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirror, Mirroring, config_for, finished, start, tried
from hubspot_client.errors import HubSpotError
from hubspot_simulator import Portal
from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]


def fill(portal: Portal, name: str, deals: Iterable[str], *, type_: str = "string") -> None:
    """A property that some deals have, without a new modified date: as calculated ones come."""
    if name not in portal.definitions("deals"):
        portal.add_property("deals", name, type_)
    for deal in deals:
        portal.change("deals", deal, {name: deal}, touch=False)


def bought(hubspot: Simulator) -> dict[str, int]:
    """How many requests of each kind were made for records and links."""
    counts: dict[str, int] = {}
    for request in hubspot.requests.all():
        if request.endpoint in {"list", "search", "batch_read", "associations"}:
            counts[request.endpoint] = counts.get(request.endpoint, 0) + 1
    return counts


def test_a_new_property_reads_the_deals_that_have_it(serve: Serve) -> None:
    hubspot = serve(Portal.generate(3000, custom_properties=2))
    mirroring = Mirroring(hubspot)
    mirroring.run()
    hubspot.requests.clear()
    mirroring.run()
    idle = bought(hubspot)
    owners = mirroring.portal.ids()[::20]
    fill(mirroring.portal, "tier", owners)
    hubspot.requests.clear()
    output = mirroring.run()
    assert output.ids() == owners
    assert mirroring.differences() == []
    more = {kind: number - idle.get(kind, 0) for kind, number in bought(hubspot).items()}
    # 150 ids in one search, their records in two batches, their links to two types.
    assert more == {"search": 1, "batch_read": 2, "associations": 2}
    hubspot.requests.clear()
    assert mirroring.run().ids() == []
    assert bought(hubspot) == idle


def test_a_new_property_that_no_deal_has_costs_one_search(mirroring: Mirroring) -> None:
    mirroring.run()
    mirroring.hubspot.requests.clear()
    mirroring.run()
    idle = bought(mirroring.hubspot)
    fill(mirroring.portal, "tier", [])
    mirroring.hubspot.requests.clear()
    assert mirroring.run().ids() == []
    assert bought(mirroring.hubspot) == {**idle, "search": idle["search"] + 1}


def test_a_new_stage_reads_the_deals_that_were_in_it(serve: Serve) -> None:
    """HubSpot makes some properties for each stage, all with values in the same deals."""
    hubspot = serve(Portal.generate(1200, custom_properties=0, contacts_per_deal=0))
    mirroring = Mirroring(hubspot)
    settings: dict[str, Any] = {"associations": []}
    mirroring.run(**settings)
    owners = mirroring.portal.ids()[:300]
    for number in range(12):
        fill(mirroring.portal, f"hs_v2_date_entered_{number}", owners)
    hubspot.requests.clear()
    output = mirroring.run(**settings)
    assert output.ids() == owners  # each once
    assert mirroring.differences(links_to=[]) == []
    assert bought(hubspot)["batch_read"] == 2 + 1 + 0


@pytest.mark.parametrize(
    "settings",
    [{"pipeline": "default"}, {"created_from": "2000-01-01", "pipeline": "default"}],
    ids=["pipeline", "pipeline and date"],
)
def test_a_new_property_is_read_within_the_filters(
    mirroring: Mirroring, settings: dict[str, Any]
) -> None:
    mirroring.run(**settings)
    names = [f"tier_{number}" for number in range(7)]
    for place, name in enumerate(names):
        fill(mirroring.portal, name, mirroring.portal.ids()[place::9])
    mirroring.run(**settings)
    live = mirroring.mirror.live()
    truth = mirroring.portal.truth("deals").live
    assert live.keys() == {i for i, r in truth.items() if r.properties["pipeline"] == "default"}
    for deal, row in live.items():
        for name in names:
            assert row["custom_properties"].get(name) == truth[deal].properties.get(name)


def test_a_property_named_later_is_read_where_it_has_a_value(mirroring: Mirroring) -> None:
    fill(mirroring.portal, "tier", mirroring.portal.ids()[:30])
    mirroring.run(properties=["dealname"])
    output = mirroring.run(properties=["dealname", "tier"])
    assert output.ids() == mirroring.portal.ids()[:30]
    assert mirroring.differences(only=["dealname", "tier"]) == []


def test_a_whole_selection_anew_reads_everything(mirroring: Mirroring) -> None:
    mirroring.run(properties=["dealname"])
    output = mirroring.run()
    assert len(output.ids()) == 250
    assert mirroring.differences() == []


def test_a_retyped_property_is_read_where_it_has_a_value(mirroring: Mirroring) -> None:
    portal = mirroring.portal
    fill(portal, "tier", portal.ids()[:30], type_="string")
    mirroring.run()
    portal.retype_property("deals", "tier", "enumeration")
    output = mirroring.run()
    assert output.ids() == portal.ids()[:30]
    assert mirroring.differences() == []


def test_a_number_that_becomes_a_text_is_read_in_every_deal(mirroring: Mirroring) -> None:
    """What was cleared is null as a number and "" as a text: no search finds it."""
    portal = mirroring.portal
    fill(portal, "tier", portal.ids()[:30], type_="number")
    portal.change("deals", portal.ids()[40], {"tier": ""}, touch=False)
    mirroring.run()
    portal.retype_property("deals", "tier", "string")
    mirroring.run()
    assert mirroring.differences() == []
    assert mirroring.mirror.deals()[portal.ids()[40]]["custom_properties"]["tier"] == ""


def test_a_text_that_becomes_a_number_is_read_in_every_deal_and_told(
    mirroring: Mirroring, caplog: pytest.LogCaptureFixture
) -> None:
    """Cleared texts are "": HubSpot's search takes them for no value."""
    portal = mirroring.portal
    fill(portal, "tier", portal.ids()[:30])
    portal.change("deals", portal.ids()[40], {"tier": ""})
    mirroring.run()
    portal.retype_property("deals", "tier", "number")
    with caplog.at_level("WARNING"):
        mirroring.run()
    assert "Everything is read again: the type of tier changed" in caplog.text
    assert mirroring.differences() == []
    assert mirroring.mirror.deals()[portal.ids()[40]]["custom_properties"]["tier"] is None


def test_a_removed_property_reads_nothing_and_is_told(
    mirroring: Mirroring, caplog: pytest.LogCaptureFixture
) -> None:
    mirroring.run()
    mirroring.portal.archive_property("deals", "custom_1")
    with caplog.at_level("INFO"):
        assert mirroring.run().ids() == []
    assert "Not read any more: custom_1." in caplog.text
    caplog.clear()
    assert mirroring.run().ids() == []
    assert "Not read any more" not in caplog.text
    assert mirroring.differences() == []
    mirroring.portal.add_property("deals", "custom_1", "string")
    mirroring.run()
    assert mirroring.differences() == []


def test_archived_deals_have_the_property_too_unless_it_is_newer_than_they(
    mirroring: Mirroring,
) -> None:
    portal = mirroring.portal
    old, *deals = portal.ids()[:5]
    fill(portal, "tier", [old])
    mirroring.run(properties=["dealname"])
    portal.archive("deals", old)
    mirroring.run(properties=["dealname"])
    mirroring.hubspot.advance(3600)
    mirroring.run(properties=["dealname", "tier"])
    assert mirroring.mirror.deals()[old]["custom_properties"]["tier"] == old
    mirroring.hubspot.advance(3600)
    fill(portal, "rank", deals)
    mirroring.hubspot.requests.clear()
    mirroring.run(properties=["dealname", "tier", "rank"])
    requests = mirroring.hubspot.requests.all()
    archived = [r for r in requests if "archived=true" in r.query and "owners" not in r.path]
    assert len(archived) == 1  # the look after archived deals that each run takes
    assert mirroring.differences(only=["dealname", "tier", "rank"]) == []


def test_archived_deals_that_are_asked_for_have_the_property_too(serve: Serve) -> None:
    portal = Portal.generate(300, archived=130)
    mirroring = Mirroring(serve(portal))
    fill(portal, "tier", [*portal.ids()[:9], *portal.ids(archived=True)[::3]])
    settings: dict[str, Any] = {"archived": True}
    mirroring.run(**settings, properties=["dealname"])
    output = mirroring.run(**settings, properties=["dealname", "tier"])
    assert len(output.ids()) == 9 + 44
    assert mirroring.differences(all_archived=True, only=["dealname", "tier"]) == []


def test_an_unfinished_first_read_goes_on_when_a_property_comes(
    serve: Serve, tmp_path: Path
) -> None:
    hubspot = serve(Portal.generate(3000, custom_properties=1))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal
    process = start(tmp_path, config_for(hubspot, page_size=25))
    hubspot.after(114, process.kill, endpoint="list")
    done = mirroring.mirror.take(finished(process)).ids()
    hubspot.answer_hooks.clear()
    owners = [*done[:70], *portal.ids()[-20:]]
    fill(portal, "tier", owners)
    hubspot.requests.clear()
    again = mirroring.run(page_size=25)
    assert mirroring.differences() == []
    assert len(again.ids()) < 3000 - len(done) + 10 * 25 + 90 + 25
    assert mirroring.run(page_size=25).ids() == []


def test_a_property_that_comes_and_goes_and_comes_back_while_a_read_is_unfinished(
    serve: Serve,
) -> None:
    hubspot = serve(Portal.generate(2500, custom_properties=1))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal

    def cut() -> None:
        hubspot.fail("status", status=404, endpoint="associations", nth=2, times=1)
        state = mirroring.mirror.state or None
        output, failure = tried(config_for(hubspot, associations=["contacts"]), state=state)
        assert isinstance(failure, HubSpotError)
        hubspot.heal()
        mirroring.mirror.take(output)

    fill(portal, "tier", portal.ids()[::2])
    cut()
    portal.archive_property("deals", "tier")
    cut()
    portal.add_property("deals", "tier", "string")
    mirroring.run(associations=["contacts"])
    assert mirroring.differences(links_to=["contacts"]) == []


@pytest.mark.parametrize("nth", [2, 6, 9])
def test_a_read_of_a_property_goes_on_where_it_was_killed(
    serve: Serve, tmp_path: Path, nth: int
) -> None:
    hubspot = serve(Portal.generate(2500, custom_properties=1))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal
    mirroring.run()
    fill(portal, "tier", portal.ids()[:2200])
    process = start(tmp_path, config_for(hubspot), state=mirroring.mirror.state)
    hubspot.after(nth + 3, process.kill, endpoint="search")
    output = finished(process)
    assert output.code == -9
    mirroring.mirror.take(output)
    hubspot.answer_hooks.clear()
    again = mirroring.run()
    assert mirroring.differences() == []
    if nth == 9:
        assert 0 < len(again.ids()) <= 2200 - len(output.ids()) + 200 + 1000
    assert mirroring.run().ids() == []


def test_a_property_of_more_than_10000_deals_is_read_whole(serve: Serve) -> None:
    hubspot = serve(Portal.generate(10_500, custom_properties=0, contacts_per_deal=0))
    mirroring = Mirroring(hubspot)
    settings: dict[str, Any] = {"properties": ["dealname", "tier"], "associations": []}
    mirroring.portal.add_property("deals", "rank", "string")
    mirroring.run(properties=["dealname"], associations=[])
    fill(mirroring.portal, "tier", mirroring.portal.ids()[:10_300])
    output = mirroring.run(**settings)
    assert len(output.ids()) == 10_300
    assert mirroring.differences(links_to=[], only=["dealname", "tier"]) == []


def test_a_property_of_a_type_that_cannot_be_searched_is_listed(mirroring: Mirroring) -> None:
    mirroring.run()
    fill(mirroring.portal, "tier", mirroring.portal.ids()[:30])
    mirroring.hubspot.fail("status", status=400, endpoint="search", times=10**6)
    output = mirroring.run()
    assert set(mirroring.portal.ids()[:30]) <= set(output.ids())
    assert mirroring.differences() == []


def test_damaged_properties_in_the_state_are_told(mirroring: Mirroring) -> None:
    mirroring.run()
    mirroring.mirror.state["bookmarks"]["deals"]["partitions"][0]["properties"] = "nonsense"
    with pytest.raises(ConfigValidationError) as raised:
        mirroring.run()
    assert "`properties`" in raised.value.errors[0]


def test_each_tenant_of_a_state_gets_its_own_properties(serve: Serve) -> None:
    one, other = (Mirroring(serve(Portal.generate(40, seed=seed))) for seed in (1, 2))
    shared = Mirror()
    one.mirror = other.mirror = shared
    one.run()
    other.run(tenant_id="other")
    fill(one.portal, "tier", one.portal.ids()[:3])
    assert one.run().ids() == one.portal.ids()[:3]
    assert other.run(tenant_id="other").ids() == []
