"""Knows what the service itself asks HubSpot: does it answer, what has it, and how much of it.

Everything else is the tap's business.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import requests

from scan_service.errors import HubSpotError, InvalidRequestError
from scan_service.logs import logger, mask
from scan_service.moments import bounds
from scan_service.records.objects import DEALS, STANDARD, created_property, pipeline_properties

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from scan_service.records.objects import Part
    from scan_service.settings import Settings

_log = logger(__name__)
_SHOWN = 300
_REFUSALS = (requests.codes.unauthorized, requests.codes.forbidden)


async def is_reachable(settings: Settings) -> bool:
    """Tell whether HubSpot gives any HTTP answer; no token is needed for that."""

    def ask() -> bool:
        try:
            requests.get(settings.hubspot_base_url, timeout=(2, 3), allow_redirects=False)
        except requests.RequestException:
            return False
        return True

    return await asyncio.to_thread(ask)


async def count(
    settings: Settings, parts: Mapping[str, Part], headers: Mapping[str, str], *, path: str
) -> dict[str, int | None]:
    """Ask how much a scan will find: what cannot be read is refused before anything is written.

    Args:
        settings: where HubSpot is, and how long it may take for all answers together.
        parts: what is to be read, by object type.
        headers: with the token.
        path: where the request's body says it, to name what is wrong.

    Returns:
        The numbers by object type; None where HubSpot cannot tell now: the run will try again.

    Raises:
        HubSpotError: the token is wrong or lacks a scope.
        InvalidRequestError: the account has no such object type.
    """
    asking = _Asking(settings, dict(headers))
    found: dict[str, int | None] = dict.fromkeys(parts)
    try:
        async with asyncio.timeout(settings.hubspot_probe_seconds):
            names = await _names_in_paths(asking, list(parts), path)
            for name, part in parts.items():
                if asking.is_limited:
                    break  # what is left of the limit belongs to the run
                found[name] = await _count(asking, part, names[name])
    except TimeoutError:
        _log.info("hubspot did not answer the probe in time")
    return found


async def _count(asking: _Asking, part: Part, name: str) -> int | None:
    filters = search_filters(part)
    body: dict[str, Any] = {"limit": 1, "properties": ["hs_object_id"]}
    if filters:
        body["filterGroups"] = [{"filters": filters}]
    answer = await asking.post(f"{asking.objects}/{name}/search", body)
    if answer is None:
        return None
    if answer.status_code in _REFUSALS:
        scope = f"crm.objects.{part.name if part.name in STANDARD else 'custom'}.read"
        raise _refusal(answer, part.name, scope)
    # Search knows nothing about archived records, and some types have none.
    total = None if part.archived else _json(answer).get("total")
    return total if isinstance(total, int) else None


async def _names_in_paths(asking: _Asking, wanted: list[str], path: str) -> dict[str, str]:
    """Return what HubSpot's paths call these types: custom objects go by their ids."""
    names = {name: name for name in wanted}
    if set(wanted) <= set(STANDARD):
        return names
    answer = await asking.get(asking.schemas)
    if answer is None:
        return names
    if answer.status_code in _REFUSALS:
        raise _refusal(answer, "custom objects", "crm.schemas.custom.read")
    known = _names_of_types(_json(answer).get("results") or [])
    for place, name in enumerate(wanted):
        if name not in STANDARD:
            if answer.ok and name not in known:
                raise InvalidRequestError.field(
                    f"{path}.objects.{place}", "HubSpot has no object type of this name",
                    message="Invalid scan configuration",
                )  # fmt: skip
            names[name] = known.get(name, name)
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


class _Asking:
    """Requests with one token; an answer that does not come is None, and no error."""

    def __init__(self, settings: Settings, headers: dict[str, str]) -> None:
        version = settings.hubspot_api_version
        self.objects = "/crm/v3/objects" if version == "v3" else f"/crm/objects/{version}"
        self.schemas = f"/crm-object-schemas/{version}/schemas"
        self.is_limited = False
        self._settings = settings
        self._headers = headers

    async def get(self, path: str) -> requests.Response | None:
        return await asyncio.to_thread(self._ask, "GET", path, None)

    async def post(self, path: str, body: Mapping[str, Any]) -> requests.Response | None:
        return await asyncio.to_thread(self._ask, "POST", path, body)

    def _ask(self, method: str, path: str, body: Any) -> requests.Response | None:
        try:
            answer = requests.request(
                method,
                self._settings.hubspot_base_url + path,
                json=body,
                headers=self._headers,
                timeout=self._settings.hubspot_probe_seconds,
                allow_redirects=False,  # a redirect would carry the token elsewhere
            )
        except requests.RequestException as error:
            _log.info("hubspot did not answer the probe", reason=type(error).__name__)
            return None
        self.is_limited = answer.status_code == requests.codes.too_many_requests
        if not answer.ok:
            _log.info("hubspot did not answer the probe", status=answer.status_code)
        return answer


def search_filters(part: Part) -> list[dict[str, str]]:
    """Return the search filters that mean the same as the scan's."""
    pipeline, stage = pipeline_properties(part.name)
    created = created_property(part.name)
    found = []
    if part.pipeline:
        found.append(_filter(pipeline, "EQ", part.pipeline))
    if part.stage:
        found.append(_filter(stage, "EQ", part.stage))
    start, end = bounds(part.start, part.end)
    if start:
        found.append(_filter(created, "GTE", _epoch(start)))
    if end:
        found.append(_filter(created, "LT", _epoch(end)))
    return found


def _filter(name: str, operator: str, value: str) -> dict[str, str]:
    return {"propertyName": name, "operator": operator, "value": value}


def _epoch(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _refusal(response: requests.Response, what: str, scope: str) -> HubSpotError:
    body = _json(response)
    scopes: list[str] = []
    for error in body.get("errors") or []:
        context = error.get("context") if isinstance(error, dict) else None
        if isinstance(context, dict):
            scopes += context.get("requiredGranularScopes") or context.get("requiredScopes") or []
    said = "HubSpot authentication failed"
    if response.status_code == requests.codes.forbidden and what != DEALS:
        said = f"The HubSpot token may not read {what}"
    return HubSpotError(
        said,
        code="HUBSPOT_AUTH_ERROR",
        details={
            "hubspotStatus": response.status_code,
            "hubspotMessage": mask(str(body.get("message", "")))[:_SHOWN],
            "hubspotCorrelationId": str(body.get("correlationId", ""))[:_SHOWN],
            "requiredScopes": [str(scope) for scope in scopes[:20]] or [scope],
        },
    )
