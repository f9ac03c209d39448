"""The document's examples, replayed key by key: a client written from it alone works."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from harness.crm_api import PASSWORD, ROOT

if TYPE_CHECKING:
    from harness.crm_api import Server, User
    from hubspot_simulator import Simulator

PAGE = (ROOT / "tests/crm_api/document.md").read_text(encoding="utf-8")
OURS = {"correlationId", "details"}
"""What failures have besides."""


def examples() -> list[Any]:
    """The JSON blocks of the document, in its order; a trailing comma is the document's."""
    blocks = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    return [json.loads(re.sub(r",(\s*})", r"\1", block)) for block in blocks]


(
    REGISTER, REGISTERED, EXISTS, LOGIN, LOGGED_IN, BAD_LOGIN, LISTED, CREATE_DEAL, DEAL_CREATED,
    CREATE_TICKET, TICKET_CREATED,
) = examples()  # fmt: skip
CALCULATED = {  # of one account on one day; HubSpot's own, which a simulated one has not all of
    name
    for name in (*REGISTERED["data"]["contact"], *DEAL_CREATED["data"], *TICKET_CREATED["data"])
    if name.startswith(("hs_", "num_", "days_", "time_", "closed_", "amount_in_"))
} | {"lifecyclestage"}


def keys(value: Any) -> Any:
    """A value's keys all the way down; of a list those of its first element."""
    if isinstance(value, dict):
        return {name: keys(each) for name, each in value.items()}
    return [keys(each) for each in value[:1]] if isinstance(value, list) else None


@pytest.fixture
def ada(server: Server) -> User:
    server.rows("delete from user_account where email = %s", REGISTER["email"])
    return server.join(REGISTER["email"])


def test_register_answers_with_the_contact(server: Server, hubspot: Simulator) -> None:
    portal = hubspot.portal()
    for contact in portal.ids("contacts"):
        if portal.truth("contacts").live[contact].properties["email"] == REGISTER["email"]:
            portal.delete("contacts", contact)
    server.rows("delete from user_account where email = %s", REGISTER["email"])

    answer = server.post("/api/register", REGISTER)

    assert answer.status_code == 201
    assert answer.json().keys() == REGISTERED.keys()
    assert answer.json()["message"] == REGISTERED["message"]
    contact = answer.json()["data"]["contact"]
    wanted = REGISTERED["data"]["contact"].keys() - CALCULATED
    assert contact.keys() >= wanted
    for name in ("email", "firstname", "lastname", "phone"):
        assert contact[name] == REGISTER[name]
    assert contact["hs_object_id"] == contact["id"]


def test_register_twice_answers_that_the_user_exists(server: Server, ada: User) -> None:
    answer = server.post("/api/register", {**REGISTER, "email": ada.email.upper()})

    assert answer.status_code == 400
    assert answer.json().keys() - OURS == EXISTS.keys()
    assert answer.json()["error"] == EXISTS["error"]


def test_login_answers_with_a_token(server: Server, ada: User) -> None:
    asked = {**LOGIN, "email": ada.email, "password": PASSWORD}
    answer = server.post("/api/login", asked)

    assert answer.status_code == 200
    assert keys(answer.json()) == keys(LOGGED_IN)
    assert answer.json()["message"] == LOGGED_IN["message"]
    assert answer.json()["data"]["access_token"].count(".") == 2


@pytest.mark.parametrize("body", [
    {"email": "nobody@example.com", "password": PASSWORD},
    {"email": REGISTER["email"], "password": "wrong"},
])  # fmt: skip
def test_login_of_nobody_and_with_a_wrong_password_look_alike(
    server: Server, ada: User, body: dict[str, str]
) -> None:
    assert ada.email == REGISTER["email"]
    answer = server.post("/api/login", body)

    assert answer.status_code == 401
    assert answer.json().keys() - OURS == BAD_LOGIN.keys()
    assert answer.json()["error"] == BAD_LOGIN["error"]


def test_create_deal_answers_with_its_properties(ada: User) -> None:
    answer = ada.post("/api/deals", CREATE_DEAL)

    assert answer.status_code == 201
    assert answer.json()["message"] == DEAL_CREATED["message"]
    data = answer.json()["data"]
    assert data.keys() >= DEAL_CREATED["data"].keys() - CALCULATED
    assert (data["dealname"], data["dealstage"], data["pipeline"], data["amount"]) == (
        CREATE_DEAL["dealname"], CREATE_DEAL["dealstage"], DEAL_CREATED["data"]["pipeline"],
        "1000000",
    )  # fmt: skip
    assert data["id"] == data["hs_object_id"]


def test_create_ticket_answers_with_its_properties_under_both_names(ada: User) -> None:
    answer = ada.post(f"/api/tickets/{ada.deal()}", CREATE_TICKET)

    assert answer.status_code == 201
    assert answer.json()["message"] == TICKET_CREATED["message"]
    data = answer.json()["data"]
    wanted = TICKET_CREATED["data"].keys() - CALCULATED
    assert data.keys() >= wanted | {"hs_pipeline", "hs_pipeline_stage", "hs_ticket_priority"}
    for name in CREATE_TICKET:
        assert data[name] == CREATE_TICKET[name], name
    assert data["hs_pipeline"] == data["pipeline"]


def test_contacts_have_the_keys_of_the_document_all_the_way_down(ada: User) -> None:
    deal_id = ada.deal()
    ticket_ids = [ada.ticket(deal_id), ada.ticket(deal_id)]

    answer = ada.get(f"/api/new-crm-objects?limit=1&cursor={ada.contact_id}")

    assert answer.status_code == 200
    assert answer.json()["message"] == LISTED["message"]
    listed = {**LISTED["data"]["data"], "contacts": LISTED["data"]["data"]["contacts"][1:]}
    found = answer.json()["data"]["data"]
    found["contacts"][0]["deals"] = [
        each for each in found["contacts"][0]["deals"] if each["id"] == deal_id
    ]
    assert keys(found) == keys(listed)
    (deal,) = found["contacts"][0]["deals"]
    assert [each["id"] for each in deal["tickets"]] == ticket_ids
    assert {each["category"] for each in deal["tickets"]} == {CREATE_TICKET["category"]}


def test_errors_have_the_words_of_the_document(server: Server, ada: User) -> None:
    table = {
        400: server.post("/api/register", {}),
        401: server.get("/api/pipelines", "nonsense"),
        404: ada.post("/api/tickets/999999", CREATE_TICKET),
    }

    for status, answer in table.items():
        assert answer.status_code == status
        row = re.search(rf"^{status}\t([^\t]+)\t", PAGE, re.MULTILINE)
        assert row is not None
        assert answer.json()["error"] == row[1]


@pytest.mark.parametrize("path", ["/api/deals", "/api/tickets/1"])
def test_what_needs_authorization_says_so(server: Server, path: str) -> None:
    answer = server.post(path, {})

    assert answer.status_code == 401
    assert answer.json()["error"] == "Invalid token"
