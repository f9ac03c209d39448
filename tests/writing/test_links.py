"""Links are made once, and their labels add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hubspot_client.writing.links import Link, LinkWriter
from hubspot_client.writing.plan import PlanError

if TYPE_CHECKING:
    from hubspot_client.client import Client
    from hubspot_simulator import Portal, Simulator


@pytest.fixture
def deals(portal: Portal) -> list[str]:
    return [portal.create("deals", {"dealname": str(each)}) for each in range(3)]


def linked(portal: Portal, deals: list[str]) -> set[tuple[str, str, str | None]]:
    found = portal.true_links("deals", "contacts")
    return {(each.from_id, each.to_id, each.label) for each in found if each.from_id in deals}


def test_links_are_made_once(
    hubspot: Simulator, portal: Portal, client: Client, deals: list[str]
) -> None:
    contact = portal.ids("contacts")[0]
    links = [Link(deal, contact) for deal in (*deals, deals[0])]
    writer = LinkWriter(client, "deals", "contacts")

    first, again = writer.write(links), writer.write(links)

    assert {each.kind for each in first} == {"created"}
    assert {each.kind for each in again} == {"unchanged"}
    assert linked(portal, deals) == {(deal, contact, None) for deal in deals}
    assert hubspot.requests.count(endpoint="link") == 1


def test_a_label_is_added_to_those_that_are_there(
    portal: Portal, client: Client, deals: list[str]
) -> None:
    contact = portal.ids("contacts")[0]
    portal.add_label("deals", "contacts", "Signs")
    portal.add_label("deals", "contacts", "Pays")
    writer = LinkWriter(client, "deals", "contacts")

    writer.write([Link(deals[0], contact, writer.type_of("Signs"))])
    both = [Link(deals[0], contact, writer.type_of(each)) for each in ("Pays", "Signs")]
    outcomes = writer.write(both)

    assert [each.kind for each in outcomes] == ["created", "unchanged"]
    assert {label for _, _, label in linked(portal, deals)} == {None, "Signs", "Pays"}
    with pytest.raises(PlanError, match="no label 'Owes'"):
        writer.type_of("Owes")


def test_a_link_to_nothing_is_rejected_alone(
    portal: Portal, client: Client, deals: list[str]
) -> None:
    contact = portal.ids("contacts")[0]

    outcomes = LinkWriter(client, "deals", "contacts").write(
        [Link(deals[0], "1"), Link(deals[1], contact)]
    )

    assert [each.kind for each in outcomes] == ["rejected", "created"]
    assert outcomes[0].code == "TO_OBJECT_NOT_FOUND"


@pytest.mark.parametrize("kind", ["silent", "reset", "status", "partial"])
def test_a_link_survives_faults(
    hubspot: Simulator, portal: Portal, client: Client, deals: list[str], kind: Any
) -> None:
    contact = portal.ids("contacts")[0]
    hubspot.fail(kind, endpoint="link", times=1)

    (outcome,) = LinkWriter(client, "deals", "contacts").write([Link(deals[0], contact)])

    assert outcome.kind == "created"
    assert linked(portal, deals) == {(deals[0], contact, None)}


def test_a_dry_run_links_nothing(
    hubspot: Simulator, portal: Portal, client: Client, deals: list[str]
) -> None:
    writer = LinkWriter(client, "deals", "contacts", dry_run=True)

    (outcome,) = writer.write([Link(deals[0], portal.ids("contacts")[0])])

    assert outcome.kind == "created"
    assert hubspot.requests.count(endpoint="link") == 0


def test_many_links_go_two_thousand_a_call(
    hubspot: Simulator, portal: Portal, client: Client, deals: list[str]
) -> None:
    contacts = [portal.create("contacts", {"lastname": str(each)}) for each in range(2_500)]

    outcomes = LinkWriter(client, "deals", "contacts").write(
        [Link(deals[0], contact) for contact in contacts]
    )

    assert {each.kind for each in outcomes} == {"created"}
    assert hubspot.requests.count(endpoint="link") == 2
    again = LinkWriter(client, "deals", "contacts").write(
        [Link(deals[0], contact) for contact in contacts]
    )
    assert {each.kind for each in again} == {"unchanged"}
