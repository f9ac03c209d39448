"""Tokens: who may read what, expiry, refreshing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from hubspot_simulator import Portal, Simulator

    from .conftest import Api

DEALS = "/crm/v3/objects/deals"


@pytest.mark.parametrize("authorization", ["", "Bearer nobody", "Basic pat-na1-test"])
def test_unknown_tokens_are_refused(hubspot: Simulator, authorization: str) -> None:
    headers = {"Authorization": authorization}

    answer = requests.get(hubspot.url + DEALS, headers=headers, timeout=10)

    assert answer.status_code == 401
    assert answer.json()["category"] == "INVALID_AUTHENTICATION"


def test_a_missing_scope_is_named(api: Api, portal: Portal) -> None:
    portal.add_token("contacts-only", scopes=["crm.objects.contacts.read"])
    headers = {"Authorization": "Bearer contacts-only"}

    answers = {
        path: api.session.get(api.url + path, headers=headers, timeout=10)
        for path in (
            DEALS,
            "/crm/v3/objects/contacts",
            "/crm/v3/owners",
            "/crm/v3/properties/deals",
        )
    }

    assert {path: each.status_code for path, each in answers.items()} == {
        DEALS: 403,
        "/crm/v3/objects/contacts": 200,
        "/crm/v3/owners": 403,
        "/crm/v3/properties/deals": 403,
    }
    refused = answers[DEALS].json()
    assert refused["category"] == "MISSING_SCOPES"
    scopes = refused["errors"][0]["context"]["requiredGranularScopes"]
    assert scopes == ["crm.objects.deals.read"]


def test_each_token_reads_its_own_portal(hubspot: Simulator, api: Api, portal: Portal) -> None:
    portal.add_token("second-token")
    headers = {"Authorization": "Bearer second-token"}

    answer = api.session.get(hubspot.url + "/account-info/v3/details", headers=headers, timeout=10)

    assert answer.json()["portalId"] == portal.portal_id
    assert len({each.authorization for each in hubspot.requests.all()}) == 1


@pytest.mark.parametrize("version", ["v1", "v3", "2026-03", "2026-09"])
def test_a_refresh_token_buys_an_access_token(
    hubspot: Simulator, api: Api, portal: Portal, version: str
) -> None:
    portal.add_oauth_client("app", "secret", "refresh", expires_in=100)
    form = {
        "grant_type": "refresh_token",
        "client_id": "app",
        "client_secret": "secret",
        "refresh_token": "refresh",
    }

    token = requests.post(f"{hubspot.url}/oauth/{version}/token", data=form, timeout=10).json()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    fresh = api.session.get(api.url + DEALS, headers=headers, timeout=10)
    hubspot.advance(101)
    expired = api.session.get(api.url + DEALS, headers=headers, timeout=10)

    assert (token["expires_in"], token["hub_id"]) == (100, portal.portal_id)
    assert token["refresh_token"] == "refresh"
    assert fresh.status_code == 200
    assert "X-HubSpot-RateLimit-Daily" not in fresh.headers
    assert expired.status_code == 401
    assert expired.json()["category"] == "EXPIRED_AUTHENTICATION"
    assert hubspot.requests.count(endpoint="oauth") == 1


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"refresh_token": "other"}, "BAD_REFRESH_TOKEN"),
        ({"client_id": "other"}, "BAD_CLIENT_ID"),
        ({"client_secret": "other"}, "BAD_CLIENT_SECRET"),
    ],
)
def test_wrong_oauth_settings_are_told_apart(
    hubspot: Simulator, portal: Portal, wrong: dict[str, str], status: str
) -> None:
    portal.add_oauth_client("app", "secret", "refresh")
    form = {
        "grant_type": "refresh_token",
        "client_id": "app",
        "client_secret": "secret",
        "refresh_token": "refresh",
        **wrong,
    }

    answer = requests.post(f"{hubspot.url}/oauth/2026-09/token", data=form, timeout=10)

    assert answer.status_code == 400
    assert answer.json()["status"] == status


def test_a_token_tells_its_scopes(api: Api, portal: Portal) -> None:
    portal.add_token("narrow", scopes=["tickets"])
    path = "/oauth/v2/private-apps/get/access-token-info"

    info = api.post(path, {"tokenKey": "narrow"}).json()

    assert info["hubId"] == portal.portal_id
    assert info["scopes"] == ["tickets"]
    assert api.post(path, {"tokenKey": "nobody"}).status_code == 404
