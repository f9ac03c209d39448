"""What happens when HubSpot fails: nothing is promised that is not so, nothing is made twice."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from harness.crm_api import DEAL, HUBSPOT_TOKEN, PASSWORD, PERSON, TICKET, Server, made, with_key
from harness.database import Cluster
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import requests
    from harness.crm_api import User

AWAY: list[dict[str, Any]] = [
    {"kind": "status", "status": 500}, {"kind": "html", "status": 502}, {"kind": "reset"},
    {"kind": "status", "status": 503}, {"kind": "hang"},
    {"kind": "ten_secondly", "retry_after": 0.1}, {"kind": "daily"},
    {"kind": "truncated"}, {"kind": "status", "status": 423},
]  # fmt: skip
REFUSED: list[dict[str, Any]] = [{"kind": "expired"}, {"kind": "missing_scope"}]
_numbers = itertools.count(1)


def named(fault: dict[str, Any]) -> str:
    return "-".join(str(each) for each in fault.values())


def newcomer() -> dict[str, str]:
    return {**PERSON, "email": f"newcomer-{next(_numbers)}@example.com"}


def hold_to(answer: requests.Response, status: int) -> None:
    """A failure that HubSpot caused, in our own words."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert HUBSPOT_TOKEN not in answer.text
    if status == 503:
        assert int(answer.headers["Retry-After"]) >= 1
        assert body["error"] == "HubSpot is not available, try again"
    else:
        assert body["error"] == "HubSpot refused the request"


@pytest.mark.parametrize("fault", AWAY, ids=named)
def test_a_registration_while_hubspot_is_away_leaves_nothing_and_goes_through_later(
    server: Server, hubspot: Simulator, fault: dict[str, Any]
) -> None:
    person = newcomer()
    hubspot.fail(endpoint="batch_upsert", **fault)

    hold_to(server.post("/api/register", person), 503)
    assert server.rows("select 1 from user_account where email = %s", person["email"]) == []

    hubspot.heal()
    assert server.post("/api/register", person).status_code == 201


@pytest.mark.parametrize("fault", REFUSED, ids=named)
def test_a_registration_that_the_token_may_not_make_is_a_502_and_leaves_nothing(
    server: Server, hubspot: Simulator, fault: dict[str, Any]
) -> None:
    person = newcomer()
    hubspot.fail(endpoint="batch_upsert", **fault)

    hold_to(server.post("/api/register", person), 502)

    assert server.rows("select 1 from user_account where email = %s", person["email"]) == []
    if fault["kind"] == "missing_scope":
        assert "crm.objects.deals.read" in server.log()
    hubspot.heal()
    assert server.post("/api/register", person).status_code == 201


def test_a_registration_whose_answer_is_lost_is_repeated_and_makes_one_contact(
    server: Server, hubspot: Simulator
) -> None:
    before = len(made(hubspot, "contacts"))
    hubspot.fail("reset", endpoint="batch_upsert", times=1, carried_out=True)

    assert server.post("/api/register", newcomer()).status_code == 201

    assert len(made(hubspot, "contacts")) == before + 1


def test_a_value_that_hubspot_refuses_is_a_400_of_the_field(server: Server) -> None:
    person = {**newcomer(), "email": f"a{next(_numbers)}@example.con"}

    answer = server.post("/api/register", person)

    assert answer.status_code == 400
    assert answer.json()["details"] == {"email": ["HubSpot takes no such address"]}
    assert server.rows("select 1 from user_account where email = %s", person["email"]) == []


def test_a_rule_for_another_property_is_a_502_that_names_it(serve: Callable[..., Server]) -> None:
    portal = with_key(Portal(token=HUBSPOT_TOKEN))
    portal.records("contacts").rules.required_at_create.add("jobtitle")
    with Simulator([portal], latency_ms=0) as hubspot:
        answer = serve(hubspot.url).post("/api/register", PERSON)

    assert answer.status_code == 502
    assert "MISSING_REQUIRED_PROPERTY" in answer.json()["error"]
    assert "jobtitle" in answer.json()["error"]
    assert PERSON["email"] not in answer.text


