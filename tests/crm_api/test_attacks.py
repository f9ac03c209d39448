"""Users against each other and against the API: nothing of others' is seen, nothing breaks."""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests
from harness.crm_api import DEAL, HUBSPOT_TOKEN, PASSWORD, PERSON, TICKET

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.crm_api import Server, User
    from hubspot_simulator import Simulator

JSON = {"Content-Type": "application/json"}
BODIES: list[bytes] = [
    b"", b"{", b"[]", b"null", b'"text"', b"1", b"\xff\xfe", b"[" * 50_000, b'{"a":' * 5000,
    b'{"email": "\\ud800"}', b'{"dealname": NaN}', b"{}" + b" " * 70_000,
    b'{"amount": ' + b"9" * 5000 + b"}", b"\x00", b'{"\\u0000": 1}',
]  # fmt: skip


def test_two_users_attacking_each_other_get_nowhere(
    join: Callable[[], User], hubspot: Simulator
) -> None:
    ada, bob = join(), join()
    deal_id = ada.deal()
    ticket_id = ada.ticket(deal_id)
    portal = hubspot.portal()
    before = dict(portal.truth("contacts").live[ada.contact_id].properties)

    foreign = bob.post(f"/api/tickets/{deal_id}", TICKET)
    stolen = bob.server.post("/api/login", {"email": ada.email, "password": PASSWORD + "x"})
    taken = bob.server.post("/api/register", {**PERSON, "email": ada.email, "lastname": "Mallory"})
    mass = bob.post("/api/deals", {**DEAL, "hubspot_owner_id": "1", "hs_object_id": deal_id})
    replayed = bob.post("/api/deals", DEAL, headers={"Idempotency-Key": "same"})
    hers = ada.post("/api/deals", DEAL, headers={"Idempotency-Key": "same"})

    assert foreign.status_code == 404
    assert foreign.json()["error"] == bob.post("/api/tickets/1", TICKET).json()["error"]
    assert stolen.status_code == 401
    assert taken.status_code == 400
    assert mass.json()["details"] == {
        "hs_object_id": ["unknown field"], "hubspot_owner_id": ["unknown field"]
    }  # fmt: skip
    assert hers.json()["data"]["id"] != replayed.json()["data"]["id"]
    assert portal.truth("contacts").live[ada.contact_id].properties == before
    assert {each.to_id for each in portal.true_links("deals", "tickets")
            if each.from_id == deal_id} == {ticket_id}  # fmt: skip


@pytest.mark.parametrize("path", ["/api/register", "/api/login", "/api/deals", "/api/tickets/1"])
def test_no_body_is_answered_with_a_5xx(user: User, path: str) -> None:
    path = path.replace("/1", f"/{user.deal()}")
    for body in BODIES:
        answer = user.server.ask("POST", path, user.token, data=body, headers=JSON)
        assert answer.status_code in {400, 413}, (body[:40], answer.text)
    for kind in ("text/plain", "application/xml", ""):
        answer = user.server.ask(
            "POST", path, user.token, data=b"{}", headers={"Content-Type": kind or "x"}
        )
        assert answer.status_code == 415
    chunked = user.server.ask(
        "POST", path, user.token, data=iter([b"x" * 40_000] * 3), headers=JSON
    )
    assert chunked.status_code == 413


@pytest.mark.parametrize(
    "value", [None, 1, 1.5, True, [], {}, ["x"], "\x00", "\ud800", "x" * 60_000]
)
def test_no_value_of_a_field_is_answered_with_a_5xx(user: User, value: Any) -> None:
    deal_id = user.deal()
    for path, good in (
        ("/api/register", PERSON), ("/api/login", {"email": "x", "password": "x"}),
        ("/api/deals", DEAL), (f"/api/tickets/{deal_id}", TICKET),
    ):  # fmt: skip
        for name in good:
            text = json.dumps({**good, name: value})
            answer = user.server.ask("POST", path, user.token, data=text, headers=JSON)
            assert answer.status_code < 500, (path, name, answer.text)


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/api/register", 405), ("DELETE", "/api/deals", 405), ("PUT", "/api/login", 405),
    ("GET", "/api/deals/", 404), ("GET", "/", 404), ("GET", "/api", 404), ("POST", "/docs", 405),
    ("GET", "/api/contacts/pipelines", 404), ("PATCH", "/api/tickets/1", 405),
])  # fmt: skip
def test_other_paths_and_methods_have_our_shape(
    server: Server, method: str, path: str, status: int
) -> None:
    answer = requests.request(method, server.url + path, timeout=30)

    assert answer.status_code == status
    assert answer.json()["error"] == (
        "Resource not found" if status == 404 else "Method not allowed"
    )
    assert ("Allow" in answer.headers) == (status == 405)
    assert answer.headers["X-Correlation-ID"] == answer.json()["correlationId"]


