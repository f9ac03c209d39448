"""Knows the two questions that the service itself asks HubSpot: does it answer, and how many deals.

Everything else is the tap's business.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import requests

from scan_service.errors import HubSpotError
from scan_service.logs import logger, mask
from scan_service.models import parse_moment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from scan_service.models import DateRange, Extraction
    from scan_service.settings import Settings

_log = logger(__name__)
_SHOWN = 300
_DEALS_SCOPE = "crm.objects.deals.read"


async def is_reachable(settings: Settings) -> bool:
    """Tell whether HubSpot gives any HTTP answer; no token is needed for that."""

    def ask() -> bool:
        try:
            requests.get(settings.hubspot_base_url, timeout=(2, 3), allow_redirects=False)
        except requests.RequestException:
            return False
        return True

    return await asyncio.to_thread(ask)


async def count_deals(
    settings: Settings, extraction: Extraction, headers: Mapping[str, str]
) -> int | None:
    """Ask how many deals a scan will find: a bad token is refused before anything is written.

    Returns:
        The number, or None where HubSpot cannot tell now: the run itself will try again.

    Raises:
        HubSpotError: the token is wrong or lacks a scope.
    """
    try:
        async with asyncio.timeout(settings.hubspot_probe_seconds):
            response = await asyncio.to_thread(_search, settings, extraction, headers)
    except (TimeoutError, requests.RequestException) as error:
        _log.info("hubspot did not answer the probe", reason=type(error).__name__)
        return None
    if response.status_code in (401, 403):
        raise _refusal(response)
    if response.status_code != requests.codes.ok:
        _log.info("hubspot did not answer the probe", status=response.status_code)
        return None
    if extraction.filters and extraction.filters.archived:
        return None  # search knows nothing about archived deals
    total = _json(response).get("total")
    return total if isinstance(total, int) else None


def _search(
    settings: Settings, extraction: Extraction, headers: Mapping[str, str]
) -> requests.Response:
    family = (
        "/crm/v3/objects/deals/search"
        if settings.hubspot_api_version == "v3"
        else f"/crm/objects/{settings.hubspot_api_version}/deals/search"
    )
    filters = search_filters(extraction)
    body: dict[str, Any] = {"limit": 1, "properties": ["hs_object_id"]}
    if filters:
        body["filterGroups"] = [{"filters": filters}]
    return requests.post(
        settings.hubspot_base_url + family,
        json=body,
        headers=dict(headers),
        timeout=settings.hubspot_probe_seconds,
        allow_redirects=False,  # a redirect would carry the token elsewhere
    )


def search_filters(extraction: Extraction) -> list[dict[str, str]]:
    """Return the search filters that mean the same as the scan's."""
    wanted = extraction.filters
    found = []
    if wanted and wanted.pipeline:
        found.append(_filter("pipeline", "EQ", wanted.pipeline))
    if wanted and wanted.deal_stage:
        found.append(_filter("dealstage", "EQ", wanted.deal_stage))
    start, end = bounds(extraction.date_range)
    if start:
        found.append(_filter("createdate", "GTE", _epoch(start)))
    if end:
        found.append(_filter("createdate", "LT", _epoch(end)))
    return found


def bounds(dates: DateRange | None) -> tuple[datetime | None, datetime | None]:
    """Return the first moment that counts and the first that no longer does."""
    if dates is None:
        return None, None
    start = parse_moment(dates.start_date) if dates.start_date else None
    end = parse_moment(dates.end_date) if dates.end_date else None
    if end and dates.end_date and len(dates.end_date) == len("2025-12-31"):
        end += timedelta(days=1)
    return start, end


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


def _refusal(response: requests.Response) -> HubSpotError:
    body = _json(response)
    scopes: list[str] = []
    for error in body.get("errors") or []:
        context = error.get("context") if isinstance(error, dict) else None
        if isinstance(context, dict):
            scopes += context.get("requiredGranularScopes") or context.get("requiredScopes") or []
    return HubSpotError(
        "HubSpot authentication failed",
        code="HUBSPOT_AUTH_ERROR",
        details={
            "hubspotStatus": response.status_code,
            "hubspotMessage": mask(str(body.get("message", "")))[:_SHOWN],
            "hubspotCorrelationId": str(body.get("correlationId", ""))[:_SHOWN],
            "requiredScopes": [str(scope) for scope in scopes[:20]] or [_DEALS_SCOPE],
        },
    )
