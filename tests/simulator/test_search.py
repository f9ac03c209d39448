"""Search: operators, limits, paging, index lag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hubspot_simulator import Portal, Simulator

from .conftest import Api

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/crm/v3/objects/deals/search"


def where(name: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    given = {} if value is None else {"value": value}
    return {"propertyName": name, "operator": operator, **given, **more}


@pytest.fixture
def few() -> Iterator[tuple[Portal, Api]]:
    """Serve a portal without generated deals."""
    with Simulator([Portal.generate(0)]) as hubspot:
        api = Api(hubspot.url)
        yield hubspot.portal(), api
        api.session.close()


def names(body: dict[str, Any]) -> list[str]:
    return [record["properties"]["dealname"] for record in body["results"]]


def test_operators_compare_by_type(few: tuple[Portal, Api]) -> None:
    portal, api = few
    portal.add_property("deals", "colour", "enumeration", options=["red", "Blue"])
    for name, amount, colour in (("Ant", "9", "red"), ("Bee", "10.0", "Blue"), ("Cat", "", None)):
        portal.create("deals", {"dealname": name, "amount": amount, "colour": colour})

    def found(*filters: dict[str, Any]) -> list[str]:
        return names(api.search(*filters))

    assert found(where("amount", "GT", "9")) == ["Bee"]
    assert found(where("amount", "EQ", "10")) == ["Bee"]
    assert found(where("amount", "LTE", 9)) == ["Ant"]
    assert found(where("amount", "BETWEEN", "9", highValue="10")) == ["Ant", "Bee"]
    assert found(where("amount", "HAS_PROPERTY")) == ["Ant", "Bee"]
    assert found(where("amount", "NOT_HAS_PROPERTY")) == ["Cat"]
    assert found(where("dealname", "EQ", "bEE")) == ["Bee"]
    assert found(where("dealname", "IN", values=["bee", "Ant"])) == ["Bee"]
    assert found(where("dealname", "NEQ", "bee")) == ["Ant", "Cat"]
    assert found(where("dealname", "CONTAINS_TOKEN", "c*")) == ["Cat"]
    assert found(where("dealname", "NOT_CONTAINS_TOKEN", "c*")) == ["Ant", "Bee"]
    assert found(where("colour", "EQ", "blue")) == []
    assert found(where("colour", "IN", values=["Blue"])) == ["Bee"]
    assert found(where("colour", "NOT_IN", values=["Blue"])) == ["Ant"]


def test_multi_select_filters_look_at_each_choice(few: tuple[Portal, Api]) -> None:
    portal, api = few
    portal.create("deals", {"dealname": "both", "hs_tag_ids": "101;102"})
    portal.create("deals", {"dealname": "one", "hs_tag_ids": "103"})

    assert names(api.search(where("hs_tag_ids", "IN", values=["102"]))) == ["both"]
    assert names(api.search(where("hs_tag_ids", "EQ", "101"))) == ["both"]
    assert names(api.search(where("hs_tag_ids", "NEQ", "101"))) == ["one"]


def test_dates_filter_by_milliseconds_or_iso_and_finer_parts_are_cut(
    few: tuple[Portal, Api],
) -> None:
    portal, api = few
    portal.create("deals", {"dealname": "x"}, at=1_750_000_000_123)

    for value in ("1750000000123", "2025-06-15T15:06:40.123999Z", 1_750_000_000_123):
        assert names(api.search(where("hs_lastmodifieddate", "GTE", value))) == ["x"]
        assert names(api.search(where("hs_lastmodifieddate", "GT", value))) == []


def test_groups_are_alternatives(few: tuple[Portal, Api]) -> None:
    portal, api = few
    for name in ("Ant", "Bee", "Cat"):
        portal.create("deals", {"dealname": name})

    body = {
        "filterGroups": [
            {"filters": [where("dealname", "EQ", "cat")]},
            {"filters": [where("dealname", "EQ", "ant")]},
        ]
    }

    assert names(api.post(PATH, body).json()) == ["Ant", "Cat"]
    assert names(api.search(query="be")) == ["Bee"]


def test_associations_can_be_filtered_by(api: Api, portal: Portal) -> None:
    company = portal.ids("companies")[0]
    linked = {
        link.from_id for link in portal.true_links("deals", "companies") if link.to_id == company
    }

    body = api.search(where("associations.company", "EQ", company), limit=200)

    assert {record["id"] for record in body["results"]} == linked


def test_limits_are_refused_with_400(api: Api, portal: Portal) -> None:
    one = where("amount", "GT", "1")
    refused: list[dict[str, Any]] = [
        {"limit": 201},
        {"filterGroups": [{"filters": [one]}] * 6},
        {"filterGroups": [{"filters": [one] * 7}]},
        {"filterGroups": [{"filters": [one] * 6}] * 4},
        {"sorts": ["amount", "dealname"]},
        {"after": "10000"},
        {"filterGroups": [{"filters": [where("no_such_property", "EQ", "1")]}]},
    ]
    for body in refused:
        assert api.post(PATH, body).status_code == 400, body

    assert api.post(PATH, {"filterGroups": [{"filters": [one] * 6}] * 3}).status_code == 200
    portal.behaviour.search_body_limit = 3000
    assert api.post(PATH, {"properties": ["x" * 3000]}).status_code == 400


def test_an_incomplete_filter_is_described(api: Api) -> None:
    answer = api.post(PATH, {"filterGroups": [{"filters": [{}]}]})

    assert answer.status_code == 400
    assert "required attributes are not set [propertyName, operator]" in answer.json()["message"]


def test_a_filter_at_the_epoch_fails(api: Api) -> None:
    body = {"filters": [where("hs_lastmodifieddate", "GTE", "0")]}

    assert api.post(PATH, body).status_code == 500


def test_paging_goes_by_offset_and_ends_without_a_cursor(api: Api, portal: Portal) -> None:
    first = api.search(limit=200)
    second = api.search(limit=200, after=first["paging"]["next"]["after"])

    assert first["paging"] == {"next": {"after": "200"}}
    assert (first["total"], second["total"]) == (250, 250)
    assert "paging" not in second
    ids = [record["id"] for record in first["results"] + second["results"]]
    assert ids == portal.ids()


def test_ten_thousand_results_are_reachable_and_no_more() -> None:
    with Simulator([Portal.generate(10_050)]) as hubspot:
        api = Api(hubspot.url)
        last = api.search(limit=200, after="9800")
        beyond = api.post(PATH, {"limit": 1, "after": last["paging"]["next"]["after"]})
        api.session.close()

    assert last["total"] == 10_050
    assert last["paging"]["next"]["after"] == "10000"
    assert beyond.status_code == 400


def test_keyset_walks_past_deals_on_one_millisecond() -> None:
    with Simulator([Portal.generate(700, same_millisecond=600)]) as hubspot:
        api, portal = Api(hubspot.url), hubspot.portal()
        moment = next(record.updated_at for record in reversed(portal.truth().live.values()))
        last, found = "0", []
        while True:
            page = api.search(
                where("hs_lastmodifieddate", "BETWEEN", moment, highValue=moment),
                where("hs_object_id", "GT", last),
                sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
                limit=200,
            )["results"]
            found += [record["id"] for record in page]
            if len(page) < 200:
                break
            last = page[-1]["id"]
        api.session.close()

        assert found == portal.ids()[100:]


def test_sorting_compares_numbers_as_numbers(few: tuple[Portal, Api]) -> None:
    portal, api = few
    for amount in ("9", "100", None, "20"):
        portal.create("deals", {"amount": amount})

    ascending = api.search(sorts=[{"propertyName": "amount", "direction": "ASCENDING"}])
    descending = api.search(sorts=["-amount"])

    def amounts(body: dict[str, Any]) -> list[str | None]:
        return [record["properties"]["amount"] for record in body["results"]]

    assert amounts(ascending) == ["9", "20", "100", None]
    assert amounts(descending) == ["100", "20", "9", None]


def test_search_learns_of_writes_after_the_lag(hubspot: Simulator, api: Api) -> None:
    portal = hubspot.portal()
    portal.search_lag = 60
    changed, archived, *_ = portal.ids()
    portal.change("deals", changed, {"amount": "424242"})
    portal.archive("deals", archived)
    new = portal.create("deals", {"amount": "424242"})

    def found(*filters: dict[str, Any]) -> set[str]:
        return {record["id"] for record in api.search(*filters, limit=200)["results"]}

    old_entry = portal.records("deals").generated(0).properties["amount"]

    assert found(where("amount", "EQ", "424242")) == set()
    assert archived in found(where("hs_object_id", "LTE", archived))
    body = api.search(where("hs_object_id", "EQ", changed), properties=["amount"])
    assert body["results"][0]["properties"]["amount"] == old_entry

    hubspot.advance(61)

    assert found(where("amount", "EQ", "424242")) == {changed, new}
    assert archived not in found(where("hs_object_id", "LTE", archived))


def test_search_answers_carry_no_associations_and_no_interval_headers(api: Api) -> None:
    answer = api.post(PATH, {"associations": ["contacts"]})

    assert "associations" not in answer.json()["results"][0]
    assert "X-HubSpot-RateLimit-Interval-Milliseconds" not in answer.headers


def test_ids_can_be_asked_for_by_a_list(api: Api, portal: Portal) -> None:
    ids = portal.ids()
    asked = [ids[7], ids[3], "12"]
    portal.change("deals", ids[3], {"amount": "1"})

    body = api.search(where("hs_object_id", "IN", values=asked))

    assert [record["id"] for record in body["results"]] == [ids[3], ids[7]]


def test_an_order_by_modified_date_holds_over_pages(api: Api, portal: Portal) -> None:
    portal.change("deals", portal.ids()[9], {"amount": "1"})
    found = []
    after = "0"
    for _ in range(3):
        page = api.search(sorts=["hs_lastmodifieddate"], limit=100, after=after)
        found += [record["updatedAt"] for record in page["results"]]
        after = page.get("paging", {"next": {"after": ""}})["next"]["after"]

    # A full second is written without a fraction: compare what is meant.
    moments = [stamp if "." in stamp else stamp.replace("Z", ".000Z") for stamp in found]
    assert moments == sorted(moments)
    assert len(moments) == 250


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"filterGroups": {}},
        {"filterGroups": [{"filters": "x"}]},
        {"limit": "many"},
        {"sorts": 1},
        {"filters": [where("associations.contact", "EQ", "abc")]},
        {"filters": [where("amount", "EQ", "abc")]},
        {"filters": [where("amount", "LIKE", "abc")]},
    ],
)
def test_odd_bodies_are_refused(api: Api, body: Any) -> None:
    assert api.post(PATH, body).status_code == 400
