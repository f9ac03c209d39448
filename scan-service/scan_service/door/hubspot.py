"""Knows what the service itself asks HubSpot: does it answer, what has it, and how much of it.

Everything else is the tap's business. Whoever waits for HubSpot waits in threads of this module's
own, of which no tenant gets more than its share.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import requests
from hubspot_client.client import Client
from hubspot_client.errors import AuthenticationError, MissingScopeError, RateLimitedError
from hubspot_client.errors import HubSpotError as Failure
from hubspot_client.object_types import HS_PIPELINE
from service_base.logs import mask

from scan_service.door import catalog
from scan_service.errors import HubSpotError, InvalidRequestError, UnavailableError
from scan_service.moments import bounds
from scan_service.records.objects import DEALS, STANDARD, type_of
from scan_service.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from hubspot_client.access import Access

    from scan_service.records.objects import Part
    from scan_service.settings import Settings

_log = logging.getLogger(__name__)
_SHOWN = 300
_THREADS = 12
_SHARE = 4


class HubSpot:
    """Asks HubSpot in threads of its own.

    Args:
        settings: where HubSpot is, and how long it may take for all answers of one request.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._probing = ThreadPoolExecutor(_THREADS, thread_name_prefix="hubspot-probe")
        self._reaching = ThreadPoolExecutor(1, thread_name_prefix="hubspot-reach")
        self._reach: asyncio.Future[bool] | None = None
        self._shares = Shares(_SHARE, seconds=settings.hubspot_probe_seconds)

    def close(self) -> None:
        """Let the threads go; none waits longer than its request may take."""
        self._probing.shutdown(wait=False, cancel_futures=True)
        self._reaching.shutdown(wait=False, cancel_futures=True)

    async def is_reachable(self) -> bool:
        """Tell whether HubSpot gives any HTTP answer; no token is needed for that."""

        def ask() -> bool:
            try:
                requests.get(self._settings.hubspot_base_url, timeout=(2, 3), allow_redirects=False)
            except requests.RequestException:
                return False
            return True

        if self._reach is None or self._reach.done():
            self._reach = asyncio.get_running_loop().run_in_executor(self._reaching, ask)
        # A question that nobody waits for any more is still a question: the next one joins it.
        return await asyncio.shield(self._reach)

    async def count(
        self, tenant_id: str, parts: Mapping[str, Part], access: Access, *, path: str
    ) -> dict[str, int | None]:
        """Ask how much a scan will find: what cannot be read is refused before it is written.

        Args:
            tenant_id: who asks.
            parts: what is to be read, by object type.
            access: the tenant's account.
            path: where the request's body says it, to name what is wrong.

        Returns:
            The numbers by object type; None where HubSpot cannot tell now: the run will try again.

        Raises:
            HubSpotError: the token is wrong or lacks a scope.
            InvalidRequestError: the account has no such object type.
        """
        found: dict[str, int | None] = dict.fromkeys(parts)
        await self._ask(tenant_id, access, lambda client: _count_all(client, parts, path, found))
        return dict(found)

    async def prove(self, tenant_id: str, access: Access) -> None:
        """Ask for the account itself: a token that is not one is refused before it is kept.

        Raises:
            HubSpotError: the token is wrong.
        """
        await self._ask(tenant_id, access, _prove)

    async def describe(
        self, tenant_id: str, access: Access, names: Sequence[str]
    ) -> dict[str, Any]:
        """Ask what the account has: `catalog.describe` says what comes back.

        Raises:
            HubSpotError: the token is wrong.
            UnavailableError: HubSpot does not answer in time.
        """
        found: dict[str, Any] = {}

        def work(client: Client) -> None:
            try:
                found.update(catalog.describe(client, names))
            except AuthenticationError as failure:
                raise _refusal(failure, "the account", "oauth") from None
            except RateLimitedError:
                return

        await self._ask(tenant_id, access, work)
        if not found:
            raise UnavailableError("HubSpot does not answer. Please retry.")
        return found

    async def _ask(self, tenant_id: str, access: Access, work: Callable[[Client], None]) -> None:
        """Let a thread ask, for a moment only; a HubSpot that does not answer is no error."""
        settings, seconds = self._settings, self._settings.hubspot_probe_seconds
        client = Client(
            replace(
                access,
                base_url=settings.hubspot_base_url,
                api_version=settings.hubspot_api_version,
            ),
            _log,
            retry=False,
            timeout=(seconds, seconds),
        )
        try:
            async with (
                asyncio.timeout(seconds),
                self._shares.turn(tenant_id, "Too many starts at once."),
            ):
                await asyncio.get_running_loop().run_in_executor(self._probing, work, client)
        except (TimeoutError, UnavailableError):
            _log.info("hubspot did not answer the probe in time")
        finally:
            client.close()


def _prove(client: Client) -> None:
    with contextlib.suppress(RateLimitedError):
        _asked(
            lambda: client.get(
                client.paths.account(), family="list", what="account (probe)", shape=dict
            ),
            "the account", "oauth",
        )  # fmt: skip


def _count_all(
    client: Client, parts: Mapping[str, Part], path: str, found: dict[str, int | None]
) -> None:
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
        raise _refusal(failure, what, scope) from None
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


def _refusal(failure: Failure, what: str, scope: str) -> HubSpotError:
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
