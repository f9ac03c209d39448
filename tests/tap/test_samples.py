"""A run for some records leaves the mirror as true as it was, also where its rows change later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring, config_for, read, tried
from hubspot_simulator import Portal
from tap_hubspot_deals.ending import StateError
from tap_hubspot_deals.reading.packing import pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]


@pytest.fixture(name="small")
def _small(serve: Serve) -> Mirroring:
    """A mirror of 14 deals, not yet read."""
    return Mirroring(serve(Portal.generate(14, contacts=8, companies=4, custom_properties=2)))


def later(mirroring: Mirroring, **settings: Any) -> list[str]:
    """What is untrue after another run, five minutes on."""
    mirroring.hubspot.advance(300)
    mirroring.run(**settings)
    return mirroring.differences()


@pytest.mark.parametrize("gone", ["archive", "delete", "merge"])
@pytest.mark.parametrize("how", ["max_records", "association_ids"])
def test_a_deal_that_only_a_sample_sent_is_marked_when_it_goes(
    small: Mirroring, gone: str, how: str
) -> None:
    small.run()
    new = small.portal.create("deals", {"dealname": "new"})
    sample: dict[str, Any] = {how: 50 if how == "max_records" else [new]}
    small.run(**sample)
    assert new in small.mirror.deals()
    other = [small.portal.ids()[0]] if gone == "merge" else []
    getattr(small.portal, gone)("deals", new, *other)

    assert later(small) == []


def test_what_a_sample_sent_first_of_all_is_marked_when_it_goes(small: Mirroring) -> None:
    small.run(max_records=5)
    small.portal.delete("deals", small.portal.ids()[0])
    small.portal.archive("deals", small.portal.ids()[0])

    assert later(small) == []


def test_a_sample_tells_only_of_what_it_sent(small: Mirroring) -> None:
    small.run(max_records=5)
    unsent = small.portal.ids()[7]
    small.portal.delete("deals", unsent)

    assert later(small) == []
    assert unsent not in small.mirror.deals()


def test_a_link_that_only_a_sample_sent_is_marked_when_it_goes(small: Mirroring) -> None:
    small.run()
    deal, contact = small.portal.ids()[3], small.portal.ids("contacts")[5]
    small.portal.link("deals", deal, "contacts", contact)
    small.run(association_ids=[deal])
    small.portal.unlink("deals", deal, "contacts", contact)

    assert later(small) == []
    rows = small.mirror.rows("associations")
    assert [r["removed_at"] for r in rows if (r["from_id"], r["to_id"]) == (deal, contact)] != [
        None
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"associations": []},
        {"associations": ["contacts"]},
        {"associations_per_pair": True},
        {"pipeline": "default"},
        {"properties": ["dealname"]},
    ],
)
def test_a_sample_with_other_settings_is_made_good_by_the_next_run(
    small: Mirroring, settings: dict[str, Any]
) -> None:
    small.run()
    small.run(max_records=5, **settings)

    assert later(small) == []


def test_a_sample_beside_a_filter_leaves_nothing_of_what_the_filter_leaves_out(
    small: Mirroring,
) -> None:
    small.run(pipeline="default")
    small.run(max_records=14)
    later(small, pipeline="default")

    true = small.portal.truth().live
    wanted = {i for i, r in true.items() if r.properties["pipeline"] == "default"}
    assert small.mirror.live().keys() == wanted


def test_a_sample_does_not_disturb_an_unfinished_first_load(serve: Serve) -> None:
    mirroring = Mirroring(serve(Portal.generate(40, contacts=8, companies=4)))
    hubspot, portal = mirroring.hubspot, mirroring.portal
    hubspot.fail("status", status=404, endpoint="list", nth=4)
    config = config_for(hubspot, page_size=10)
    mirroring.mirror.take(tried(config)[0])
    hubspot.heal()
    begun = set(mirroring.mirror.deals())
    assert 0 < len(begun) < 40
    sample = mirroring.run(max_records=5, associations=[]).ids()
    gone = portal.ids()[0]
    portal.delete("deals", gone)
    output = mirroring.mirror.take(read(config, state=mirroring.mirror.state))

    assert mirroring.differences() == []
    assert (begun - set(sample)).isdisjoint(output.ids())


def test_a_sample_costs_the_next_run_what_it_sent_and_no_more(small: Mirroring) -> None:
    small.run()
    small.run(max_records=5)
    small.hubspot.advance(300)

    assert sorted(small.run().ids()) == small.portal.ids()[:5]
    small.hubspot.advance(300)
    assert small.run().ids() == []


@pytest.mark.parametrize(("name", "odd"), [("sampled", "nonsense"), ("recent", ["nonsense"])])
def test_a_damaged_note_of_samples_is_named(small: Mirroring, name: str, odd: Any) -> None:
    small.run()
    small.mirror.state["bookmarks"]["deals"]["partitions"][0][name] = odd

    with pytest.raises(StateError) as refusal:
        small.run()
    assert "`recent` is damaged" in refusal.value.errors[0]


def test_what_an_earlier_version_noted_of_a_sample_is_read_again(small: Mirroring) -> None:
    small.run()
    known = small.mirror.state["bookmarks"]["deals"]["partitions"][0]
    held, sent = known["held"], small.portal.ids()[3]
    small.run(association_ids=[sent])
    known = small.mirror.state["bookmarks"]["deals"]["partitions"][0]
    del known["recent"]
    known |= {"held": held, "sampled": pack([int(sent)])}
    small.hubspot.advance(300)

    assert small.run().ids() == [sent]
    assert "sampled" not in small.mirror.state["bookmarks"]["deals"]["partitions"][0]
