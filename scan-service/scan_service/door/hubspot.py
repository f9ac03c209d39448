"""Knows what the service itself asks HubSpot: does it answer, what has it, and how much of it.

Everything else is the tap's business. Whoever waits for HubSpot waits in threads of this module's
own, of which no tenant gets more than its share.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from hubspot_client.client import Client
from hubspot_client.errors import AuthenticationError, RateLimitedError

from scan_service.door import catalog, counting
from scan_service.errors import UnavailableError
from scan_service.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hubspot_client.access import Access
    from hubspot_client.consent import App

    from scan_service.records.objects import Part
    from scan_service.settings import Settings

T = TypeVar("T")

_log = logging.getLogger(__name__)
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
        self._asking = set[asyncio.Task[None]]()

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
        await self._ask(
            tenant_id, access, lambda client: counting.count_all(client, parts, path, found)
        )
        return dict(found)

    async def prove(self, tenant_id: str, access: Access) -> None:
        """Ask for the account itself: a token that is not one is refused before it is kept.

        Raises:
            HubSpotError: the token is wrong.
        """
        await self._ask(tenant_id, access, counting.prove)

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
                raise counting.refusal(failure, "the account", "oauth") from None
            except RateLimitedError:
                return

        await self._ask(tenant_id, access, work)
        if not found:
            raise UnavailableError("HubSpot does not answer. Please retry.")
        return found

    async def exchange(self, tenant_id: str, app: App, code: str, verifier: str) -> str:
        """Trade the code that a user brought back for a refresh token; see `App.exchange`.

        Raises:
            UnavailableError: the tenant's other requests to HubSpot take too long.
        """
        return await self._in_turn(tenant_id, lambda: app.exchange(code, verifier))

    async def revoke(self, tenant_id: str, app: App, refresh_token: str) -> None:
        """End a refresh token; see `App.revoke`.

        Raises:
            UnavailableError: the tenant's other requests to HubSpot take too long.
        """
        await self._in_turn(tenant_id, lambda: app.revoke(refresh_token))

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
        asking = asyncio.create_task(self._in_turn(tenant_id, lambda: work(client)))
        self._asking.add(asking)
        asking.add_done_callback(self._forget)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(asking)
        except (TimeoutError, UnavailableError):
            _log.info("hubspot did not answer the probe in time")
        finally:
            client.abort()  # a thread that HubSpot keeps waiting is one that others wait for

    async def _in_turn(self, tenant_id: str, work: Callable[[], T]) -> T:
        """Let a thread ask; the tenant has its turn for as long as the thread is at it."""
        async with self._shares.turn(tenant_id, "Too many requests to HubSpot at once."):
            return await asyncio.get_running_loop().run_in_executor(self._probing, work)

    def _forget(self, asking: asyncio.Task[None]) -> None:
        self._asking.discard(asking)
        if not asking.cancelled():
            asking.exception()  # whoever waited has heard it, or does not wait any more
