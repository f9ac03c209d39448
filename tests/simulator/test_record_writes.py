"""Records are written over HTTP as HubSpot writes them, and refused in its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from hubspot_simulator import Portal, Simulator

    from .conftest import Api

DATED, NUMBERED = "/crm/objects/2026-09", "/crm/v3/objects"
both = pytest.mark.parametrize("root", [DATED, NUMBERED])


def contact(email: str, trace: str | None = None, **properties: str) -> dict[str, Any]:
    body = {"id": email, "idProperty": "email", "properties": properties}
    return body | ({"objectWriteTraceId": trace} if trace else {})


def upsert(
    api: Api, *inputs: dict[str, Any], root: str = DATED, kind: str = "contacts"
) -> tuple[int, Any]:
    answer = api.post(f"{root}/{kind}/batch/upsert", {"inputs": list(inputs)})
    return answer.status_code, answer.json()


@both
def test_an_upsert_makes_what_is_new_and_changes_what_is_there(
    api: Api, portal: Portal, root: str
) -> None:
    old = portal.create("contacts", {"email": "ada@example.com", "city": "Ulm"})

    status, body = upsert(
        api,
        contact("Ada@Example.com", "0", city="Bonn"),
        contact("new@example.com", "1", city="Kiel"),
        root=root,
    )

    assert status == 200
    by_trace = {each["objectWriteTraceId"]: each for each in body["results"]}
    assert (by_trace["0"]["id"], by_trace["0"]["new"], by_trace["1"]["new"]) == (old, False, True)
    live = portal.truth("contacts").live
    assert live[old].properties["city"] == "Bonn"
    assert live[by_trace["1"]["id"]].properties["email"] == "new@example.com"
    assert [(each.action, each.trace_id) for each in portal.writes] == [
        ("updated", "0"),
        ("created", "1"),
    ]


def test_one_bad_record_refuses_the_call_that_has_no_trace_ids(api: Api, portal: Portal) -> None:
    status, body = upsert(api, contact("a@example.com"), contact("b@example.com", nothing="1"))

    assert (status, body["category"]) == (400, "VALIDATION_ERROR")
    assert body["errors"][0]["code"] == "PROPERTY_DOESNT_EXIST"
    assert "nothing" in body["message"]
    assert portal.writes == []


@pytest.mark.parametrize(("root", "expected"), [(DATED, 200), (NUMBERED, 207)])
def test_trace_ids_leave_the_good_records_alone(
    api: Api, portal: Portal, root: str, expected: int
) -> None:
    status, body = upsert(
        api,
        contact("a@example.com", "a", city="Ulm"),
        contact("b@example.com", "b", nothing="1"),
        root=root,
    )

    assert (status, body["numErrors"]) == (expected, 1)
    assert body["errors"][0]["context"] == {"objectWriteTraceId": ["b"]}
    assert [each["objectWriteTraceId"] for each in body["results"]] == ["a"]
    assert len(portal.writes) == 1


def test_a_secondary_address_leads_to_its_contact(api: Api, portal: Portal) -> None:
    values = {"email": "first@example.com", "hs_additional_emails": "second@example.com"}
    old = portal.create("contacts", values)

    _, body = upsert(api, contact("second@example.com", "0", city="Bonn"))
    found = api.post(
        f"{DATED}/contacts/batch/read",
        {"idProperty": "email", "properties": ["email"], "inputs": [{"id": "second@example.com"}]},
    ).json()
    status, refused = upsert(
        api, contact("first@example.com", "0"), contact("second@example.com", "1")
    )

    assert [(each["id"], each["new"]) for each in body["results"]] == [(old, False)]
    assert found["results"][0]["properties"]["email"] == "first@example.com"
    assert (status, refused["context"]) == (400, {"ids": ["second@example.com"]})


@pytest.mark.parametrize("trace", [None, "t"])
def test_one_key_twice_refuses_the_batch(api: Api, portal: Portal, trace: str | None) -> None:
    pair = [contact("a@example.com", trace and f"{trace}{place}") for place in range(2)]

    status, body = upsert(api, *pair)

    assert status == 400
    assert body["message"].startswith("Duplicate IDs found in batch input: [a@example.com]")
    assert portal.writes == []


@pytest.mark.parametrize(
    ("kind", "name"), [("companies", "domain"), ("deals", "dealname"), ("deals", "hs_object_id")]
)
def test_a_key_has_to_be_unique(api: Api, kind: str, name: str) -> None:
    status, body = upsert(api, {"id": "x", "idProperty": name, "properties": {}}, kind=kind)

    assert status == 400
    assert f"non-unique 0-{2 if kind == 'companies' else 3} property {name}" in body["message"]


def test_a_property_of_ones_own_can_be_the_key(api: Api, portal: Portal) -> None:
    portal.add_property("deals", "booking", has_unique_value=True)
    deal = {"id": "B1", "idProperty": "booking", "properties": {"dealname": "x"}}

    first = upsert(api, deal, kind="deals")
    deal["properties"] = {"dealname": "x", "dealstage": "closedwon"}
    second = upsert(api, deal, kind="deals")
    third = upsert(api, deal, kind="deals")

    assert (first[0], first[1]["errors"][0]["code"]) == (400, "MISSING_REQUIRED_PROPERTY")
    assert [second[1]["results"][0]["new"], third[1]["results"][0]["new"]] == [True, False]
    assert portal.writes[-1].changed == ()


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"hs_object_id": "1"}, "READ_ONLY_VALUE"),
        ({"lifecyclestage": "nobody"}, "INVALID_OPTION"),
        ({"email": "a@b.con"}, "INVALID_EMAIL"),
        ({"email": "a@example.com "}, "INVALID_EMAIL"),
        ({"custom_2": "1,5"}, "INVALID_NUMBER"),
        ({"custom_2": "1e16"}, "INVALID_NUMBER"),
        ({"custom_5": "yes"}, "INVALID_OPTION"),
        ({"custom_6": "31.12.2026"}, "INVALID_DATE"),
        ({"custom_6": "2026-02-30"}, "INVALID_DATE"),
        ({"custom_7": "soon"}, "INVALID_DATE"),
        ({"hubspot_owner_id": "5"}, "INVALID_OWNER_ID"),
    ],
)
def test_bad_values_are_named(api: Api, values: dict[str, str], code: str) -> None:
    answer = api.post(f"{DATED}/contacts", {"properties": {"lastname": "x", **values}})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


def test_a_stage_has_to_be_one_of_its_pipeline(api: Api) -> None:
    answer = api.post(
        f"{NUMBERED}/deals", {"properties": {"dealname": "x", "dealstage": "nowhere"}}
    )

    assert (
        "nowhere is not a valid pipeline stage ID. Valid options are: pipelineId=default"
        in (answer.json()["message"])
    )


def test_dates_are_strict_but_in_the_newest_version(api: Api) -> None:
    values = {"lastname": "x", "custom_6": "122252400000"}

    strict = api.post(f"{NUMBERED}/contacts", {"properties": values})
    _, kind = upsert(api, contact("d@example.com", "0", custom_6="122252400000"))

    assert "is at 23:0:0.0 UTC, not midnight!" in strict.json()["message"]
    (result,) = kind["results"]
    assert result["properties"]["custom_6"] == "1973-11-15"
    assert result["warnings"][0]["category"] == "PROPERTY_VALUE_NORMALIZED"


@pytest.mark.parametrize(("root", "expected"), [(DATED, 400), (NUMBERED, 201)])
def test_the_newest_version_holds_to_the_admins_rules(
    api: Api, portal: Portal, root: str, expected: int
) -> None:
    rules = portal.records("contacts").rules
    rules.required_if["state"] = "country"
    rules.required_at_create.add("firstname")

    answer = api.post(f"{root}/contacts", {"properties": {"lastname": "x", "country": "DE"}})

    assert answer.status_code == expected
    if expected == 400:
        assert {each["code"] for each in answer.json()["errors"]} == {
            "MISSING_CONDITIONAL_REQUIRED_PROPERTY",
            "MISSING_REQUIRED_PROPERTY",
        }


def test_options_are_appended_and_values_cleared(api: Api, portal: Portal) -> None:
    old = portal.create("contacts", {"email": "a@example.com", "custom_4": "A", "city": "Ulm"})

    upsert(api, contact("a@example.com", "0", custom_4=";B;A", city=""))

    values = portal.truth("contacts").live[old].properties
    assert (values["custom_4"], values["city"]) == ("A;B", "")


def test_a_lifecycle_stage_moves_forward_only(api: Api, portal: Portal) -> None:
    portal.create("contacts", {"email": "a@example.com", "lifecyclestage": "customer"})

    _, back = upsert(api, contact("a@example.com", "0", lifecyclestage="lead"))
    upsert(api, contact("a@example.com", "0", lifecyclestage=""))
    _, reset = upsert(api, contact("a@example.com", "0", lifecyclestage="lead"))

    stages = [each["results"][0]["properties"]["lifecyclestage"] for each in (back, reset)]
    assert stages == ["customer", "lead"]


@pytest.mark.parametrize("names_id", [True, False])
def test_an_address_that_is_taken_is_a_conflict(
    api: Api, portal: Portal, *, names_id: bool
) -> None:
    portal.behaviour.conflict_names_id = names_id
    old = portal.create("contacts", {"email": "a@example.com"})
    body = {"properties": {"email": "a@example.com"}, "associations": []}

    single = api.post(f"{DATED}/contacts", body)
    batch = api.post(f"{NUMBERED}/contacts/batch/create", {"inputs": [body]})
    traced = api.post(
        f"{NUMBERED}/contacts/batch/create", {"inputs": [{**body, "objectWriteTraceId": "0"}]}
    )

    expected = f"Contact already exists. Existing ID: {old}" if names_id else "already exists"
    assert (single.status_code, batch.status_code, traced.status_code) == (409, 409, 207)
    assert expected in single.json()["message"]
    assert "context" not in single.json()
    assert traced.json()["errors"][0]["context"].get("existingId") == ([old] if names_id else None)


def test_a_unique_value_is_taken_once(api: Api, portal: Portal) -> None:
    portal.add_property("companies", "number", has_unique_value=True)
    pair = [{"properties": {"name": "x", "number": "7"}, "objectWriteTraceId": t} for t in "ab"]

    answer = api.post(f"{DATED}/companies/batch/create", {"inputs": pair})

    body = answer.json()
    assert (answer.status_code, len(body["results"])) == (201, 1)
    assert body["errors"][0]["errors"][0]["code"] == "CONFLICTING_UNIQUE_VALUE"


def test_an_update_by_id_names_the_ids_that_are_not_there(api: Api, portal: Portal) -> None:
    company = portal.ids("companies")[0]
    inputs = [{"id": each, "properties": {"city": "Ulm"}} for each in (company, "1")]

    answer = api.post(f"{NUMBERED}/companies/batch/update", {"inputs": inputs})

    body = answer.json()
    assert answer.status_code == 207
    assert [each["id"] for each in body["results"]] == [company]
    assert body["errors"][0]["context"] == {"ids": ["1"]}


def test_an_update_by_address_is_refused_or_does_nothing(api: Api, portal: Portal) -> None:
    portal.create("contacts", {"email": "a@example.com"})
    one = {"id": "a@example.com", "properties": {"city": "Ulm"}}
    path = f"{DATED}/contacts/batch/update"

    named = api.post(path, {"inputs": [{**one, "idProperty": "email"}]})
    unnamed = api.post(path, {"inputs": [one]})

    assert "non-unique 0-1 property email" in named.json()["message"]
    assert (unnamed.status_code, unnamed.json()["results"]) == (200, [])
    assert portal.writes == []


def test_a_merged_away_id_is_followed_by_one_change_and_by_no_batch(
    api: Api, portal: Portal
) -> None:
    first, second = portal.ids()[:2]
    survivor = portal.merge("deals", first, second)
    change = {"properties": {"dealname": "new"}}

    single = api.session.patch(f"{api.url}{DATED}/deals/{first}", json=change, timeout=10)
    batch = api.post(f"{DATED}/deals/batch/update", {"inputs": [{"id": first, **change}]})

    assert single.json()["id"] == survivor
    assert batch.json()["errors"][0]["context"] == {"ids": [first]}


def test_archiving_empties_the_list_and_frees_the_address(api: Api, portal: Portal) -> None:
    one, two = (portal.create("contacts", {"email": f"{n}@example.com"}) for n in "ab")

    batch = api.post(f"{DATED}/contacts/batch/archive", {"inputs": [{"id": one}, {"id": "1"}]})
    single = api.session.delete(f"{api.url}{NUMBERED}/contacts/{two}", timeout=10)

    assert (batch.status_code, single.status_code, batch.content) == (204, 204, b"")
    assert {one, two} <= portal.truth("contacts").archived.keys()
    _, body = upsert(api, contact("a@example.com", "0"))
    assert body["results"][0]["new"]


def test_a_hundred_inputs_fit(api: Api, portal: Portal) -> None:
    status, body = upsert(api, *(contact(f"{each}@example.com", str(each)) for each in range(101)))

    assert status == 400
    assert "supported in a batch is 100" in body["message"]
    assert portal.writes == []


def test_writing_needs_a_scope_of_its_own(api: Api, portal: Portal) -> None:
    portal.add_token(portal.token, scopes=["crm.objects.contacts.read"])

    status, body = upsert(api, contact("a@example.com", "0"))

    assert status == 403
    needed = body["errors"][0]["context"]["requiredGranularScopes"]
    assert needed == ["crm.objects.contacts.write"]


def test_search_learns_of_a_new_record_late_and_loses_it_once_more(
    hubspot: Simulator, api: Api, portal: Portal
) -> None:
    portal.search_lag, portal.search_flicker = 5, 3
    upsert(api, contact("late@example.com", "0"))
    wanted = {"propertyName": "email", "operator": "EQ", "value": "late@example.com"}

    seen = []
    for seconds in (6, 3, 3, 0):
        seen.append(api.search(wanted, object_type="contacts")["total"])
        hubspot.advance(seconds)

    assert seen == [0, 1, 0, 1]
    found = api.get(f"{DATED}/contacts/late@example.com", idProperty="email")
    assert found.status_code == 200


@pytest.mark.parametrize("kind", ["reset", "html"])
def test_a_write_can_be_carried_out_and_go_unanswered(
    hubspot: Simulator, api: Api, portal: Portal, kind: Any
) -> None:
    hubspot.fail(kind, status=502, carried_out=True, times=1)

    with pytest.raises(requests.RequestException):
        upsert(api, contact("a@example.com", "0"))

    assert [each.action for each in portal.writes] == ["created"]


def test_a_silent_answer_has_done_nothing(hubspot: Simulator, api: Api, portal: Portal) -> None:
    hubspot.fail("silent", times=1)

    status, body = upsert(api, contact("a@example.com", "0"))

    assert (status, body) == (200, {"status": "COMPLETE", "results": []})
    assert portal.writes == []


def test_writes_are_told_over_http(api: Api, portal: Portal) -> None:
    upsert(api, contact("a@example.com", "0", city="Ulm"), contact("b@example.com", "1"))

    told = api.get(f"/_simulator/{portal.portal_id}/writes", trace_id="0").json()

    assert [(each["action"], each["changed"]) for each in told] == [("created", ["city", "email"])]
