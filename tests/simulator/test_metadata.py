"""Definitions, pipelines, owners, schemas and account information."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hubspot_simulator import Portal

if TYPE_CHECKING:
    from hubspot_simulator import Simulator

    from .conftest import Api


@pytest.mark.parametrize("path", ["/crm/v3/properties", "/crm/properties/2026-09"])
def test_deals_have_hubspots_own_and_the_portals_properties(api: Api, path: str) -> None:
    found = {each["name"]: each for each in api.get(f"{path}/deals").json()["results"]}

    own = [each for each in found.values() if each["hubspotDefined"]]
    assert len(own) >= 40
    assert [name for name in found if name.startswith("custom_")] == [
        f"custom_{number}" for number in range(1, 10)
    ]
    assert (found["amount"]["type"], found["closedate"]["type"]) == ("number", "datetime")
    assert found["closedate"]["fieldType"] == "date"
    assert found["hs_object_id"]["type"] == "number"
    assert found["hs_tag_ids"]["fieldType"] == "checkbox"
    assert found["hubspot_owner_id"]["options"] == []
    assert found["hubspot_owner_id"]["referencedObjectType"] == "OWNER"


def test_definitions_change_while_the_portal_lives(api: Api, portal: Portal) -> None:
    long = "Score_" + "x" * 70
    portal.add_property("deals", long, "number")
    portal.add_property("deals", "score", "string")
    portal.retype_property("deals", "custom_2", "string")
    portal.archive_property("deals", "custom_1")

    live = {each["name"]: each for each in api.get("/crm/v3/properties/deals").json()["results"]}
    archived = api.get("/crm/v3/properties/deals", archived="true").json()["results"]

    assert live[long]["type"] == "number"
    assert live["custom_2"]["type"] == "string"
    assert [each["name"] for each in archived] == ["custom_1"]
    assert "custom_1" not in live
    deal = api.get("/crm/v3/objects/deals", properties="custom_1,custom_2").json()["results"][0]
    assert "custom_1" not in deal["properties"]
    assert "custom_2" in deal["properties"]


def test_sensitive_definitions_come_only_when_asked_for(api: Api, portal: Portal) -> None:
    portal.add_property("deals", "secret", data_sensitivity="sensitive")

    plain = api.get("/crm/v3/properties/deals").json()["results"]
    sensitive = api.get("/crm/v3/properties/deals", dataSensitivity="sensitive").json()["results"]

    assert "secret" not in {each["name"] for each in plain}
    assert [each["name"] for each in sensitive] == ["secret"]


def test_one_definition_is_read_by_name(api: Api) -> None:
    assert api.get("/crm/v3/properties/deals/amount").json()["type"] == "number"
    assert api.get("/crm/v3/properties/deals/nothing").status_code == 404


def test_two_portals_can_have_one_name_in_two_types() -> None:
    first, second = Portal.generate(5, seed=1), Portal.generate(5, seed=2, rotate_types=1)

    one = first.definitions("deals").get("custom_1")
    other = second.definitions("deals").get("custom_1")

    assert one is not None
    assert other is not None
    assert (one.type, other.type) == ("string", "number")


def test_pipelines_have_stages_with_text_metadata(api: Api) -> None:
    found = api.get("/crm/pipelines/2026-09/deals").json()["results"]

    assert [each["id"] for each in found] == ["default", "74513908"]
    closed = {stage["id"]: stage["metadata"]["isClosed"] for stage in found[0]["stages"]}
    assert closed["closedwon"] == "true"
    assert closed["contractsent"] == "false"
    assert api.get("/crm/v3/pipelines/tickets/0").json()["label"] == "Support Pipeline"
    assert api.get("/crm/v3/pipelines/deals/nothing").status_code == 404


def test_stages_agree_with_the_calculated_properties(portal: Portal) -> None:
    for record in portal.truth().live.values():
        won = record.properties["dealstage"] in {"closedwon", "141802332"}
        assert record.properties["hs_is_closed_won"] == str(won).lower()


def test_owners_page_and_archived_ones_come_apart(api: Api) -> None:
    live = [each for page in api.pages("/crm/v3/owners", limit=2) for each in page]
    archived = api.get("/crm/owners/2026-09", archived="true").json()["results"]

    assert len(live) == 5
    assert len(archived) == 1
    assert "userId" not in archived[0]
    assert api.get(f"/crm/v3/owners/{live[0]['id']}").json() == live[0]
    assert api.get("/crm/v3/owners", limit=501).status_code == 400


def test_only_custom_objects_have_schemas(api: Api, portal: Portal) -> None:
    assert api.get("/crm/v3/schemas").json() == {"results": []}
    kind = portal.add_object_type("divisions")

    for path in ("/crm-object-schemas/v3/schemas", "/crm-object-schemas/2026-09/schemas"):
        (schema,) = api.get(path).json()["results"]
        assert schema["objectTypeId"] == kind.type_id
        assert schema["fullyQualifiedName"] == f"p{portal.portal_id}_divisions"


def test_the_account_tells_its_id_and_usage(api: Api, portal: Portal) -> None:
    details = api.get("/account-info/2026-09/details").json()
    usage = api.get("/account-info/v3/api-usage/daily/private-apps").json()["results"][0]

    assert details["portalId"] == portal.portal_id
    assert usage["usageLimit"] == 625_000


@pytest.mark.parametrize(
    ("zone", "offset", "midnight"),
    [("US/Eastern", "-05:00", "T05:00:00Z"), ("Asia/Kolkata", "+05:30", "T18:30:00Z")],
)
def test_an_account_has_a_time_zone_and_its_own_midnight(
    api: Api, portal: Portal, zone: str, offset: str, midnight: str
) -> None:
    portal.time_zone = zone
    portal.clock.advance(datetime(2040, 1, 10, 12, tzinfo=UTC).timestamp() - portal.clock.now())
    details = api.get("/account-info/v3/details").json()
    usage = api.get("/account-info/v3/api-usage/daily/private-apps").json()["results"][0]

    assert (details["timeZone"], details["utcOffset"]) == (zone, offset)
    assert usage["resetsAt"].endswith(midnight)


@pytest.mark.parametrize(
    "name",
    [
        "contacts",
        "companies",
        "deals",
        "tickets",
        "line_items",
        "products",
        "quotes",
        "calls",
        "emails",
        "meetings",
        "notes",
        "tasks",
        "communications",
        "feedback_submissions",
        "leads",
        "appointments",
    ],
)
def test_every_object_type_is_served(hubspot: Simulator, api: Api, name: str) -> None:
    portal = hubspot.portal()
    new = portal.create(name, {})

    listed = api.all(f"/crm/objects/2026-09/{name}")
    found = api.search(object_type=name, limit=200)
    definitions = api.get(f"/crm/v3/properties/{name}").json()["results"]

    assert new in {each["id"] for each in listed}
    assert found["total"] == len(portal.ids(name))
    assert {"hs_object_id"} < {each["name"] for each in definitions}


def test_further_types_can_be_generated() -> None:
    portal = Portal.generate(20, counts={"tickets": 7, "zipcodes": 3}, custom_objects=["zipcodes"])

    assert len(portal.ids("tickets")) == 7
    assert len(portal.ids("p_zipcodes")) == 3
    assert portal.true_links("zipcodes", "contacts")
