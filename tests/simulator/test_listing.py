"""Lists: pages, properties, archived records, inline associations, odd cursors."""

from __future__ import annotations

import base64
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hubspot_simulator import Portal, Simulator

    from .conftest import Api

BOTH = ("/crm/v3/objects/deals", "/crm/objects/2026-09/deals", "/crm/objects/2026-03/0-3")


@pytest.mark.parametrize("path", BOTH)
def test_pages_hold_every_live_deal_once_in_ascending_order(
    api: Api, portal: Portal, path: str
) -> None:
    ids = [record["id"] for record in api.all(path)]

    assert ids == portal.ids("deals")
    assert len(ids) == 250


def test_the_cursor_is_the_id_of_the_next_record_and_absent_at_the_end(
    api: Api, portal: Portal
) -> None:
    ids = portal.ids()

    first = api.get(BOTH[0], limit=100).json()
    last = api.get(BOTH[0], limit=100, after=ids[200]).json()

    assert first["paging"]["next"]["after"] == ids[100]
    assert "paging" not in last
    assert [record["id"] for record in last["results"]] == ids[200:]


def test_a_jump_lands_on_the_next_existing_record(api: Api, portal: Portal) -> None:
    ids = portal.ids()
    between = int(ids[10]) + 1

    page = api.get(BOTH[0], limit=1, after=between).json()

    assert page["results"][0]["id"] == ids[11]


def test_ten_records_come_by_default_and_at_most_a_hundred(api: Api) -> None:
    assert len(api.get(BOTH[0]).json()["results"]) == 10

    refused = api.get(BOTH[0], limit=101)

    assert refused.status_code == 400
    assert refused.json()["category"] == "VALIDATION_ERROR"


def test_history_halves_the_page(api: Api) -> None:
    refused = api.get(BOTH[0], limit=51, propertiesWithHistory="amount")
    page = api.get(BOTH[0], limit=50, propertiesWithHistory="amount").json()

    assert refused.status_code == 400
    assert "property histories is 50" in refused.json()["message"]
    assert page["results"][0]["propertiesWithHistory"]["amount"][0]["sourceType"] == "CRM_UI"


def test_unset_properties_are_null_and_unknown_ones_missing(api: Api, portal: Portal) -> None:
    new = portal.create("deals", {"dealname": "x"})

    record = api.get(f"{BOTH[0]}/{new}", properties="amount,no_such_property").json()

    assert record["properties"] == {
        "amount": None,
        "createdate": record["createdAt"],
        "hs_lastmodifieddate": record["updatedAt"],
        "hs_object_id": new,
    }


def test_default_properties_come_when_none_are_asked_for(api: Api) -> None:
    deal = api.get(BOTH[0]).json()["results"][0]
    contact = api.get("/crm/v3/objects/contacts").json()["results"][0]

    assert set(deal["properties"]) == {
        "amount",
        "closedate",
        "createdate",
        "dealname",
        "dealstage",
        "hs_lastmodifieddate",
        "hs_object_id",
        "pipeline",
    }
    assert "lastmodifieddate" in contact["properties"]


def test_values_come_as_they_are(api: Api, portal: Portal) -> None:
    values = {
        "dealname": 'emoji 🎉 "quoted"\n\u2028',
        "amount": "0.200000000000000011102230246251565404236316680908203125",
        "hs_tag_ids": "101;102",
        "closedate": "",
    }
    new = portal.create("deals", values)

    record = api.get(f"{BOTH[0]}/{new}", properties=",".join(values)).json()

    assert values.items() <= record["properties"].items()


def test_listed_values_are_the_truth(api: Api, portal: Portal) -> None:
    truth = portal.truth("deals").live
    names = ",".join(portal.definitions("deals").names())

    for record in api.all(BOTH[0], properties=names):
        true = truth[record["id"]]
        assert record["properties"] == true.properties
        assert (record["createdAt"], record["updatedAt"]) == (true.created_at, true.updated_at)


def test_archived_records_come_only_when_asked_for(api: Api, portal: Portal) -> None:
    gone = portal.ids()[3]
    portal.archive("deals", gone)

    live = api.all(BOTH[0])
    archived = api.all(BOTH[0], archived="true")

    assert gone not in {record["id"] for record in live}
    assert [record["id"] for record in archived] == [gone]
    assert archived[0]["archived"] is True
    assert archived[0]["archivedAt"] > archived[0]["updatedAt"]


def test_deleting_the_record_under_a_cursor_skips_nothing(api: Api, portal: Portal) -> None:
    ids = portal.ids()
    after = api.get(BOTH[0], limit=100).json()["paging"]["next"]["after"]
    portal.delete("deals", after)

    page = api.get(BOTH[0], limit=100, after=after).json()

    assert page["results"][0]["id"] == ids[101]


