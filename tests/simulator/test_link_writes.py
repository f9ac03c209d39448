"""Links and definitions are written over HTTP, in both path families."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    import requests
    from hubspot_simulator import Portal

    from .conftest import Api


class Family(NamedTuple):
    """One of the two families of paths, with what it answers."""

    links: str
    objects: str
    made: int
    gone: int


@pytest.fixture(
    params=[
        Family("/crm/associations/2026-09", "/crm/objects/2026-09", 200, 200),
        Family("/crm/v4/associations", "/crm/v4/objects", 201, 204),
    ],
    ids=["dated", "numbered"],
)
def family(request: pytest.FixtureRequest) -> Family:
    found: Family = request.param
    return found


def types_of(portal: Portal, deal: str, to_type: str, to_id: str) -> set[int]:
    found = portal.true_links("deals", to_type)
    return {each.type_id for each in found if (each.from_id, each.to_id) == (deal, to_id)}


@pytest.fixture
def deal(portal: Portal) -> str:
    return portal.create("deals", {"dealname": "x"})


def test_the_default_type_links_both_ways_and_again(
    api: Api, portal: Portal, deal: str, family: Family
) -> None:
    contact = portal.ids("contacts")[0]
    pair = {"inputs": [{"from": {"id": deal}, "to": {"id": contact}}]}

    answers = [
        api.post(f"{family.links}/deals/contacts/batch/associate/default", pair) for _ in range(2)
    ]

    assert [each.status_code for each in answers] == [200, 200]
    results = answers[0].json()["results"]
    assert {each["associationSpec"]["associationTypeId"] for each in results} == {3, 4}
    assert types_of(portal, deal, "contacts", contact) == {3}
    assert [each.changed for each in portal.writes] == [("3",), ()]


def test_given_types_are_made_and_taken_off(
    api: Api, portal: Portal, deal: str, family: Family
) -> None:
    contact = portal.ids("contacts")[0]
    first = portal.add_label("deals", "contacts", "Signs").type_id
    second = portal.add_label("deals", "contacts", "Pays").type_id

    def body(type_id: int) -> dict[str, Any]:
        spec = {"associationCategory": "USER_DEFINED", "associationTypeId": type_id}
        return {"inputs": [{"from": {"id": deal}, "to": {"id": contact}, "types": [spec]}]}

    typed = [
        api.post(f"{family.links}/deals/contacts/batch/create", body(each))
        for each in (first, second)
    ]
    after = types_of(portal, deal, "contacts", contact)
    off = api.post(f"{family.links}/deals/contacts/batch/labels/archive", body(second))

    assert [each.status_code for each in typed] == [family.made] * 2
    assert typed[1].json()["results"][0]["labels"] == ["Pays"]
    assert after == {3, second}
    assert (off.status_code, types_of(portal, deal, "contacts", contact)) == (family.gone, {3})


def test_a_link_to_nothing_fails_alone(api: Api, portal: Portal, deal: str, family: Family) -> None:
    contact = portal.ids("contacts")[0]
    spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}]
    inputs = [{"from": {"id": deal}, "to": {"id": each}, "types": spec} for each in (contact, "1")]

    answer = api.post(f"{family.links}/deals/contacts/batch/create", {"inputs": inputs})

    body = answer.json()
    assert answer.status_code == (200 if family.made == 200 else 207)
    assert body["errors"][0]["subCategory"] == "crm.associations.TO_OBJECT_NOT_FOUND"
    assert types_of(portal, deal, "contacts", contact) == {3}


def test_one_link_is_put_and_taken_away(
    api: Api, portal: Portal, deal: str, family: Family
) -> None:
    company, contact = portal.ids("companies")[0], portal.ids("contacts")[0]
    root = f"{api.url}{family.objects}/deals/{deal}/associations"
    spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 5}]

    default = api.session.put(f"{root}/default/contacts/{contact}", timeout=10)
    typed = api.session.put(f"{root}/companies/{company}", json=spec, timeout=10)
    wrong = api.session.put(f"{root}/contacts/{contact}", json=spec, timeout=10)
    off = api.session.delete(f"{root}/contacts/{contact}", timeout=10)

    codes = [each.status_code for each in (default, typed, wrong, off)]
    assert codes == [200, 201, 400, 204]
    assert types_of(portal, deal, "companies", company) == {5, 341}
    assert types_of(portal, deal, "contacts", contact) == set()


def test_a_record_is_created_with_its_links_or_not_at_all(api: Api, portal: Portal) -> None:
    contact = portal.ids("contacts")[0]
    spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}]

    def create(to_id: str) -> Any:
        associations = [{"to": {"id": to_id}, "types": spec}]
        properties = {"dealname": "new", "dealstage": "closedwon"}
        body = {"properties": properties, "associations": associations}
        return api.post("/crm/objects/2026-09/deals", body)

    good, bad = create(contact), create("1")

    assert (good.status_code, bad.status_code) == (201, 400)
    assert types_of(portal, good.json()["id"], "contacts", contact) == {3}
    assert [each.action for each in portal.writes] == ["created", "linked"]


@pytest.mark.parametrize("root", ["/crm/properties/2026-09", "/crm/v3/properties"])
def test_a_property_is_defined_once_and_comes_back(api: Api, portal: Portal, root: str) -> None:
    body = {
        "name": "booking",
        "label": "Booking",
        "type": "string",
        "fieldType": "text",
        "groupName": "dealinformation",
        "hasUniqueValue": True,
    }

    first = api.post(f"{root}/deals", body)
    again = api.post(f"{root}/deals", body)
    portal.archive_property("deals", "booking")
    back = api.post(f"{root}/deals", body)

    assert [each.status_code for each in (first, again, back)] == [201, 409, 201]
    assert first.json()["hasUniqueValue"] is True
    assert again.json()["subCategory"] == "Properties.PROPERTY_WITH_NAME_EXISTS"


@pytest.mark.parametrize("root", ["/crm/properties/2026-09", "/crm/v3/properties"])
def test_the_options_of_a_property_are_those_that_were_sent_last(
    api: Api, portal: Portal, root: str
) -> None:
    portal.add_property("contacts", "site", "enumeration", field_type="checkbox", options=["a"])
    options = [{"label": each, "value": each, "displayOrder": 0, "hidden": False} for each in "ab"]

    def patch(name: str, options: list[dict[str, Any]]) -> requests.Response:
        url = f"{api.url}{root}/contacts/{name}"
        return api.session.patch(url, json={"options": options}, timeout=20)

    changed = patch("site", options)
    twice = patch("site", options[:1] * 2)
    unknown = patch("nothing", options)

    assert [each.status_code for each in (changed, twice, unknown)] == [200, 400, 404]
    assert [each["value"] for each in changed.json()["options"]] == ["a", "b"]
    assert portal.definitions("contacts")["site"].options == ("a", "b")