def test_an_account_that_takes_no_address_as_a_key_is_looked_up_first(
    serve: Callable[..., Server],
) -> None:
    portal = with_key(Portal(token=HUBSPOT_TOKEN))
    portal.behaviour.unique_emails = False
    known = portal.create("contacts", {"email": "known@example.com"})
    with Simulator([portal], latency_ms=0) as hubspot:
        server = serve(hubspot.url)
        fresh = server.post("/api/register", PERSON)
        there = server.post("/api/register", {**PERSON, "email": "known@example.com"})

    assert (fresh.status_code, there.status_code) == (201, 201)
    assert there.json()["data"]["contact"]["id"] == known
    assert len(portal.ids("contacts")) == 2


def test_a_process_that_dies_between_hubspot_and_commit_leaves_an_address_free_a_while_later(
    serve: Callable[..., Server], hubspot: Simulator
) -> None:
    server = serve()
    person = newcomer()
    reached = threading.Event()

    def kill() -> None:
        server.processes[0].kill()
        reached.set()

    hubspot.after(1, kill, endpoint="batch_upsert")
    lost = threading.Thread(target=lambda: _ignore(server, person))
    lost.start()
    assert reached.wait(30)
    lost.join()
    server.start()

    states = server.rows("select state from user_account")
    early = server.post("/api/register", person)
    server.rows("update user_account set updated_at = now() - interval '61 seconds'")
    late = server.post("/api/register", person)

    assert states == [("pending",)]
    assert early.json()["error"] == "User already exists"
    assert late.status_code == 201
    assert server.post("/api/login", person_login(person)).status_code == 200


def person_login(person: dict[str, str]) -> dict[str, str]:
    return {"email": person["email"], "password": PASSWORD}


def _ignore(server: Server, person: dict[str, str]) -> None:
    try:
        server.post("/api/register", person)
    except OSError:
        return


@pytest.mark.parametrize("kind", ["deals", "tickets"])
@pytest.mark.parametrize("fault", [{"kind": "reset"}, {"kind": "hang"},
                                   {"kind": "status", "status": 502}], ids=named)  # fmt: skip
def test_a_create_whose_answer_is_lost_makes_one_record(
    user: User, hubspot: Simulator, kind: str, fault: dict[str, Any]
) -> None:
    deal_id = user.deal()
    before = len(made(hubspot, kind))
    hubspot.fail(endpoint="create", times=1, carried_out=True, **fault)

    path, body = ("/api/deals", DEAL) if kind == "deals" else (f"/api/tickets/{deal_id}", TICKET)
    answer = user.post(path, body)

    assert answer.status_code == 201, answer.text
    assert made(hubspot, kind)[before:] == [answer.json()["data"]["id"]]


def test_a_create_that_stays_unanswered_is_one_record_when_the_client_repeats_it(
    user: User, hubspot: Simulator
) -> None:
    before = len(made(hubspot, "deals"))
    hubspot.fail("reset", endpoint="create", times=1, carried_out=True)
    hubspot.fail("reset", endpoint="batch_read")
    key = {"Idempotency-Key": "once"}

    first = user.post("/api/deals", DEAL, headers=key)
    hubspot.heal()
    again = user.post("/api/deals", DEAL, headers=key)

    assert first.status_code == 503
    assert "try again with the same Idempotency-Key" in first.json()["error"]
    assert again.status_code == 201, again.text
    assert made(hubspot, "deals")[before:] == [again.json()["data"]["id"]]


@pytest.mark.parametrize("silent", [{"kind": "hang"}, {"kind": "expired"}], ids=named)
def test_nobody_is_told_to_try_again_while_a_record_may_have_been_made(
    user: User, hubspot: Simulator, silent: dict[str, Any]
) -> None:
    """Neither where looking for it takes too long, nor where the token is refused meanwhile."""
    before = len(made(hubspot, "deals"))
    hubspot.fail("hang", endpoint="create", times=1, carried_out=True)
    hubspot.fail(endpoint="batch_read", **silent)

    answer = user.post("/api/deals", DEAL)

    assert answer.status_code == 503
    assert "outcome unknown" in answer.json()["error"]
    assert len(made(hubspot, "deals")) == before + 1


