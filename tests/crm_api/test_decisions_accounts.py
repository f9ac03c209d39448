"""What was decided about accounts, tokens and limits; the numbers are the contract's."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from harness.crm_api import DEAL, HUBSPOT_TOKEN, PASSWORD, PERSON, made, with_key
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.crm_api import Server, User

SHOWN = {
    "id", "hs_object_id", "email", "firstname", "lastname", "phone", "createdate",
    "lastmodifieddate",
}  # fmt: skip
STRANGER = {"email": "known@example.com", "firstname": "Mallory", "lastname": "Mean",
            "password": PASSWORD, "phone": "0711999999"}  # fmt: skip


@pytest.mark.parametrize("policy", ["update", "fill", "refuse"])
def test_decision_01_a_contact_that_was_there_is_changed_filled_or_refused(
    serve: Callable[..., Server], policy: str
) -> None:
    portal = with_key(Portal(token=HUBSPOT_TOKEN))
    known = portal.create("contacts", {
        "email": STRANGER["email"], "firstname": "Grace", "jobtitle": "Admiral",
    })  # fmt: skip
    with Simulator([portal], latency_ms=0) as hubspot:
        server = serve(hubspot.url, existing_contacts=policy)
        answer = server.post("/api/register", STRANGER)

    there = portal.truth("contacts").live[known].properties
    if policy == "refuse":
        assert answer.json()["error"] == "User already exists"
        assert (there["firstname"], there["lastname"]) == ("Grace", None)
        assert server.rows("select count(*) from user_account") == [(0,)]
        return
    assert answer.status_code == 201
    assert answer.json()["data"]["contact"].keys() == SHOWN
    assert there["firstname"] == ("Mallory" if policy == "update" else "Grace")
    assert (there["lastname"], there["phone"]) == ("Mean", "0711999999")
    assert portal.ids("contacts") == [known]


def test_decision_02_an_open_directory_does_not_start_unless_it_is_meant(
    serve: Callable[..., Server],
) -> None:
    server = serve()

    refused = server.run("serve", CRM_API_ALLOW_OPEN_DIRECTORY="false")

    assert refused.returncode == 1
    assert "CRM_API_ALLOW_OPEN_DIRECTORY" in refused.stderr


def test_decision_02_own_contacts_are_all_that_a_user_sees(serve: Callable[..., Server]) -> None:
    server = serve(contacts="own", allow_open_directory="false")
    ada, bob = server.join("own-a@example.com"), server.join("own-b@example.com")
    deal_id = ada.deal()

    assert [each["id"] for each in ada.contacts()] == [ada.contact_id]
    assert [each["id"] for each in ada.contacts()[0]["deals"]] == [deal_id]
    assert [each["id"] for each in bob.contacts()] == [bob.contact_id]
    assert bob.contacts(f"cursor={int(bob.contact_id) + 1}") == []


def test_decision_02_closed_registration_is_not_found(serve: Callable[..., Server]) -> None:
    server = serve(registration="closed", allow_open_directory="false")

    assert server.post("/api/register", PERSON).status_code == 404


GOOD = ("Müller", "O'Brien", "李", "Nguyễn Thị", "Jean-Luc", "St. John", "Владимир")
BAD_NAMES = ("", "   ", "R2D2", "x" * 81, "a\x00b", "<b>", "\N{PILE OF POO}", "---")
BAD_PASSWORDS = ("Short1a", "alllower1", "ALLUPPER1", "NoDigitsHere", "aA1" * 50, "")


@pytest.mark.parametrize("password", BAD_PASSWORDS)
def test_decision_10_weak_passwords_are_refused(server: Server, password: str) -> None:
    answer = server.post("/api/register", {**PERSON, "email": "w@example.com",
                                           "password": password})  # fmt: skip

    assert (answer.status_code, list(answer.json()["details"])) == (400, ["password"])


def test_decision_10_the_address_is_no_password(server: Server) -> None:
    answer = server.post("/api/register", {**PERSON, "email": "aA1x@example.com",
                                           "password": "aA1x@example.com"})  # fmt: skip

    assert answer.json()["details"] == {"password": ["must not be the address"]}


def test_decision_10_log_in_tells_no_rule(server: Server) -> None:
    for password in ("x", "short"):
        answer = server.post("/api/login", {"email": "no@example.com", "password": password})
        assert (answer.status_code, answer.json()["error"]) == (401, "Invalid credentials")
    assert server.post("/api/login", {"email": "no@example.com", "password": ""}).status_code == 400


@pytest.mark.parametrize(("written", "kept"), [
    ("  MiXed.Case@EXAMPLE.com ", "mixed.case@example.com"),
    ("plus+tag@example.com", "plus+tag@example.com"),
    ("jo@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example.com", "jo@xn--bcher-kva.example.com"),
])  # fmt: skip
def test_decision_11_an_address_is_one_account(server: Server, written: str, kept: str) -> None:
    server.rows("delete from user_account where email = %s", kept)
    first = server.post("/api/register", {**PERSON, "email": written})
    again = server.post("/api/register", {**PERSON, "email": kept})

    assert first.status_code == 201, first.text
    assert first.json()["data"]["contact"]["email"] == kept
    assert again.json()["error"] == "User already exists"
    assert server.log_in(written.upper().strip())


@pytest.mark.parametrize("email", ["", "a", "a@b", "@example.com", "a b@example.com",
                                   f"{'a' * 65}@example.com", "a@example.com\n.de"])  # fmt: skip
def test_decision_11_no_address_is_refused(server: Server, email: str) -> None:
    answer = server.post("/api/register", {**PERSON, "email": email})

    assert (answer.status_code, list(answer.json()["details"])) == (400, ["email"])


def test_decision_12_names_are_letters_of_any_script(server: Server) -> None:
    for place, name in enumerate(GOOD):
        answer = server.post("/api/register", {**PERSON, "email": f"name-{place}@example.com",
                                               "lastname": name})  # fmt: skip
        assert answer.status_code == 201, answer.text
        assert answer.json()["data"]["contact"]["lastname"] == name
    for name in BAD_NAMES:
        answer = server.post("/api/register", {**PERSON, "lastname": name})
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["lastname"]), name


def test_decision_12_a_phone_is_kept_as_given(server: Server) -> None:
    given = "+49 (711) 12/34-5.6"
    answer = server.post("/api/register", {**PERSON, "email": "phone@example.com", "phone": given})
    assert answer.json()["data"]["contact"]["phone"] == given
    for phone in ("1234", "0" * 21, "call me", "\N{TELEPHONE RECEIVER}071100", "-----"):
        answer = server.post("/api/register", {**PERSON, "phone": phone})
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["phone"]), phone


def forged(user: User) -> list[str]:
    """Tokens that others made, or that are no longer good."""
    key = str(user.server.settings["secret_keys"])
    claims = jwt.decode(user.token, options={"verify_signature": False})
    header = jwt.get_unverified_header(user.token)
    # Without `alg`: where a header names it, PyJWT signs by that and not by what it is told.
    kid = {"kid": header["kid"]}

    def signed(
        payload: dict[str, Any], by: str = key, algorithm: str = "HS256", **more: Any
    ) -> str:
        return jwt.encode(payload, by, algorithm=algorithm, headers={**kid, **more})

    def plain(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    head, body, mark = user.token.split(".")
    return [
        "", "x", "a.b.c", user.token + "x", f"{head}.{body}.", f"{head}.{body}",
        f"{plain({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        f"{plain({'alg': 'None', 'kid': header['kid']})}.{body}.{mark}",
        f"{plain({**header, 'alg': 'RS256'})}.{body}.{mark}",
        f"{head}.{plain({**claims, 'sub': claims['sub'] + '0'})}.{mark}",
        signed(claims, by="k" * 40), signed(claims, kid="another"),
        signed(claims, algorithm="HS512"), signed({**claims, "exp": int(time.time()) - 60}),
        signed({**claims, "iat": int(time.time()) + 3600}), signed({**claims, "aud": "other"}),
        signed({**claims, "iss": "other"}), signed({**claims, "ver": claims["ver"] + 1}),
        signed({**claims, "sub": "999999999"}), signed({**claims, "sub": "1; drop table"}),
        *(signed({n: v for n, v in claims.items() if n != name}) for name in claims),
        "A" * 5000, signed(claims, kid=""), signed({**claims, "sub": str(2**70)}),
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:The HMAC key is 43 bytes")
def test_decision_13_only_our_own_unspent_tokens_are_good(user: User) -> None:
    assert user.get("/api/pipelines").status_code == 200

    for token in forged(user):
        answer = user.server.get("/api/pipelines", token)
        assert (answer.status_code, answer.json().get("error")) == (401, "Invalid token"), token
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for header in ("", "Bearer", f"Basic {user.token}", user.token):
        answer = user.server.ask("GET", "/api/pipelines", headers={"Authorization": header})
        assert answer.status_code == 401
    claims = jwt.decode(user.token, options={"verify_signature": False})
    assert claims.keys() == {"sub", "iss", "aud", "iat", "exp", "jti", "ver"}
    assert claims["exp"] - claims["iat"] == 24 * 3600


def test_decision_13_short_and_known_secrets_are_refused(serve: Callable[..., Server]) -> None:
    server = serve()
    for key in ("short", "a" * 64, "changeme-changeme-changeme-changeme-changeme", " , "):
        refused = server.run("serve", CRM_API_SECRET_KEYS=key)
        assert refused.returncode == 1
        assert "CRM_API_SECRET_KEYS" in refused.stderr
        assert key not in refused.stderr or not key.strip(" ,")


def test_decision_13_a_new_key_signs_and_the_old_one_still_verifies(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    user = server.join()
    fresh = server.run("secret").stdout.strip()
    server.settings["secret_keys"] = f"{fresh},{server.settings['secret_keys']}"
    server.start()

    assert user.get("/api/pipelines").status_code == 200
    renewed = server.log_in(user.email)
    kids = [jwt.get_unverified_header(each)["kid"] for each in (user.token, renewed)]
    assert kids[0] != kids[1]
    server.settings["secret_keys"] = fresh
    server.start()
    assert user.get("/api/pipelines").status_code == 401
    assert server.get("/api/pipelines", renewed).status_code == 200


def test_decision_14_one_per_minute_literally_in_one_bucket_for_all_servers(
    serve: Callable[..., Server],
) -> None:
    server = serve(rate_limit="1 per 1 minute")
    server.start()
    ada, bob = server.join("limit-a@example.com"), server.join("limit-b@example.com")

    first = ada.get("/api/pipelines", url=server.urls[0])
    second = ada.get("/api/pipelines", url=server.urls[1])

    assert first.status_code == 200
    assert first.headers["X-RateLimit-Limit"] == "1"
    assert first.headers["X-RateLimit-Remaining"] == "0"
    assert second.status_code == 429
    assert second.json()["error"] == "ratelimit exceeded 1 per 1 minute"
    assert 1 <= int(second.headers["Retry-After"]) <= 60
    # Each operation and each user has its own; what is refused is counted before it is read.
    assert ada.get("/api/new-crm-objects").status_code == 200
    assert bob.get("/api/pipelines").status_code == 200
    assert ada.post("/api/deals", "no object").status_code == 400
    assert ada.post("/api/deals", DEAL).status_code == 429


def test_decision_14_log_ins_are_counted_by_network_and_by_address(
    serve: Callable[..., Server],
) -> None:
    server = serve(login_rate_limit="5 per 1 minute")
    guess = {"email": "victim@example.com", "password": "wrong"}
    proxied = [{"X-Forwarded-For": f"203.0.113.{at}"} for at in range(7)]

    from_one = [server.post("/api/login", {**guess, "email": f"{at}@example.com"}).status_code
                for at in range(6)]  # fmt: skip
    at_one = [server.post("/api/login", guess, headers=each).status_code for each in proxied]

    assert from_one == [401] * 5 + [429]
    assert at_one == [401] * 5 + [429] * 2
    assert server.rows("select count(*) from bucket where caller ~ '@|example'") == [(0,)]


def test_decision_18_existing_accounts_are_told_and_unknown_addresses_are_not(
    server: Server, user: User
) -> None:
    told = server.post("/api/register", {**PERSON, "email": user.email})
    wrong = server.post("/api/login", {"email": user.email, "password": "wrong"})
    nobody = server.post("/api/login", {"email": "nobody@example.com", "password": "wrong"})

    assert (told.status_code, told.json()["error"]) == (400, "User already exists")
    strip = {"correlationId"}
    assert {n: v for n, v in wrong.json().items() if n not in strip} == {
        n: v for n, v in nobody.json().items() if n not in strip
    }


def test_decision_18_registering_twice_at_once_makes_one_user_and_one_contact(
    server: Server,
) -> None:
    person = {**PERSON, "email": "twice@example.com"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.post("/api/register", person), range(8)))

    assert sorted(each.status_code for each in answers) == [201] + [400] * 7
    assert len({each.json()["data"]["contact"]["id"] for each in answers if each.ok}) == 1


def test_decision_20_an_operator_lists_locks_resets_and_removes(server: Server, user: User) -> None:
    assert user.email in server.run("users", "list").stdout

    assert server.run("users", "lock", user.email.upper()).returncode == 0
    assert user.get("/api/pipelines").status_code == 401
    told = server.post("/api/login", {"email": user.email, "password": PASSWORD})
    assert told.json()["error"] == "Invalid credentials"

    assert server.run("users", "unlock", user.email).returncode == 0
    assert user.get("/api/pipelines").status_code == 401
    token = server.log_in(user.email)

    fresh = server.run("users", "reset", user.email).stdout.strip()
    assert server.get("/api/pipelines", token).status_code == 401
    token = server.log_in(user.email, fresh)

    assert server.run("users", "remove", user.email).returncode == 0
    assert server.get("/api/pipelines", token).status_code == 401
    assert server.run("users", "remove", user.email).returncode == 1
    assert server.join(user.email).contact_id == user.contact_id


def test_decision_20_a_new_registration_is_one_contact(hubspot: Simulator, user: User) -> None:
    assert made(hubspot, "contacts").count(user.contact_id) == 1
