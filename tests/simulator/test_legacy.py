"""The paths of the first generation, as older connectors read them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hubspot_simulator import Portal, Simulator

    from .conftest import Api

PAGED = "/deals/v1/deal/paged"


def pages(api: Api, **query: Any) -> list[list[dict[str, Any]]]:
    found = []
    while True:
        body = api.get(PAGED, **query).json()
        found.append(body["deals"])
        if not body["hasMore"]:
            return found
        query["offset"] = body["offset"]


def test_all_live_deals_come_once_page_by_page(api: Api, portal: Portal) -> None:
    for deal in portal.ids()[:3]:
        portal.archive("deals", deal)
    found = pages(api)
    assert [len(page) for page in found] == [100, 100, 47]
    assert [str(deal["dealId"]) for page in found for deal in page] == portal.ids()
    assert [len(page) for page in pages(api, limit=1000)] == [247]


def test_without_being_asked_only_the_id_comes(api: Api, portal: Portal) -> None:
    deal = api.get(PAGED).json()["deals"][0]
    assert deal["portalId"] == portal.portal_id
    assert deal["isDeleted"] is False
    assert deal["properties"] == {}
    assert not any(deal["associations"].values())


def test_values_come_with_their_time_and_only_where_there_are_any(api: Api, portal: Portal) -> None:
    deal = portal.ids()[0]
    portal.change("deals", deal, {"amount": "12.50", "dealname": None, "custom_5": "2026-03-31"})
    portal.retype_property("deals", "custom_5", "date")
    found = api.get(PAGED, includeAllProperties="True").json()["deals"][0]["properties"]
    true = portal.truth("deals").live[deal]
    written = datetime.fromisoformat(true.updated_at).timestamp() * 1000
    amount = found["amount"]
    assert (amount["value"], amount["timestamp"]) == ("12.50", pytest.approx(written))
    assert [each["value"] for each in amount["versions"]] == ["12.50"]
    assert int(found["hs_lastmodifieddate"]["value"]) == pytest.approx(written)
    assert found["custom_5"]["value"] == "1774915200000"
    assert "dealname" not in found
    some = api.get(PAGED, properties=["amount", "pipeline"]).json()["deals"][0]["properties"]
    assert some.keys() == {"amount", "pipeline"}


def test_links_come_as_ids_by_type(api: Api, portal: Portal) -> None:
    deals = [deal for page in pages(api, includeAssociations="true") for deal in page]
    for key, partner in (("associatedVids", "contacts"), ("associatedCompanyIds", "companies")):
        found = {(str(d["dealId"]), str(to)) for d in deals for to in d["associations"][key]}
        assert found == {(t.from_id, t.to_id) for t in portal.true_links("deals", partner)}


def test_definitions_come_as_a_bare_list(api: Api, portal: Portal) -> None:
    portal.archive_property("deals", "custom_1")
    found = {each["name"]: each for each in api.get("/properties/v1/deals/properties").json()}
    assert list(found) == portal.definitions("deals").names()
    assert found["closedate"]["type"] == "datetime"
    assert isinstance(found["closedate"]["createdAt"], int)


def test_they_ask_for_a_token_and_are_logged_as_version_one(hubspot: Simulator, api: Api) -> None:
    assert api.get(PAGED, limit=1).status_code == 200
    assert hubspot.requests.all()[-1].version == "v1"
    api.session.headers["Authorization"] = "Bearer nobody"
    assert api.get(PAGED).status_code == 401