def test_what_was_never_begun_may_be_tried_again(user: User, hubspot: Simulator) -> None:
    before = len(made(hubspot, "deals"))
    hubspot.fail("status", status=423, endpoint="create")

    hold_to(user.post("/api/deals", DEAL), 503)

    assert len(made(hubspot, "deals")) == before


def test_a_deal_that_is_made_is_a_201_though_the_database_went_away_meanwhile(
    serve: Callable[..., Server], hubspot: Simulator, postgres_server: str
) -> None:
    server = serve()
    user = server.join(f"gone-{next(_numbers)}@example.com")
    name = server.rows("select current_database()")[0][0]
    before = len(made(hubspot, "deals"))
    doors = psycopg.connect(postgres_server, autocommit=True)

    def lock_out(asked: Any) -> None:
        if asked.endpoint == "create":
            doors.execute(f'alter database "{name}" with allow_connections false')
            doors.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
            )

    hubspot.answer_hooks.append(lock_out)
    try:
        answer = user.post("/api/deals", DEAL)
    finally:
        hubspot.answer_hooks.remove(lock_out)
        doors.execute(f'alter database "{name}" with allow_connections true')
        doors.close()

    assert answer.status_code == 201, answer.text
    assert made(hubspot, "deals")[before:] == [answer.json()["data"]["id"]]
    assert "made, but not noted" in server.log()
    assert user.post(f"/api/tickets/{answer.json()['data']['id']}", TICKET).status_code == 201


