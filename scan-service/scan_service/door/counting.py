"""Knows how much an account has of what a scan is to read, and what is refused before it starts."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from hubspot_client.errors import AuthenticationError, MissingScopeError, RateLimitedError
from hubspot_client.errors import HubSpotError as Failure
from hubspot_client.object_types import HS_PIPELINE
from service_base.logs import mask

from scan_service.errors import HubSpotError, InvalidRequestError
from scan_service.moments import bounds
from scan_service.records.objects import DEALS, STANDARD, type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from hubspot_client.client import Client

    from scan_service.records.objects import Part

_log = logging.getLogger(__name__)
_SHOWN = 300


def prove(client: Client) -> None:
    """Ask for the account itself.

    Raises:
        HubSpotError: the token is wrong.
    """
    with contextlib.suppress(RateLimitedError):
        _asked(
            lambda: client.get(
                client.paths.account(), family="list", what="account (probe)", shape=dict
            ),
            "the account", "oauth",
        )  # fmt: skip


def count_all(
    client: Client, parts: Mapping[str, Part], path: str, found: dict[str, int | None]
) -> None:
    """Count what is to be read.

    Args:
        client: of the account.
        parts: what is to be read, by object type.
        path: where the request's body says it, to name what is wrong.
        found: gets the numbers, one after the other: there may be no time for all.

    Raises:
        HubSpotError: the token is wrong or lacks a scope.
        InvalidRequestError: the account has no such object type.
    """
    names = _names_in_paths(client, list(parts), path)
    for name, part in parts.items():
        try:
            found[name] = _count(client, part, names[name])
        except RateLimitedError:
            break  # what is left of the limit belongs to the run


def _count(client: Client, part: Part, name: str) -> int | None:
    filters = search_filters(part)
    body: dict[str, Any] = {"limit": 1, "properties": ["hs_object_id"]}
    if filters:
        body["filterGroups"] = [{"filters": filters}]
    scope = f"crm.objects.{part.name if part.name in STANDARD else 'custom'}.read"
    answer = _asked(
        lambda: client.post(
            client.paths.search(name), body, family="search", what=f"{part.name} (probe)",
            shape=dict,
        ),
        part.name, scope,
    )  # fmt: skip
    # Search knows nothing about archived records, and some types have none.
    total = None if answer is None or part.archived else answer.get("total")
    return total if isinstance(total, int) else None


def _names_in_paths(client: Client, wanted: list[str], path: str) -> dict[str, str]:
    """Return what HubSpot's paths call these types: custom objects go by their ids."""
    names = {name: name for name in wanted}
    if set(wanted) <= set(STANDARD):
        return names
    answer = _asked(
        lambda: client.get(
            client.paths.schemas(), family="list", what="custom objects (probe)", shape=dict
        ),
        "custom objects", "crm.schemas.custom.read",
    )  # fmt: skip
    if answer is None:
        return names
    known = _names_of_types(answer.get("results") or [])
    for place, name in enumerate(wanted):
        if name not in STANDARD:
            if name not in known:
                raise InvalidRequestError.field(
                    f"{path}.objects.{place}", "HubSpot has no object type of this name",
                    message="Invalid scan configuration",
                )  # fmt: skip
            names[name] = known[name]
    return names


def _names_of_types(schemas: list[Any]) -> dict[str, str]:
    """Return the ids of custom objects by each of the names that the tap knows them under."""
    found = {}
    for schema in schemas:
        if isinstance(schema, dict) and "name" in schema and "objectTypeId" in schema:
            type_id, name = str(schema["objectTypeId"]), str(schema["name"])
            for each in (name, f"p_{name}", str(schema.get("fullyQualifiedName")), type_id):
                found[each] = type_id
    return found


def _asked(ask: Callable[[], dict[str, Any]], what: str, scope: str) -> dict[str, Any] | None:
    """Ask once; an answer that does not come is None, and no error.

    Raises:
        HubSpotError: the token is wrong or lacks a scope.
        RateLimitedError: HubSpot has enough for now.
    """
    try:
        return ask()
    except (AuthenticationError, MissingScopeError) as failure:
        raise refusal(failure, what, scope) from None
    except RateLimitedError:
        raise
    except Failure as failure:
        _log.info("hubspot did not answer the probe: %s", failure)
        return None


def search_filters(part: Part) -> list[dict[str, str]]:
    """Return the search filters that mean the same as the scan's."""
    kind = type_of(part.name)
    pipeline, stage = kind.pipeline or HS_PIPELINE
    found = []
    if part.pipeline:
        found.append(_filter(pipeline, "EQ", part.pipeline))
    if part.stage:
        found.append(_filter(stage, "EQ", part.stage))
    start, end = bounds(part.start, part.end)
    if start:
        found.append(_filter(kind.created, "GTE", _epoch(start)))
    if end:
        found.append(_filter(kind.created, "LT", _epoch(end)))
    return found


def _filter(name: str, operator: str, value: str) -> dict[str, str]:
    return {"propertyName": name, "operator": operator, "value": value}


def _epoch(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))


def refusal(failure: Failure, what: str, scope: str) -> HubSpotError:
    """Return what a client is told of a token that HubSpot does not take.

    Args:
        failure: as HubSpot said it.
        what: could not be read.
        scope: would let it, where HubSpot names none.
    """
    body = failure.body
    said = "HubSpot authentication failed"
    if isinstance(failure, MissingScopeError) and what != DEALS:
        said = f"The HubSpot token may not read {what}"
    return HubSpotError(
        said,
        code="HUBSPOT_AUTH_ERROR",
        details={
            "hubspotStatus": failure.status,
            "hubspotMessage": mask(body.message)[:_SHOWN],
            "hubspotCorrelationId": (body.correlation_id or "")[:_SHOWN],
            "requiredScopes": body.required_scopes()[:20] or [scope],
        },
    )