def test_many_log_ins_do_not_stall_the_others(serve: Callable[..., Server]) -> None:
    # Hashes of 16 MiB, so that a thousand of them take a good while of all processors.
    server = serve(password_memory_kib=16384, password_passes=2, connections_per_address=2000)
    user = server.join("calm@example.com")
    answers: list[int] = []
    done = threading.Event()

    def guess(number: int) -> None:
        if done.is_set():
            return
        body = {"email": f"guess-{number % 50}@example.com", "password": "wrong"}
        answers.append(server.post("/api/login", body).status_code)

    with ThreadPoolExecutor(60) as pool:
        for number in range(1000):
            pool.submit(guess, number)
        while len(answers) < 20:
            time.sleep(0.05)
        overtaken = []
        for _ in range(20):
            before = len(answers)
            assert user.get("/api/pipelines").status_code == 200
            overtaken.append(len(answers) - before)
        busy = len(answers)
        done.set()

    assert busy < 1000, "the log-ins were over before the others asked"
    assert set(answers) <= {401, 503}
    # Behind the hashes in one queue, each would wait for sixty of them; counted, not timed.
    assert sorted(overtaken)[len(overtaken) // 2] < 30, overtaken


def test_a_wrong_password_and_an_unknown_address_take_the_same_time(
    serve: Callable[..., Server],
) -> None:
    server = serve(password_memory_kib=32768)
    user = server.join("known@example.com")

    def seconds(email: str) -> float:
        began = time.monotonic()
        server.post("/api/login", {"email": email, "password": "wrong"})
        return time.monotonic() - began

    # In turns, so that what disturbs the machine disturbs both.
    times = [(seconds(user.email), seconds("unknown@example.com")) for _ in range(10)]
    known, unknown = map(min, zip(*times, strict=True))

    assert 0.4 < known / unknown < 2.5


def test_no_log_holds_a_password_a_token_a_hash_or_an_address(
    serve: Callable[..., Server], hubspot: Simulator
) -> None:
    server = serve()
    user = server.join("private.person@example.com", firstname="Verysecretname", phone="0711424242")
    ticket_words = "Nobody should read this"
    user.ticket(user.deal(description=ticket_words), description=ticket_words)
    server.post("/api/login", {"email": user.email, "password": "Wrong-passw0rd"})
    server.post("/api/register", {**PERSON, "password": "weak-passw0rd"})
    server.get("/api/pipelines", user.token[:-4] + "AAAA")
    for fault in ("expired", "missing_scope", "reset"):
        hubspot.fail(fault, endpoint="list", times=1)
        user.get("/api/new-crm-objects")
    hubspot.fail("status", status=500, endpoint="batch_upsert")
    server.post("/api/register", {**PERSON, "email": "other.person@example.com"})
    hubspot.heal()
    server.post("/api/register", {**PERSON, "email": "third.person@example.con"})
    server.rows("alter table deal rename to hidden")
    assert user.post("/api/deals", {**DEAL, "description": ticket_words}).status_code == 500
    server.stop()

    log = server.log()
    ((hashed,),) = server.rows("select password_hash from user_account")
    assert '"request"' in log
    secrets = [
        PASSWORD, "Wrong-passw0rd", "weak-passw0rd", user.token, user.token.split(".")[2],
        user.token[:-4], hashed, "$argon2", HUBSPOT_TOKEN, str(server.settings["secret_keys"]),
        user.email, "other.person", "third.person", "Verysecretname", "0711424242", ticket_words,
        server.database_url,
    ]  # fmt: skip
    assert [each for each in secrets if each in log] == []
    assert not re.search(r"eyJ[A-Za-z0-9_-]{10,}", log)
    assert all(json.loads(line) for line in log.splitlines() if line)
