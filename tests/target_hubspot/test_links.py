"""Links of records, and links of a stream of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .conftest import record, schema, state

if TYPE_CHECKING:
    from hubspot_simulator import Portal, Simulator

    from .conftest import Target

DEALS = schema("deals", ["booking"], booking="string", dealname="string", dealstage="string")
CONTACTS = schema("contacts", ["email"], email="string", city="string")
PAIR = schema("associations", [], from_object_type="string", from_id="string")


def deal(key: str, *links: dict[str, Any]) -> dict[str, Any]:
    values = {"booking": key, "dealname": key, "dealstage": "closedwon"}
    return record("deals", **values, _associations=list(links))


def linked(portal: Portal) -> set[tuple[str | None, str | None, str | None]]:
    deals, contacts = portal.truth().live, portal.truth("contacts").live
    return {
        (
            deals[each.from_id].properties["booking"],
            contacts[each.to_id].properties["email"],
            each.label,
        )
        for each in portal.true_links()
        if deals[each.from_id].properties["booking"]
    }


def test_a_link_waits_for_its_other_end(target: Target, portal: Portal) -> None:
    to = {"to": "contacts", "key": "email", "value": "Late@example.com"}

    run = target(DEALS, deal("B1", to), CONTACTS, record("contacts", email="late@example.com"))

    assert run.status == 0
    assert run.report["links"]["created"] == 1
    assert linked(portal) == {("B1", "late@example.com", None)}


def test_ends_that_do_not_come_are_looked_for_twice_however_long_the_run(
    target: Target, hubspot: Simulator
) -> None:
    """A SCHEMA that says something new ends what waits; six of them make six deliveries."""
    fields = ("city", "zip", "phone", "address", "state", "company")
    messages = [
        message
        for part, field in enumerate(fields)
        for message in (
            schema("contacts", ["email"], email="string", **{field: "string"}),
            *(contact_of(part * 100 + n) for n in range(100)),
        )
    ]
    run = target(*messages, max_rejected_records=-1, compare=False)

    assert run.report["links"]["rejected"] == 600
    assert hubspot.requests.count(endpoint="batch_read") == 5 + 6


def contact_of(number: int) -> dict[str, Any]:
    return record("contacts", email=f"{number}@example.com", _associations=[to_booking(number)])


def to_booking(number: int) -> dict[str, str]:
    return {"to": "deals", "key": "booking", "value": f"nowhere-{number}"}


def test_a_link_that_leads_nowhere_is_rejected_and_its_record_is_not(
    target: Target,
) -> None:
    nowhere = {"to": "contacts", "key": "email", "value": "nobody@example.com"}

    run = target(DEALS, deal("B1", nowhere), deal("B2", {"to": "contacts", "id": "1"}), state(1))

    assert (run.code, run.states) == ("records_rejected", [1])
    assert run.report["streams"]["deals"]["created"] == 2
    assert {each["code"] for each in target.rejects()} == {"not_found", "TO_OBJECT_NOT_FOUND"}


def test_types_and_labels_are_kept_apart(target: Target, portal: Portal) -> None:
    portal.add_label("deals", "contacts", "Signs")
    contact = portal.create("contacts", {"email": "a@example.com"})
    messages = [
        DEALS,
        deal(
            "B1",
            {"to": "contacts", "id": contact, "label": "Signs"},
            {"to": "contacts", "id": contact, "type_id": 3},
        ),
    ]

    first, again = target(*messages), target(*messages)

    assert linked(portal) == {("B1", "a@example.com", None), ("B1", "a@example.com", "Signs")}
    assert (first.status, again.report["links"]) == (0, {"unchanged": 2, "codes": {}})


def test_a_stream_of_links_finds_records_of_another_account_by_its_ids(
    target: Target, portal: Portal
) -> None:
    contact = portal.create("contacts", {"email": "a@example.com"})
    portal.create("deals", {"booking": "4711"})
    pair = {
        "from_object_type": "deals",
        "from_id": "4711",
        "to_object_type": "contacts",
        "to_id": contact,
        "category": "HUBSPOT_DEFINED",
        "type_id": 3,
        "label": None,
    }
    streams = {"associations": {"keys": {"deals": "booking"}}}

    run = target(
        PAIR,
        record("associations", **pair),
        record("associations"),
        streams=streams,
        max_rejected_records=1,
    )

    assert linked(portal) == {("4711", "a@example.com", None)}
    assert run.report["streams"]["associations"]["codes"] == {"INVALID_LINK": 1}


def test_records_of_an_accounts_own_type_are_written_and_linked_by_any_of_its_names(
    target: Target, portal: Portal
) -> None:
    kind = portal.add_object_type("cars")
    for name in ("plate", "colour"):
        portal.add_property("cars", name, has_unique_value=name == "plate")
    fields = schema("cars", ["plate"], plate="string", colour="string")
    contact = portal.ids("contacts")[0]
    red = record(
        "cars", plate="S-1", colour="red", _associations=[{"to": "contacts", "id": contact}]
    )
    blue = {**record(kind.type_id, plate="S-1", colour="blue"), "stream": kind.type_id}

    ended = target(fields, red, state(1), {**fields, "stream": kind.type_id}, blue, state(2))

    assert (ended.status, ended.states[-1]) == (0, 2), ended.log
    (car,) = portal.truth("cars").live.values()
    assert car.properties["colour"] == "blue"
    assert contact in {each.to_id for each in portal.true_links("cars", "contacts")}
