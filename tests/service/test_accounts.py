"""HubSpot accounts that are connected once: by a token, or by a user's yes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from hubspot_simulator import Portal, Simulator
from pydantic import SecretStr
from scan_service.door.app import create_app
from service.kit import TENANT, TOKEN, Client, Ledger, order
from service.processes import Deaf, Installation, free_port, wait_for
from service.test_schedules import fire, schedule
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hubspot_simulator.credentials import OAuthClient
    from scan_service.settings import Settings

SECRET, REFRESH = "app-secret-5c1d", "refresh-77aa"


@pytest.fixture(scope="module")
def installed(portal: Portal) -> OAuthClient:
    """Our app, at HubSpot."""
    return portal.add_oauth_client("our-app", SECRET, REFRESH)


@pytest.fixture(scope="module")
def app_http(
    settings: Settings, hubspot: Simulator, installed: OAuthClient
) -> Iterator[TestClient]:
    """A service with an app at HubSpot."""
    known = {
        "hubspot_client_id": installed.client_id,
        "hubspot_client_secret": SecretStr(SECRET),
        "hubspot_authorize_url": f"{hubspot.url}/oauth/authorize",
        "public_url": "https://scans.example.com",
    }
    with TestClient(
        create_app(settings.model_copy(update=known)), raise_server_exceptions=False
    ) as http:
        yield http


@pytest.fixture
def ours(app_http: TestClient, ledger: Ledger) -> Client:
    return Client(app_http, ledger.key())


def connect(client: Client, name: str = "main", **more: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/connections", json={"connection": {"connectionId": name, **more}})
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def say_yes(url: str) -> str:
    """What a user's browser does; where HubSpot sends it back to, without the host."""
    answer = requests.get(url, allow_redirects=False, timeout=10)
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"].removeprefix("https://scans.example.com")


def state(client: Client, name: str = "main") -> str:
    found = client.get("/api/v1/connections").json()["data"]["connections"]
    return {each["connectionId"]: str(each["status"]) for each in found}[name]


def test_a_token_is_connected_once_and_named_afterwards(client: Client, ledger: Ledger) -> None:
    assert connect(client, accessToken=TOKEN)["status"] == "connected"

    started = client.post("/api/v1/scan/start", json=order(auth={"connection": "main"}))

    assert started.status_code == 202, started.text
    config = client.get("/api/v1/scan/status/scan-1").json()["data"]["config"]
    assert config["connection"] == "main"
    assert TOKEN not in client.get("/api/v1/connections").text
    assert ledger.run("select token is not null from scan") == [(True,)]


def test_a_wrong_token_is_refused_before_it_is_kept(client: Client, ledger: Ledger) -> None:
    body = {"connection": {"connectionId": "main", "accessToken": "pat-na1-nobody-has-this"}}

    assert client.post("/api/v1/connections", json=body).status_code == 502
    assert ledger.run("select count(*) from connection") == [(0,)]


@pytest.mark.parametrize(
    ("auth", "field"),
    [
        ({"connection": "none"}, "config.auth.connection"),
        ({"connection": "main", "accessToken": TOKEN}, "config.auth.accessToken"),
        ({}, "config.auth.accessToken"),
        ({"connection": None}, "config.auth.accessToken"),
        ({"connection": "a b"}, "config.auth.connection"),
    ],
)
def test_an_account_is_named_in_one_way(auth: dict[str, Any], field: str, client: Client) -> None:
    connect(client, accessToken=TOKEN)

    refused = client.post("/api/v1/scan/start", json=order(auth=auth))

    assert refused.status_code == 400
    assert [each["field"] for each in refused.json()["error"]["details"]] == [field]


