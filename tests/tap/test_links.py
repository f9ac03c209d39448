"""Links: every page, every type, and which of them are current."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring
from hubspot_simulator import Portal

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]


def test_more_than_a_thousand_links_of_one_deal_are_all_read(serve: Serve) -> None:
    hubspot = serve(Portal.generate(20, contacts=1300, custom_properties=0))
    portal = hubspot.portals[0]
    deal = portal.ids()[0]
    for contact in portal.ids("contacts")[:1250]:
        portal.link("deals", deal, "contacts", contact)
    mirroring = Mirroring(hubspot)
    mirroring.run()
    assert mirroring.differences() == []
    assert sum(link[1] == deal for link in mirroring.mirror.links()) > 1250


@pytest.mark.parametrize("page", [1, 3, 7])
def test_links_that_come_in_many_pages_are_all_read(serve: Serve, page: int) -> None:
    hubspot = serve(Portal.generate(150, contacts_per_deal=8, companies_per_deal=5, contacts=60))
    hubspot.portals[0].behaviour.association_page = page
    mirroring = Mirroring(hubspot)
    mirroring.run()
    assert mirroring.differences() == []


def test_each_type_of_a_link_is_a_record_of_its_own(mirroring: Mirroring) -> None:
    portal = mirroring.portal
    portal.add_label("deals", "contacts", "Signs", inverse="Signed by")
    deal, contact = portal.create("deals"), portal.ids("contacts")[0]
    company, other = portal.ids("companies")[:2]
    portal.link("deals", deal, "contacts", contact, label="Decision maker")
    portal.link("deals", deal, "contacts", contact, label="Signs")
    portal.link("deals", deal, "companies", company)
    portal.link("deals", deal, "companies", other, label="Billing company")
    mirroring.run()
    own = {link[:1] + link[2:4] + link[5:] for link in mirroring.mirror.links() if link[1] == deal}
    assert own == {
        ("contacts", contact, "HUBSPOT_DEFINED", None),
        ("contacts", contact, "USER_DEFINED", "Decision maker"),
        ("contacts", contact, "USER_DEFINED", "Signs"),
        ("companies", company, "HUBSPOT_DEFINED", "Primary"),
        ("companies", company, "HUBSPOT_DEFINED", None),
        ("companies", other, "HUBSPOT_DEFINED", None),
        ("companies", other, "USER_DEFINED", "Billing company"),
    }
    assert mirroring.differences() == []


def test_removed_links_are_not_current_any_more(mirroring: Mirroring) -> None:
    mirroring.run()
    portal = mirroring.portal
    linked = sorted({link.from_id for link in portal.true_links()}, key=int)
    for link in portal.true_links():
        if link.from_id in linked[:5]:
            portal.unlink("deals", link.from_id, "contacts", link.to_id)
    for deal in linked[:5]:
        portal.change("deals", deal, {"dealname": "lonely"})
    mirroring.run()
    assert mirroring.differences() == []


def test_links_that_change_without_their_deal_are_seen_by_the_next_run(
    mirroring: Mirroring,
) -> None:
    mirroring.run()
    portal = mirroring.portal
    link = min(portal.true_links(), key=lambda t: (t.from_id, t.to_id))
    portal.unlink("deals", link.from_id, "contacts", link.to_id)
    portal.link("deals", portal.ids()[9], "companies", portal.ids("companies")[3])
    labelled = next(t for t in portal.true_links() if t.label == "Decision maker")
    portal.relabel("deals", labelled.from_id, "contacts", labelled.to_id, [])
    output = mirroring.run()
    assert mirroring.differences() == []
    gone = [r for r in output.records("associations") if r["removed_at"]]
    assert {(r["from_id"], r["to_id"]) for r in gone} == {
        (link.from_id, link.to_id),
        (labelled.from_id, labelled.to_id),
    }
    assert len(output.ids()) == 3


def test_links_of_several_types_in_one_stream_are_told_when_they_are_gone(
    mirroring: Mirroring,
) -> None:
    """Without versions, as any target understands it."""
    portal = mirroring.portal
    asked: dict[str, Any] = {
        "objects": ["deals", {"name": "contacts", "associations": ["deals", "companies"]}]
    }
    mirroring.run(**asked)
    link = min(portal.true_links(), key=lambda t: (t.from_id, t.to_id))
    portal.unlink("deals", link.from_id, "contacts", link.to_id)
    mirroring.run(**asked)
    gone = {
        (r["from_object_type"], r["from_id"], r["to_id"])
        for r in mirroring.mirror.rows("associations")
        if r["removed_at"]
    }
    assert gone == {
        ("deals", link.from_id, link.to_id),
        ("contacts", link.to_id, link.from_id),
    }


def test_a_label_with_a_new_text_replaces_the_old_one(mirroring: Mirroring) -> None:
    portal = mirroring.portal
    deal, contact = portal.create("deals"), portal.ids("contacts")[0]
    portal.link("deals", deal, "contacts", contact, label="Decision maker")
    mirroring.run()
    portal.add_label("deals", "contacts", "Signs")
    portal.relabel("deals", deal, "contacts", contact, ["Signs"])
    portal.change("deals", deal, {"dealname": "relabelled"})
    mirroring.run()
    assert mirroring.differences() == []


def test_other_object_types_and_custom_objects_can_be_linked(serve: Serve) -> None:
    portal = Portal.generate(
        60, custom_objects=["zipcodes"], counts={"tickets": 30, "zipcodes": 20}
    )
    hubspot = serve(portal)
    types = ["tickets", "zipcodes", "deals"]
    ids = portal.ids()
    portal.link("deals", ids[0], "deals", ids[1])
    mirroring = Mirroring(hubspot)
    mirroring.run(associations=types)
    assert mirroring.differences(links_to=types) == []
    assert {link[0] for link in mirroring.mirror.links()} == set(types)


def test_ids_that_come_as_texts_are_the_same_ids(serve: Serve) -> None:
    hubspot = serve(Portal.generate(60))
    hubspot.portals[0].behaviour.numeric_to_object_id = False
    mirroring = Mirroring(hubspot)
    mirroring.run()
    assert mirroring.differences() == []


def test_no_association_request_is_made_where_none_is_asked_for(mirroring: Mirroring) -> None:
    mirroring.run(associations=[])
    assert mirroring.hubspot.requests.count(endpoint="associations") == 0
    assert mirroring.differences(links_to=()) == []
