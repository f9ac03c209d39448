"""Tokens over HTTP: refreshing them and asking what they may do."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from hubspot_simulator.credentials import OAuthClient, bad_refresh_token
from hubspot_simulator.errors import ApiError, invalid
from hubspot_simulator.object_types import STANDARD_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubspot_simulator.portal import Portal

ALL_SCOPES = tuple(
    dict.fromkeys((*(scope for each in STANDARD_TYPES for scope in each.schema_scopes), "oauth"))
)


def refresh(portals: Sequence[Portal], raw_body: bytes) -> dict[str, Any]:
    """Trade a refresh token for an access token."""
    form = dict(parse_qsl(raw_body.decode("utf-8", "replace")))
    if form.get("grant_type") != "refresh_token":
        raise invalid("grant_type must be refresh_token: the simulator has no browser")
    for portal in portals:
        for client in portal.oauth_clients:
            if client.refresh_token == form.get("refresh_token"):
                client.check(form)
                return _issue(portal, client)
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