def test_inline_associations_repeat_an_id_for_each_of_its_types(api: Api, portal: Portal) -> None:
    deal = portal.create("deals")
    company = portal.ids("companies")[0]
    portal.link("deals", deal, "companies", company)

    record = api.get(f"{BOTH[0]}/{deal}", associations="company,contacts").json()

    assert record["associations"] == {
        "companies": {
            "results": [
                {"id": company, "type": "deal_to_company"},
                {"id": company, "type": "deal_to_company_unlabeled"},
            ]
        }
    }


def test_inline_associations_stop_at_a_hundred_and_lead_on(api: Api, portal: Portal) -> None:
    deal = portal.create("deals")
    contacts = portal.ids("contacts")[:150]
    for contact in contacts:
        portal.link("deals", deal, "contacts", contact)

    page = api.get(f"{BOTH[0]}/{deal}", associations="contacts").json()["associations"]["contacts"]
    token = page["paging"]["next"]["after"]
    rest = api.get(f"{BOTH[0]}/{deal}/associations/contacts", after=token).json()

    assert [each["id"] for each in page["results"]] == contacts[:100]
    assert [each["id"] for each in rest["results"]] == contacts[100:]
    assert base64.b64decode(token).decode() == f"0-1-{contacts[100]}"


def test_a_merged_id_leads_to_the_survivor(api: Api, portal: Portal) -> None:
    first, second, *_ = portal.ids()

    survivor = portal.merge("deals", first, second)
    record = api.get(f"{BOTH[0]}/{first}", properties="hs_merged_object_ids").json()

    assert record["id"] == survivor
    assert record["properties"]["hs_merged_object_ids"] == f"{first};{second}"


def test_missing_records_are_told_apart_from_odd_ids(api: Api) -> None:
    missing = api.get(f"{BOTH[0]}/12")
    odd = api.get(f"{BOTH[0]}/abc")

    assert (missing.status_code, missing.json()["message"]) == (404, "resource not found")
    assert "category" not in missing.json()
    assert odd.json()["message"] == "Object not found.  objectId are usually numeric."


def test_unknown_types_are_named(api: Api) -> None:
    name = api.get("/crm/v3/objects/widgets")
    number = api.get("/crm/v3/objects/0-9999")

    assert (name.status_code, number.status_code) == (400, 400)
    assert name.json()["message"] == "Unable to infer object type from: widgets"
    assert number.json()["message"] == "Invalid object or event type id: 0-9999"


def test_custom_objects_answer_to_all_their_names(hubspot: Simulator, api: Api) -> None:
    portal = hubspot.portal()
    kind = portal.add_object_type("zipcodes")
    new = portal.create("zipcodes", {})

    for name in ("zipcodes", kind.type_id, f"p{portal.portal_id}_zipcodes", "p_zipcodes"):
        assert [each["id"] for each in api.all(f"/crm/v3/objects/{name}")] == [new]


def test_a_url_too_long_is_refused_in_html(api: Api, portal: Portal) -> None:
    long = api.get(BOTH[0], properties="x" * 17_000)
    portal.behaviour.url_limit = 1000
    shorter = api.get(BOTH[0], properties="x" * 1100)

    for answer in (long, shorter):
        assert answer.status_code == 414
        assert answer.text.startswith("<html>")


def test_opaque_cursors_page_through_but_cannot_be_made_up(api: Api, portal: Portal) -> None:
    portal.behaviour.opaque_cursors = True
    ids = portal.ids()

    assert [record["id"] for record in api.all(BOTH[0])] == ids
    assert api.get(BOTH[0], after=ids[50]).status_code == 400

    portal.behaviour.bare_cursor_restarts = True

    assert api.get(BOTH[0], after=ids[50]).json()["results"][0]["id"] == ids[0]


def test_an_unordered_list_is_stable_and_whole(api: Api, portal: Portal) -> None:
    portal.behaviour.unordered_list = True

    first = [record["id"] for record in api.all(BOTH[0])]
    second = [record["id"] for record in api.all(BOTH[0])]

    assert first == second != portal.ids()
    assert sorted(first) == portal.ids()


def test_short_and_empty_pages_carry_a_cursor(api: Api, portal: Portal) -> None:
    portal.behaviour.short_page_every = 3
    portal.behaviour.empty_page_every = 2

    pages = list(api.pages(BOTH[0], limit=20))

    assert [record["id"] for page in pages for record in page] == portal.ids()
    assert {len(page) for page in pages[:-1]} == {0, 10, 20}


def test_answers_tell_the_portals_time_and_may_be_compressed(
    hubspot: Simulator, api: Api, portal: Portal
) -> None:
    plain = api.get(BOTH[0], limit=5)
    portal.behaviour.compressed = True
    hubspot.advance(-600)
    packed = api.get(BOTH[0], limit=5)
    assert packed.json() == plain.json()
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    moments = [parsedate_to_datetime(each.headers["Date"]) for each in (plain, packed)]
    assert -600 <= (moments[1] - moments[0]).total_seconds() < -500