@pytest.fixture(scope="module")
def keyless(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An account without our property, and a server of it."""
    with Simulator([Portal(token=HUBSPOT_TOKEN)], latency_ms=0) as hubspot:
        folder = tmp_path_factory.mktemp("keyless")
        server = Server.fresh(postgres_server, folder, hubspot.url, hubspot_read_seconds=2)
        yield server, hubspot, server.join()
        server.stop()


def test_decision_16_without_the_property_an_unclear_create_is_not_repeated(keyless: Any) -> None:
    _, hubspot, user = keyless
    user.ticket(user.deal())
    before = len(made(hubspot, "deals"))
    hubspot.fail("reset", endpoint="create", times=1, carried_out=True)
    key = {"Idempotency-Key": "unclear"}

    first = user.post("/api/deals", DEAL, headers=key)
    again = user.post("/api/deals", DEAL, headers=key)

    for answer in (first, again):
        assert answer.status_code == 503
        assert "outcome unknown" in answer.json()["error"]
        assert "check" in answer.json()["error"]
    assert len(made(hubspot, "deals")) == before + 1


def test_a_merged_contact_keeps_its_user(join: Callable[[], User], hubspot: Simulator) -> None:
    user, portal = join(), hubspot.portal()
    other = portal.create("contacts", {"email": f"merged-{user.contact_id}@example.com"})
    survivor = portal.merge("contacts", other, user.contact_id)

    deal_id = user.deal()

    links = portal.true_links("deals", "contacts")
    assert {each.to_id for each in links if each.from_id == deal_id} == {str(survivor)}
    assert user.server.rows(
        "select contact_id from user_account where email = %s", user.email
    ) == [(str(survivor),)]  # fmt: skip


def test_a_user_whose_contact_was_merged_sees_it_and_his_deals_as_before(
    serve: Callable[..., Server], hubspot: Simulator
) -> None:
    server = serve(contacts="own", allow_open_directory="false")
    user, portal = server.join(f"moved-{next(_numbers)}@example.com"), hubspot.portal()
    other = portal.create("contacts", {"email": f"other-{user.contact_id}@example.com"})
    survivor = str(portal.merge("contacts", other, user.contact_id))
    deal_id = str(portal.create("deals", {"dealname": "Theirs"}))
    portal.link("deals", deal_id, "contacts", survivor)

    ticket = user.post(f"/api/tickets/{deal_id}", TICKET)
    (contact,) = user.contacts()

    assert ticket.status_code == 201, ticket.text
    assert contact["id"] == survivor
    assert [each["id"] for each in contact["deals"]] == [deal_id]
    assert user.contacts(f"cursor={survivor}") == [contact]


def test_what_was_deleted_in_hubspot_is_not_found(
    join: Callable[[], User], hubspot: Simulator
) -> None:
    ada, bob = join(), join()
    deal_id = ada.deal()
    hubspot.portal().delete("deals", deal_id)
    hubspot.portal().delete("contacts", bob.contact_id)

    assert ada.post(f"/api/tickets/{deal_id}", TICKET).status_code == 404
    assert bob.post("/api/deals", DEAL).status_code == 404


@pytest.mark.parametrize("fault", [*AWAY, *REFUSED], ids=named)
@pytest.mark.parametrize("endpoint", ["list", "batch_read", "associations"])
def test_a_list_while_hubspot_fails_is_a_503_or_502(
    join: Callable[[], User], hubspot: Simulator, fault: dict[str, Any], endpoint: str
) -> None:
    user = shared_user(join)
    hubspot.fail(endpoint=endpoint, **fault)

    answer = user.get("/api/new-crm-objects?limit=100")

    hold_to(answer, 502 if fault in REFUSED else 503)
    hubspot.heal()
    until = time.monotonic() + 60
    while (healed := user.get("/api/new-crm-objects")).status_code != 200:
        assert time.monotonic() < until, healed.text
        time.sleep(0.2)


_shared: list[User] = []


def shared_user(join: Callable[[], User]) -> User:
    """One user with a deal and a ticket, for all that only read."""
    if not _shared:
        _shared.append(join())
        _shared[0].ticket(_shared[0].deal())
    return _shared[0]


def test_one_lost_answer_is_made_good_within_the_request(
    join: Callable[[], User], hubspot: Simulator
) -> None:
    user = shared_user(join)
    for endpoint in ("list", "batch_read", "associations"):
        hubspot.fail("reset", endpoint=endpoint, times=1)

    assert user.get("/api/new-crm-objects").status_code == 200


def test_pipelines_are_served_from_the_last_copy_while_hubspot_is_away(
    serve: Callable[..., Server], hubspot: Simulator
) -> None:
    user = serve().join(f"copy-{next(_numbers)}@example.com")
    before = user.get("/api/pipelines?object=deals").json()
    hubspot.fail("status", status=503, endpoint="pipelines")

    assert user.get("/api/pipelines?object=deals").json() == before
    hold_to(user.get("/api/pipelines"), 503)
    assert user.get("/api/pipelines?object=calls").status_code == 400


def test_a_table_that_is_missing_is_a_500_and_cut_sessions_are_opened_anew(
    serve: Callable[..., Server],
    hubspot: Simulator,  # noqa: ARG001
) -> None:
    server = serve()
    user = server.join(f"db-{next(_numbers)}@example.com")
    server.rows("alter table user_account rename to hidden")

    answer = user.get("/api/pipelines")

    assert answer.status_code == 500
    assert answer.json()["error"] == "Internal server error"
    server.rows("alter table hidden rename to user_account")
    server.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'crm-api'"
        " and datname = current_database()"
    )
    assert user.get("/api/pipelines").status_code == 200


def test_while_the_database_is_stopped_every_answer_is_a_503_and_then_all_goes_on(
    hubspot: Simulator, tmp_path: Path
) -> None:
    cluster = Cluster()
    server = None
    try:
        server = Server.fresh(cluster.start(), tmp_path, hubspot.url)
        user = server.join(f"stopped-{next(_numbers)}@example.com")
        deal = user.post("/api/deals", DEAL).json()["data"]["id"]
        asked: list[Callable[[], requests.Response]] = [
            lambda: server.post("/api/register", newcomer()),
            lambda: server.post("/api/login", {"email": user.email, "password": PASSWORD}),
            lambda: user.get("/api/new-crm-objects"),
            lambda: user.get("/api/pipelines"),
            lambda: user.post("/api/deals", DEAL),
            lambda: user.post(f"/api/tickets/{deal}", TICKET),
        ]
        sent = len(hubspot.requests)

        cluster.stop()
        with ThreadPoolExecutor(len(asked)) as people:  # each is held for a while, for a restart
            answers = list(people.map(lambda ask: ask(), asked))
        for answer in answers:
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) >= 1
            assert "postgres" not in answer.text.lower()
        assert len(hubspot.requests) == sent, "HubSpot is not asked for what nobody can note"
        cluster.start()

        for ask in asked:
            assert ask().ok
        assert server.processes[0].poll() is None
    finally:
        if server is not None:
            server.stop()
        cluster.remove()
