"""What was decided about contacts, deals and tickets; the numbers are the contract's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from harness.crm_api import DEAL, HUBSPOT_TOKEN, KEY, TICKET, made, with_key
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.crm_api import Server, User


def details(user: User, **values: Any) -> dict[str, list[str]]:
    """What is wrong with a deal."""
    answer = user.post("/api/deals", {**DEAL, **values})
    assert (answer.status_code, answer.json()["error"]) == (400, "Validation error"), answer.text
    found: dict[str, list[str]] = answer.json()["details"]
    return found


def test_decision_03_a_deal_is_his_who_made_it_or_whose_contact_it_is_linked_to(
    join: Callable[[], User], hubspot: Simulator
) -> None:
    ada, bob = join(), join()
    portal = hubspot.portal()
    deal_id = ada.deal()
    foreign = portal.create("deals", {"dealname": "by hand", "dealstage": "contractsent"})

    assert bob.post(f"/api/tickets/{deal_id}", TICKET).status_code == 404
    assert bob.post(f"/api/tickets/{foreign}", TICKET).status_code == 404
    portal.link("deals", foreign, "contacts", bob.contact_id)
    portal.link("deals", deal_id, "contacts", bob.contact_id)
    assert bob.ticket(foreign)
    assert bob.ticket(deal_id)
    for strange in ("0", "x", "-1", "1" * 21, "1.5", "%00", "..%2f", "١٢"):
        assert ada.post(f"/api/tickets/{strange}", TICKET).status_code == 404, strange


def test_decision_04_deals_are_always_new(user: User) -> None:
    assert user.deal() != user.deal()


def test_decision_05_pages_walk_all_contacts_upwards_with_deletions_between(
    serve: Callable[..., Server],
) -> None:
    portal = with_key(Portal.generate(0, seed=2, token=HUBSPOT_TOKEN, contacts=250))
    ids = sorted(portal.ids("contacts"), key=int)
    with Simulator([portal], latency_ms=0) as hubspot:
        user = serve(hubspot.url).join("zz@example.com")
        seen: list[str] = []
        query = "limit=100"
        gone = ""
        while query:
            data = user.get(f"/api/new-crm-objects?{query}").json()["data"]["data"]
            seen += [each["id"] for each in data["contacts"]]
            after = data["next_after"]
            query = f"limit=100&cursor={after}" if after else ""
            if after and not gone:
                gone = after  # the very record that the next page begins with
                portal.delete("contacts", gone)
        short = user.get("/api/new-crm-objects").json()["data"]["data"]["contacts"]

    assert seen == [each for each in [*ids, user.contact_id] if each != gone]
    assert len(short) == 10


@pytest.mark.parametrize("cursor", ["9" * 19, "9" * 20])
def test_decision_05_a_cursor_beyond_the_end_is_an_empty_page(user: User, cursor: str) -> None:
    answer = user.get(f"/api/new-crm-objects?cursor={cursor}")

    assert answer.json()["data"] == {"data": {"contacts": [], "next_after": None}}


@pytest.mark.parametrize("query", [
    "cursor=abc", "cursor=-1", "cursor=", "cursor=1.5", f"cursor={'1' * 21}", "cursor=%D9%A1",
    "limit=0", "limit=101", "limit=ten", "limit=", "limit=1.0", "limit=%D9%A1",
])  # fmt: skip
def test_decision_05_any_other_cursor_or_limit_is_a_400(user: User, query: str) -> None:
    answer = user.get(f"/api/new-crm-objects?{query}")

    assert answer.status_code == 400
    assert list(answer.json()["details"]) == [query.partition("=")[0]]


@pytest.mark.parametrize(("written", "stored"), [
    ("1000000", "1000000"), ("1000000.0", "1000000"), ('"12.50"', "12.5"), ("0", "0"),
    ("0.000001", "0.000001"), ("999999999999999", "999999999999999"),
    ("123456789012345.123456", "123456789012345.123456"), ('" 7 "', "7"),
])  # fmt: skip
def test_decision_06_an_amount_keeps_its_digits(user: User, written: str, stored: str) -> None:
    body = f'{{"dealname": "x", "dealstage": "contractsent", "amount": {written}}}'
    answer = user.server.ask(
        "POST", "/api/deals", user.token, data=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 201, answer.text
    assert answer.json()["data"]["amount"] == stored


@pytest.mark.parametrize("written", [
    "-1", "1e3", "NaN", "Infinity", '"NaN"', '"1,5"', "1000000000000000", "0.0000001", "true",
    "null", "[1]", '""', '"1e3"', '"\\u0661"', "99999999999999999999999999999999999999999999",
])  # fmt: skip
def test_decision_06_no_amount_is_a_400(user: User, written: str) -> None:
    body = f'{{"dealname": "x", "dealstage": "contractsent", "amount": {written}}}'
    answer = user.server.ask(
        "POST", "/api/deals", user.token, data=body, headers={"Content-Type": "application/json"}
    )

    assert (answer.status_code, answer.json()["error"]) == (400, "Validation error")


@pytest.mark.parametrize(("written", "stored"), [
    ("2025-12-31", "2025-12-31"), ("2025-12-31T23:30:00-02:00", "2026-01-01T01:30:00Z"),
    ("2025-12-31T12:00Z", "2025-12-31T12:00:00Z"), ("2026-W01-1", "2025-12-29"),
])  # fmt: skip
def test_a_close_date_is_a_day_or_a_moment_of_any_zone(
    user: User, hubspot: Simulator, written: str, stored: str
) -> None:
    deal_id = user.deal(closedate=written)

    found = hubspot.portal().truth().live[deal_id].properties["closedate"]
    assert found is not None
    assert found.startswith(stored)


@pytest.mark.parametrize("written", [
    "2025-12-31T12:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "31.12.2025",
])  # fmt: skip
def test_no_close_date_is_a_400(user: User, written: str) -> None:
    answer = user.post("/api/deals", {**DEAL, "closedate": written})

    assert (answer.status_code, list(answer.json()["details"])) == (400, ["closedate"])


def test_a_name_that_nobody_sees_is_none(user: User) -> None:
    answer = user.post("/api/deals", {**DEAL, "dealname": "\u200b \ufeff"})

    assert (answer.status_code, list(answer.json()["details"])) == (400, ["dealname"])


def test_what_may_be_left_out_may_be_null(user: User) -> None:
    left_out = dict.fromkeys(("description", "pipeline", "closedate"))

    assert user.post("/api/deals", {**DEAL, **left_out}).status_code == 201


@pytest.mark.parametrize("deal_id", ["9" * 20, "9223372036854775808", "0", "00"])
def test_no_deal_can_have_such_an_id(user: User, hubspot: Simulator, deal_id: str) -> None:
    asked = len(hubspot.requests)

    assert user.post(f"/api/tickets/{deal_id}", TICKET).status_code == 404
    assert len(hubspot.requests) == asked


def test_decision_07_a_stage_is_one_of_the_pipelines_today(user: User, hubspot: Simulator) -> None:
    seven = (
        "appointmentscheduled, qualifiedtobuy, presentationscheduled, decisionmakerboughtin, "
        "contractsent, closedwon, closedlost"
    )
    assert details(user, dealstage="nonsense") == {"dealstage": [f"must be one of {seven}"]}
    others = [each for each in hubspot.portal().pipelines["deals"] if each.id != "default"]
    for each in others:
        found = user.post("/api/deals", {
            **DEAL, "pipeline": each.id, "dealstage": each.stages[0].id
        })  # fmt: skip
        assert found.json()["data"]["pipeline"] == each.id
    assert list(details(user, pipeline="none")) == ["pipeline"]


def test_decision_08_a_category_is_one_of_five_words_and_stays_that_word(user: User) -> None:
    deal_id = user.deal()
    words = ("general_inquiry", "technical_issue", "billing", "service_request", "meeting")
    tickets = {user.ticket(deal_id, category=word): word for word in words}

    (contact,) = user.contacts(f"limit=1&cursor={user.contact_id}")
    shown = {each["id"]: each["category"] for each in contact["deals"][0]["tickets"]}
    assert shown == tickets
    wrong = user.post(f"/api/tickets/{deal_id}", {**TICKET, "category": "PRODUCT_ISSUE"})
    assert list(wrong.json()["details"]) == ["category"]


@pytest.mark.parametrize("own", [False, True])
def test_decision_08_where_hubspot_keeps_the_category_is_read_from_the_account(
    serve: Callable[..., Server], *, own: bool
) -> None:
    portal = with_key(Portal(token=HUBSPOT_TOKEN))
    if own:
        portal.add_property("tickets", "category", "string")
    with Simulator([portal], latency_ms=0) as hubspot:
        user = serve(hubspot.url).join()
        deal_id = user.deal()
        ticket_id = user.ticket(deal_id, category="technical_issue")
        by_hand = portal.create("tickets", {
            "subject": "by hand", "hs_pipeline": "0", "hs_pipeline_stage": "1",
            "hs_ticket_category": "PRODUCT_ISSUE",
        })  # fmt: skip
        portal.link("deals", deal_id, "tickets", by_hand)
        (contact,) = user.contacts()

    kept = portal.truth("tickets").live[ticket_id].properties
    assert (kept.get("category"), kept["hs_ticket_category"]) == (
        ("technical_issue", None) if own else (None, "PRODUCT_ISSUE")
    )
    shown = {each["id"]: each["category"] for each in contact["deals"][0]["tickets"]}
    assert shown == {ticket_id: "technical_issue", by_hand: "PRODUCT_ISSUE"}


def test_decision_09_a_tickets_fields_are_what_hubspot_stored(
    user: User, hubspot: Simulator
) -> None:
    ticket_id = user.ticket(user.deal(), description="line one\nline two", hs_pipeline_stage="4")
    kept = hubspot.portal().truth("tickets").live[ticket_id].properties

    assert (kept["hs_pipeline"], kept["hs_pipeline_stage"]) == ("0", "4")
    assert (kept["content"], kept["hs_ticket_priority"]) == ("line one\nline two", "HIGH")


@pytest.mark.parametrize(("field", "value"), [
    ("pipeline", "test"), ("hs_pipeline_stage", "99"), ("hs_ticket_priority", "URGENT"),
    ("subject", ""), ("subject", "x" * 256), ("description", ""), ("description", "a\x00"),
    ("category", None), ("owner", "me"), ("hubspot_owner_id", "1"),
])  # fmt: skip
def test_decision_09_a_ticket_with_a_wrong_field_names_it(
    user: User, field: str, value: str | None
) -> None:
    answer = user.post(f"/api/tickets/{user.deal()}", {**TICKET, field: value})

    assert (answer.status_code, list(answer.json()["details"])) == (400, [field])


def test_decision_15_the_same_request_under_a_key_gets_its_first_answer_again(
    join: Callable[[], User], hubspot: Simulator
) -> None:
    ada, bob = join(), join()
    key = {"Idempotency-Key": "order 7"}
    before = len(made(hubspot, "deals"))

    first = ada.post("/api/deals", DEAL, headers=key)
    again = ada.post("/api/deals", DEAL, headers=key)
    other = ada.post("/api/deals", {**DEAL, "dealname": "Other"}, headers=key)
    elsewhere = ada.post(f"/api/tickets/{first.json()['data']['id']}", TICKET, headers=key)
    his = bob.post("/api/deals", DEAL, headers=key)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    for refused in (other, elsewhere):
        assert list(refused.json()["details"]) == ["Idempotency-Key"]
    assert his.json()["data"]["id"] != first.json()["data"]["id"]
    assert len(made(hubspot, "deals")) == before + 2
    for bad in ("", "x" * 129, "schl\xfcssel"):
        assert ada.post("/api/deals", DEAL, headers={"Idempotency-Key": bad}).status_code == 400


def test_decision_16_setup_makes_the_unique_property_once(serve: Callable[..., Server]) -> None:
    portal = Portal(token=HUBSPOT_TOKEN)
    with Simulator([portal], latency_ms=0) as hubspot:
        server = serve(hubspot.url)
        first, again = server.run("setup"), server.run("setup")

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert first.stdout.count("was made") == 2
    assert again.stdout.count("is there") == 2
    for kind in ("deals", "tickets"):
        assert portal.definitions(kind)[KEY].has_unique_value


def test_decision_16_our_key_is_written_and_never_shown(user: User, hubspot: Simulator) -> None:
    answer = user.post("/api/deals", DEAL)
    kept = hubspot.portal().truth("deals").live[answer.json()["data"]["id"]].properties

    assert kept[KEY]
    assert KEY not in answer.json()["data"]


def test_decision_17_answers_hold_what_hubspot_sent_and_nothing_else(
    user: User, hubspot: Simulator
) -> None:
    data = user.post("/api/deals", DEAL).json()["data"]
    kept = hubspot.portal().truth("deals").live[data["id"]].properties

    assert {n: v for n, v in data.items() if n != "id"} == {n: kept[n] for n in data if n != "id"}


def test_decision_19_health_numbers_and_pages_are_outside_the_limits(
    serve: Callable[..., Server],
) -> None:
    server = serve(rate_limit="1 per 1 minute", login_rate_limit="1 per 1 minute")

    for path in ("/health", "/health/live", "/metrics", "/docs", "/redoc", "/openapi.json",
                 "/openapi.yaml"):  # fmt: skip
        for _ in range(3):
            answer = server.get(path)
            assert answer.status_code == 200
            assert "X-RateLimit-Limit" not in answer.headers
    for path in ("/docs", "/redoc"):  # offline: nothing is loaded from elsewhere
        page = server.get(path).text
        assert re.findall(r"<(?:script|link)[^>]+(?:src|href)=[\"']https?:", page) == []
    assert "crm_api_requests_total" in server.get("/metrics").text
    assert server.get("/openapi.json").json()["openapi"] == "3.1.0"
