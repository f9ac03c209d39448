"""Knows what an account has, as forms need it: its object types, their properties and pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubspot_client.errors import AuthenticationError, MissingScopeError, RateLimitedError
from hubspot_client.errors import HubSpotError as Failure

from scan_service.records.objects import PIPELINED, STANDARD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hubspot_client.client import Client

_MOST = 20


def custom_types(client: Client) -> list[Mapping[str, Any]]:
    """Return the account's own object types, as HubSpot describes them; none it may not see."""
    answer = _asked(client, client.paths.schemas(), "custom objects")
    return [each for each in answer if "name" in each and "objectTypeId" in each]


def describe(client: Client, names: Sequence[str]) -> dict[str, Any]:
    """Return what the account has.

    Args:
        client: of the account.
        names: the types whose properties and pipelines are wanted; of the first twenty.

    Raises:
        AuthenticationError: the token is wrong.
    """
    own = custom_types(client)
    paths = {str(each["name"]): str(each["objectTypeId"]) for each in own}
    known = [*STANDARD, *paths]
    return {
        "types": known,
        "objects": {
            name: _described(client, name, paths.get(name, name))
            for name in list(dict.fromkeys(names))[:_MOST]
            if name in known
        },
    }


def _described(client: Client, name: str, path: str) -> dict[str, Any]:
    properties = _asked(client, client.paths.properties(path), f"properties of {name}")
    pipelines: list[Mapping[str, Any]] = []
    if name in PIPELINED:
        pipelines = _asked(client, client.paths.pipelines(path), f"pipelines of {name}")
    return {
        "properties": [
            {
                "name": each["name"],
                "label": str(each.get("label") or each["name"]),
                "type": str(each.get("type") or ""),
                "custom": not each.get("hubspotDefined", False),
            }
            for each in properties
            if isinstance(each.get("name"), str)
        ],
        "pipelines": [
            {**_named(each), "stages": [_named(stage) for stage in each.get("stages") or ()]}
            for each in pipelines
        ],
    }


def _named(thing: Mapping[str, Any]) -> dict[str, str]:
    return {"id": str(thing.get("id")), "label": str(thing.get("label") or thing.get("id"))}


def _asked(client: Client, path: str, what: str) -> list[Mapping[str, Any]]:
    """Return a list of HubSpot's; what the token may not see, or is not answered, is empty."""
    try:
        answer = client.get(path, family="list", what=f"{what} (form)", shape=dict)
    except (AuthenticationError, RateLimitedError):
        raise
    except (MissingScopeError, Failure):
        return []
    return [each for each in answer.get("results") or () if isinstance(each, dict)]