def test_a_user_lets_us_in_once_and_nothing_secret_is_shown(
    ours: Client, app_http: TestClient, ledger: Ledger
) -> None:
    data = connect(ours, scopes=["crm.objects.deals.read", "oauth"])
    asked = parse_qs(urlsplit(data["authorizeUrl"]).query)
    before = state(ours)
    early = ours.post("/api/v1/scan/start", json=order(auth={"connection": "main"}))

    back = say_yes(data["authorizeUrl"])
    came = app_http.get(back)
    again = app_http.get(back)

    noted = ours.get("/api/v1/audit").json()["data"]["entries"]
    came_back = [each for each in noted if each["operation"] == "GET /api/v1/connections/callback"]
    (made,) = (each for each in noted if each["operation"] == "POST /api/v1/connections")
    assert [(each["subject"], each["status"]) for each in came_back] == [("main", 200)]
    assert came_back[0]["keyId"] == made["keyId"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["scope"] == ["crm.objects.deals.read oauth"]
    assert (before, state(ours)) == ("pending", "connected")
    assert early.status_code == 400
    assert (came.status_code, again.status_code) == (200, 400)
    assert came.headers["Content-Security-Policy"] == "default-src 'none'"
    assert (
        ours.post("/api/v1/scan/start", json=order(auth={"connection": "main"})).status_code == 202
    )
    shown = came.text + ours.get("/api/v1/connections").text + str(data)
    kept = str(ledger.run("select connection::text, scan.config::text from connection, scan"))
    for secret in (SECRET, REFRESH):
        assert secret not in shown + kept


def test_a_stolen_code_is_worth_nothing_without_what_was_kept_here(
    ours: Client, app_http: TestClient, ledger: Ledger
) -> None:
    mine = connect(ours, "mine")
    theirs = connect(Client(app_http, ledger.key("stranger")), "theirs")
    code = parse_qs(urlsplit(say_yes(theirs["authorizeUrl"])).query)["code"][0]
    own = parse_qs(urlsplit(mine["authorizeUrl"]).query)["state"][0]

    swapped = app_http.get(f"/api/v1/connections/callback?state={own}&code={code}")

    assert swapped.status_code == 502
    assert state(ours, "mine") == "pending"


@pytest.mark.parametrize("query", ["", "?state=x", "?state=x&code=y", "?state=%00&code=%00"])
def test_whoever_was_not_sent_cannot_come_back(query: str, app_http: TestClient) -> None:
    assert app_http.get(f"/api/v1/connections/callback{query}").status_code == 400


def test_whoever_guesses_is_let_wait_without_the_database(
    client: Client, settings: Settings
) -> None:
    with TestClient(create_app(settings)) as http:
        codes = [
            http.get(f"/api/v1/connections/callback?state={number}").status_code
            for number in range(200)
        ]
        by_key = [
            http.get("/api/v1/stats", headers={"Authorization": f"Bearer {key}"}).status_code
            for key in ("sk_live_none", client.key)
        ]

    assert codes[0] == 400
    assert codes[-1] == 429
    assert by_key == [429, 429], "a key that was never good here waits too"


def test_tokens_are_ended_in_the_tenants_own_turns(
    ours: Client, app_http: TestClient, settings: Settings, ledger: Ledger
) -> None:
    app_http.get(say_yes(connect(ours)["authorizeUrl"]))
    ledger.run(
        "insert into connection (tenant_id, connection_id, kind, secret)"
        " select tenant_id, 'more-' || n, kind, secret from connection, generate_series(2, 40) as n"
    )
    silent = Deaf()
    away = settings.model_copy(update={"hubspot_base_url": silent.url, "hubspot_probe_seconds": 1})
    try:
        with TestClient(create_app(away)) as http, ThreadPoolExecutor(39) as pool:
            asking = Client(http, ours.key)
            done = [
                pool.submit(asking.delete, f"/api/v1/connections/more-{number}")
                for number in range(2, 41)
            ]
            # All but those who have their turn are told that HubSpot has not ended the token.
            wait_for(lambda: sum(each.done() for each in done) >= len(done) - 4)
            wait_for(lambda: silent.asked >= 4)
            asked = silent.asked
            silent.close()
            answers = [each.result() for each in done]
    finally:
        silent.close()

    assert asked == 4
    assert {each.status_code for each in answers} == {200}
    assert {each.json()["data"]["revoked"] for each in answers} == {False}


def test_a_link_ends_and_a_no_connects_nothing(
    ours: Client, app_http: TestClient, ledger: Ledger
) -> None:
    late = say_yes(connect(ours, "late")["authorizeUrl"])
    ledger.run("update connection set asked_until = now() where connection_id = 'late'")
    refused = parse_qs(urlsplit(connect(ours, "refused")["authorizeUrl"]).query)["state"][0]

    assert app_http.get(late).status_code == 400
    no = app_http.get(f"/api/v1/connections/callback?state={refused}&error=access_denied")
    assert no.status_code == 400
    assert {state(ours, "late"), state(ours, "refused")} == {"pending"}


def test_a_removed_connection_is_ended_at_hubspot(
    ours: Client, app_http: TestClient, installed: OAuthClient
) -> None:
    app_http.get(say_yes(connect(ours)["authorizeUrl"]))
    assert not installed.revoked

    removed = ours.delete("/api/v1/connections/main")

    assert (removed.status_code, removed.json()["data"]["revoked"]) == (200, True)
    assert installed.revoked
    assert ours.delete("/api/v1/connections/main").status_code == 404


def test_a_connection_goes_though_the_service_has_no_app_any_more(
    ours: Client, http: TestClient, app_http: TestClient, installed: OAuthClient
) -> None:
    app_http.get(say_yes(connect(ours)["authorizeUrl"]))
    installed.revoked = False

    removed = Client(http, ours.key).delete("/api/v1/connections/main")

    assert (removed.status_code, removed.json()["data"]["revoked"]) == (200, True)
    assert installed.revoked, "by the app that was let in"


@pytest.mark.parametrize("trouble", ["away", "other secret", "no key"])
def test_a_connection_goes_though_hubspot_does_not_end_its_token(
    trouble: str, ours: Client, app_http: TestClient, hubspot: Simulator, installed: OAuthClient,
    ledger: Ledger,
) -> None:  # fmt: skip
    app_http.get(say_yes(connect(ours)["authorizeUrl"]))
    installed.revoked = False
    if trouble == "no key":
        ledger.run("update connection set secret = 'sealed with a key that is gone'")
    if trouble == "other secret":
        installed.client_secret = "another one"
    if trouble == "away":
        hubspot.fail("status", status=502, endpoint="oauth")
    try:
        removed = ours.delete("/api/v1/connections/main")
    finally:
        hubspot.heal()
        installed.client_secret = SECRET

    assert removed.status_code == 200, removed.text
    assert removed.json()["data"]["revoked"] is False
    assert "has not ended its token" in removed.json()["message"]
    assert not installed.revoked
    assert ours.get("/api/v1/connections").json()["data"]["connections"] == []


def test_what_never_had_an_apps_token_has_nothing_to_end(client: Client, ours: Client) -> None:
    connect(client, "pasted", accessToken=TOKEN)
    connect(ours, "waits")

    for name in ("pasted", "waits"):
        assert client.delete(f"/api/v1/connections/{name}").json()["data"]["revoked"] is None


def test_a_tenant_cannot_name_anothers_connection(
    http: TestClient, client: Client, ledger: Ledger
) -> None:
    connect(client, accessToken=TOKEN)
    stranger = Client(http, ledger.key("stranger"))

    body = order(tenant="stranger", auth={"connection": "main"})
    assert stranger.post("/api/v1/scan/start", json=body).status_code == 400
    assert stranger.delete("/api/v1/connections/main").status_code == 404


def test_a_service_without_an_app_asks_for_tokens(client: Client) -> None:
    body = {"connection": {"connectionId": "main"}}

    refused = client.post("/api/v1/connections", json=body)

    assert refused.status_code == 400
    assert refused.json()["error"]["details"][0]["field"] == "connection.accessToken"


def test_a_schedule_uses_the_connection_as_it_is_at_its_time(
    client: Client, ledger: Ledger, settings: Settings
) -> None:
    connect(client, accessToken=TOKEN)
    made = client.post("/api/v1/schedules", json=schedule(auth={"connection": "main"}))
    client.delete("/api/v1/connections/main")
    connect(client, accessToken=TOKEN)
    ledger.run("update schedule set next_run_at = now()")

    assert made.status_code == 201
    assert ledger.run("select token from schedule") == [(None,)]
    assert fire(settings) == 1


@pytest.mark.parametrize("gone", ["removed", "its link has ended"])
def test_a_schedule_whose_account_is_gone_rests_and_tells(
    gone: str, client: Client, ours: Client, ledger: Ledger, settings: Settings
) -> None:
    connect(client, accessToken=TOKEN)
    client.post("/api/v1/schedules", json=schedule(auth={"connection": "main"}))
    client.post(
        "/api/v1/webhooks", json={"webhook": {"webhookId": "w", "url": "https://a.example"}}
    )
    client.delete("/api/v1/connections/main")
    if gone != "removed":
        connect(ours)
        ledger.run("update schedule set next_run_at = now()")
        assert fire(settings) == 0
        assert ledger.run("select paused_at from schedule") == [(None,)], "he may still say yes"
        ledger.run("update connection set asked_until = now()")
    for _ in range(2):
        ledger.run("update schedule set next_run_at = now()")
        assert fire(settings) == 0
    (shown,) = client.get("/api/v1/schedules").json()["data"]["schedules"]
    told = ledger.run("select data - 'pausedAt' from delivery where event = 'schedule.paused'")
    at_once = client.post("/api/v1/schedules/nightly/run")

    client.delete("/api/v1/connections/main")
    connect(client, accessToken=TOKEN)
    resumed = client.patch("/api/v1/schedules/nightly", json={"schedule": {"paused": False}})
    ledger.run("update schedule set next_run_at = now()")

    reason = (
        "There is no connection main"
        if gone == "removed"
        else "The connection main is not connected"
    )
    assert (shown["lastError"], shown["pausedAt"] is None) == (reason, False)
    assert told == [({
        "tenantId": TENANT, "organizationId": None, "scheduleId": "nightly",
        "code": "NOT_FOUND", "error": reason,
    },)]  # fmt: skip
    assert at_once.status_code == 409
    assert resumed.json()["data"]["lastError"] is None
    assert fire(settings) == 1


def test_a_connections_token_is_renewed_in_mid_scan_and_never_shown(
    postgres_server: str, tmp_path: Path
) -> None:
    portal = Portal.generate(600, seed=3, token=TOKEN)
    installed = portal.add_oauth_client("our-app", SECRET, REFRESH, expires_in=2)
    port = free_port()
    with Simulator([portal], latency_ms=300) as hubspot:
        service = Installation.fresh(
            postgres_server, tmp_path, hubspot.url,
            hubspot_client_id=installed.client_id, hubspot_client_secret=SECRET,
            hubspot_authorize_url=f"{hubspot.url}/oauth/authorize",
            public_url=f"http://127.0.0.1:{port}",
        )  # fmt: skip
        try:
            service.serve()
            service.work()
            body = {"connection": {"connectionId": "main"}}
            made = service.ask("POST", "/api/v1/connections", json=body).json()["data"]
            back = say_yes(made["authorizeUrl"]).removeprefix(f"http://127.0.0.1:{port}")
            assert requests.get(service.url + back, timeout=20).status_code == 200
            issued = installed.issued
            service.start("long", auth={"connection": "main"}, batchSize=20)
            ended = service.finished("long")
            shown = (
                service.logs() + str(ended) + str(service.ledger.run("select scan::text from scan"))
            )
        finally:
            service.stop()

    assert ended["status"] == "completed", ended["errors"]
    assert ended["progress"]["processedItems"] == len(portal.ids("deals"))
    assert installed.issued > issued + 2
    assert SECRET not in shown
    assert REFRESH not in shown
    assert "oauth-" not in shown
    assert TENANT in shown
