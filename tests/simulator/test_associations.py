"""Associations: batch read with pages, labels, categories, both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hubspot_simulator import Portal

    from .conftest import Api

V4 = "/crm/v4/associations/{}/{}/batch/read"
DATED = "/crm/associations/2026-09/{}/{}/batch/read"
TRUE_LINK = tuple[str, str, str, int, str | None]


def read(api: Api, path: str, ids: list[str]) -> set[TRUE_LINK]:
    """Follow the pages of every input."""
    found: set[TRUE_LINK] = set()
    inputs: list[dict[str, Any]] = [{"id": each} for each in ids]
    while inputs:
        body = api.post(path, {"inputs": inputs}).json()
        inputs = []
        for result in body["results"]:
            start = result["from"]["id"]
            for target in result["to"]:
                for kind in target["associationTypes"]:
                    found.add(
                        (
                            start,
                            str(target["toObjectId"]),
                            kind["category"],
                            kind["typeId"],
                            kind["label"],
                        )
                    )
            if "paging" in result:
                inputs.append({"id": start, "after": result["paging"]["next"]["after"]})
    return found


def truth(portal: Portal, start: str, end: str) -> set[TRUE_LINK]:
    return {
        (each.from_id, each.to_id, each.category, each.type_id, each.label)
        for each in portal.true_links(start, end)
    }


@pytest.mark.parametrize("path", [V4, DATED])
@pytest.mark.parametrize(
    ("start", "end"),
    [("deals", "contacts"), ("deals", "companies"), ("contacts", "deals"), ("companies", "deals")],
)
def test_batch_read_gives_the_true_links(
    api: Api, portal: Portal, path: str, start: str, end: str
) -> None:
    portal.behaviour.association_page = 2

    links = read(api, path.format(start, end), portal.ids(start))

    assert links == truth(portal, start, end)
    assert links


def test_links_are_the_same_from_both_ends(portal: Portal) -> None:
    for end in ("contacts", "companies"):
        there = {(each.from_id, each.to_id) for each in portal.true_links("deals", end)}
        back = {(each.to_id, each.from_id) for each in portal.true_links(end, "deals")}
        assert there == back


@pytest.mark.parametrize(("path", "status"), [(V4, 207), (DATED, 200)])
def test_a_deal_without_links_is_named_in_errors(
    api: Api, portal: Portal, path: str, status: int
) -> None:
    lonely = portal.create("deals")

    answer = api.post(path.format("deals", "0-2"), {"inputs": [{"id": lonely}]})

    error = answer.json()["errors"][0]
    assert answer.status_code == status
    assert answer.json()["results"] == []
    assert error["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert error["message"] == f"No company is associated with deal {lonely}."
    assert error["context"]["fromObjectId"] == [lonely]


def test_the_first_company_is_primary_and_unlabeled_at_once(api: Api, portal: Portal) -> None:
    deal = portal.create("deals")
    first, second, *_ = portal.ids("companies")
    portal.link("deals", deal, "companies", first)
    portal.link("deals", deal, "companies", second)

    links = read(api, V4.format("deals", "companies"), [deal])

    assert links == {
        (deal, first, "HUBSPOT_DEFINED", 5, "Primary"),
        (deal, first, "HUBSPOT_DEFINED", 341, None),
        (deal, second, "HUBSPOT_DEFINED", 341, None),
    }


def test_more_than_a_page_of_links_is_paged_per_input(api: Api, portal: Portal) -> None:
    deal, other, *_ = portal.ids()
    for contact in portal.ids("contacts")[:120]:
        portal.link("deals", deal, "contacts", contact)
    portal.behaviour.association_page = 50

    body = api.post(
        V4.format("deals", "contacts"), {"inputs": [{"id": deal}, {"id": other}]}
    ).json()
    sizes = {result["from"]["id"]: len(result["to"]) for result in body["results"]}

    assert sizes[deal] == 50
    assert sizes[other] == 2
    assert read(api, V4.format("deals", "contacts"), [deal]) == {
        each for each in truth(portal, "deals", "contacts") if each[0] == deal
    }


def test_ids_are_numbers_or_texts(api: Api, portal: Portal) -> None:
    body = {"inputs": [{"id": portal.ids()[0]}]}

    number = api.post(V4.format("deals", "contacts"), body).json()["results"][0]["to"][0]
    portal.behaviour.numeric_to_object_id = False
    text = api.post(V4.format("deals", "contacts"), body).json()["results"][0]["to"][0]

    assert isinstance(number["toObjectId"], int)
    assert str(number["toObjectId"]) == text["toObjectId"]


def test_labels_are_listed_given_and_changed(api: Api, portal: Portal) -> None:
    label = portal.add_label("deals", "contacts", "Signs", "Signed by")
    deal, contact = portal.create("deals"), portal.create("contacts")
    portal.link("deals", deal, "contacts", contact, label="Signs")
    path = V4.format("deals", "contacts")

    listed = api.get("/crm/associations/2026-09/deals/contacts/labels").json()["results"]

    assert {"category": "USER_DEFINED", "typeId": label.type_id, "label": "Signs"} in listed
    assert {each[2:] for each in read(api, path, [deal])} == {
        ("HUBSPOT_DEFINED", 3, None),
        ("USER_DEFINED", label.type_id, "Signs"),
    }
    back = read(api, V4.format("contacts", "deals"), [contact])
    assert {each[4] for each in back} == {None, "Signed by"}

    portal.relabel("deals", deal, "contacts", contact, ["Decision maker"])

    assert {each[4] for each in read(api, path, [deal])} == {None, "Decision maker"}


def test_links_of_archived_records_hide_until_restored(api: Api, portal: Portal) -> None:
    deal = portal.ids()[0]
    before = truth(portal, "deals", "contacts")
    contact = next(each[1] for each in before if each[0] == deal)

    portal.archive("contacts", contact)
    hidden = read(api, V4.format("deals", "contacts"), portal.ids())
    portal.restore("contacts", contact)
    restored = read(api, V4.format("deals", "contacts"), portal.ids())

    assert hidden == {each for each in before if each[1] != contact}
    assert restored == before


def test_a_merge_joins_links_and_leaves_the_old_ids_empty(api: Api, portal: Portal) -> None:
    first, second = portal.create("deals"), portal.create("deals")
    one, two, three, *_ = portal.ids("companies")
    portal.link("deals", first, "companies", one)
    portal.link("deals", second, "companies", two)
    portal.link("deals", second, "companies", three)

    survivor = portal.merge("deals", first, second)
    links = read(api, V4.format("deals", "companies"), [first, second, survivor])

    assert {each[0] for each in links} == {survivor}
    assert {each[1] for each in links} == {one, two, three}
    assert {each[1] for each in links if each[4] == "Primary"} == {one}


def test_a_thousand_inputs_are_taken_and_one_more_refused(api: Api) -> None:
    body = {"inputs": [{"id": str(each)} for each in range(1001)]}

    assert api.post(V4.format("deals", "contacts"), body).status_code == 400
    body["inputs"].pop()
    assert api.post(V4.format("deals", "contacts"), body).status_code == 207


def test_one_records_links_page_by_limit(api: Api, portal: Portal) -> None:
    deal = portal.create("deals")
    contacts = portal.ids("contacts")[:5]
    for contact in contacts:
        portal.link("deals", deal, "contacts", contact)

    for root in ("/crm/v4/objects/deals", "/crm/objects/2026-03/deals"):
        found = [
            str(each["toObjectId"])
            for page in api.pages(f"{root}/{deal}/associations/contacts", limit=2)
            for each in page
        ]
        assert found == contacts


def test_v3_knows_only_the_primary_company(api: Api, portal: Portal) -> None:
    deal = portal.create("deals")
    first, second, *_ = portal.ids("companies")
    portal.link("deals", deal, "companies", first)
    portal.link("deals", deal, "companies", second)

    body = api.post(
        "/crm/v3/associations/deals/companies/batch/read", {"inputs": [{"id": deal}]}
    ).json()

    assert body["results"] == [
        {"from": {"id": deal}, "to": [{"id": first, "type": "deal_to_company"}]}
    ]
