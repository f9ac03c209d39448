"""Tokens over HTTP: a user's yes, refreshing, ending, and asking what they may do."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from hubspot_simulator.credentials import OAuthClient, bad_code, bad_refresh_token
from hubspot_simulator.errors import ApiError, invalid
from hubspot_simulator.object_types import STANDARD_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hubspot_simulator.portal import Portal

ALL_SCOPES = tuple(
    dict.fromkeys((*(scope for each in STANDARD_TYPES for scope in each.schema_scopes), "oauth"))
)


def refresh(portals: Sequence[Portal], raw_body: bytes) -> dict[str, Any]:
    """Trade a refresh token, or the code of a user's yes, for an access token."""
    form = _form(raw_body)
    if form.get("grant_type") == "authorization_code":
        return _redeem(portals, form)
    if form.get("grant_type") != "refresh_token":
        raise invalid("grant_type must be refresh_token or authorization_code")
    for portal in portals:
        for client in portal.oauth_clients:
            if client.refresh_token == form.get("refresh_token"):
                client.check(form)
                return _issue(portal, client)
    raise bad_refresh_token()


def _form(raw_body: bytes) -> dict[str, str]:
    return dict(parse_qsl(raw_body.decode("utf-8", "replace")))


def _redeem(portals: Sequence[Portal], form: dict[str, str]) -> dict[str, Any]:
    for portal in portals:
        for client in portal.oauth_clients:
            if form.get("code") in client.codes:
                client.take_code(form)
                client.revoked = False
                return _issue(portal, client)
    raise bad_code()


def authorize(portals: Sequence[Portal], query: Mapping[str, str]) -> str:
    """Say yes at once, as a user of the first portal with the app; return where he goes next."""
    for portal in portals:
        for client in portal.oauth_clients:
            if client.client_id == query.get("client_id"):
                code = uuid.uuid4().hex
                place = query.get("redirect_uri", "")
                client.codes[code] = (place, query.get("code_challenge", ""))
                return f"{place}?" + urlencode({"code": code, "state": query.get("state", "")})
    raise invalid("missing or unknown client id")


def revoke(portals: Sequence[Portal], raw_body: bytes) -> dict[str, Any]:
    """End a refresh token."""
    form = _form(raw_body)
    for portal in portals:
        for client in portal.oauth_clients:
            if client.refresh_token == form.get("token"):
                client.check_app(form)
                client.revoked = True
                return {}
    raise bad_refresh_token()


def _issue(portal: Portal, client: OAuthClient) -> dict[str, Any]:
    client.issued += 1
    token = f"oauth-{portal.portal_id}-{client.issued}-{uuid.uuid4().hex}"
    portal.add_token(
        token,
        scopes=client.scopes,
        app=client.client_id,
        expires_in=client.expires_in,
        oauth=True,
    )
    return {
        "token_type": "bearer",
        "token_use": "access_token",
        "access_token": token,
        "refresh_token": client.refresh_token,
        "expires_in": client.expires_in,
        "hub_id": portal.portal_id,
        "user_id": 1001,
        "scopes": sorted(client.scopes or ALL_SCOPES),
    }


def token_info(portals: Sequence[Portal], raw_body: bytes) -> dict[str, Any]:
    """Tell what a private app's token or a service key may do."""
    try:
        key = msgspec.json.decode(raw_body, type=dict[str, str])["tokenKey"]
    except (msgspec.DecodeError, KeyError):
        raise invalid("Invalid input JSON: some required fields were not set: [tokenKey]") from None
    for portal in portals:
        credential = portal.credentials.get(key)
        if credential is not None:
            return {
                "userId": 1001,
                "hubId": portal.portal_id,
                "appId": 1,
                "scopes": sorted(credential.scopes or ALL_SCOPES),
            }
    raise ApiError(404, "resource not found")
