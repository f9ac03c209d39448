"""Knows how HubSpot is talked to on behalf of somebody who waits: in threads, briefly, two tries.

What HubSpot says no to becomes an error of ours here: away is 503, refused is 502.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from hubspot_client.budget import Stopped
from hubspot_client.client import Client
from hubspot_client.errors import (
    AuthenticationError,
    HubSpotError,
    MissingScopeError,
    RateLimitedError,
    StopCleanlyError,
    TransientError,
)

from crm_api.errors import OutcomeUnknownError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crm_api.settings import Settings

T = TypeVar("T")
_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 3.0
_PAUSE_SECONDS = 0.25
_LEFT_SECONDS = 0.5
_LOCKED = 423
_LONG_WAIT = 3600.0


class Talk:
    """HubSpot, for one request of one client.

    Args:
        client: The conversation.
        until: When nobody waits any more, by the monotonic clock.
        beside: Threads for calls that need not wait for each other.

    Attributes:
        unclear: What to say while nobody knows whether a call that must not be made twice was
            carried out.
    """

    def __init__(self, client: Client, *, until: float, beside: ThreadPoolExecutor) -> None:
        self.client = client
        self.paths = client.paths
        self.unclear: OutcomeUnknownError | None = None
        self._until = until
        self._beside = beside

    def get(self, path: str, *, what: str, shape: type[T], **params: str | int) -> T:
        """Read, and read again if that may help; errors as `Client.get` raises them."""
        return self.twice(
            lambda: self.client.get(path, family="crm", what=what, shape=shape, **params)
        )

    def post(self, path: str, body: Any, *, what: str, shape: type[T], family: str = "crm") -> T:
        """Post what may be posted twice; errors as `Client.post` raises them."""
        return self.twice(
            lambda: self.client.post(path, body, family=family, what=what, shape=shape)
        )

    def post_once(
        self, path: str, body: Any, *, what: str, shape: type[T], unclear: OutcomeUnknownError
    ) -> T:
        """Post what must not be posted twice, unless HubSpot had not begun.

        Args:
            path: As of `post`.
            body: As of `post`.
            what: As of `post`.
            shape: As of `post`.
            unclear: What to say if no answer comes; see `unclear`.
        """
        self._check()
        before, self.unclear = self.unclear, unclear
        try:
            try:
                found = self.client.post(path, body, family="crm", what=what, shape=shape)
            except TransientError as failure:
                if failure.status != _LOCKED or not self.has_time():
                    raise
                time.sleep(_PAUSE_SECONDS)
                found = self.client.post(path, body, family="crm", what=what, shape=shape)
        except HubSpotError as failure:
            is_answer = not isinstance(failure, TransientError)
            if is_answer or isinstance(failure, RateLimitedError) or failure.status == _LOCKED:
                self.unclear = before
            raise
        self.unclear = None
        return found

    def twice(self, ask: Callable[[], T]) -> T:
        """Ask, and once more where no answer came and there is time."""
        self._check()
        try:
            return ask()
        except RateLimitedError:
            raise
        except TransientError:
            if not self.has_time():
                raise
            time.sleep(_PAUSE_SECONDS)
            return ask()

    def side_by_side(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Make calls at the same time; the answers are in their order."""
        if len(calls) == 1:
            return [calls[0]()]
        futures = [self._beside.submit(call) for call in calls]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def has_time(self) -> bool:
        """Tell whether another call could be answered in time."""
        return time.monotonic() + _LEFT_SECONDS + _PAUSE_SECONDS < self._until

    def _check(self) -> None:
        if time.monotonic() >= self._until:
            raise TransientError("The request's time was used up.")


class HubSpot:
    """The account that the API works with.

    Args:
        settings: Which, and how long it may take.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.hubspot_threads, "hubspot")
        self._beside = ThreadPoolExecutor(settings.hubspot_threads, "hubspot-beside")
        self._lock = threading.Lock()
        self._client: Client | None = None

    def close(self) -> None:
        """Let the threads and connections go."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._beside.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    async def ask(self, work: Callable[[Talk], T]) -> T:
        """Do something with HubSpot.

        Args:
            work: Runs in a thread.

        Raises:
            UnavailableError: HubSpot is away, limits requests or takes too long.
            OutcomeUnknownError: The same, while a record may have been made.
            RefusedError: It refuses the token, or lacks a scope.
            ApiError: Whatever `work` raises.
        """
        seconds = self._settings.hubspot_seconds
        until = time.monotonic() + seconds
        talks: list[Talk] = []
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._threads, self._do, work, until, talks)
        except TimeoutError:
            _log.warning("hubspot took longer than %s s", seconds)
            # The thread goes on with the call that it is in; its answer reaches nobody.
            unclear = next((each.unclear for each in talks), None)
            raise unclear or UnavailableError from None

    def _do(self, work: Callable[[Talk], T], until: float, talks: list[Talk]) -> T:
        client = self._current()
        talk = Talk(client, until=until, beside=self._beside)
        talks.append(talk)
        try:
            return work(talk)
        except (AuthenticationError, StopCleanlyError) as failure:
            self._drop(client)  # it sends nothing any more, and tomorrow all may be well
            told = translated(failure)
            raise talk.unclear or told from None
        except Stopped:
            self._drop(client)
            raise talk.unclear or UnavailableError() from None
        except HubSpotError as failure:
            told = translated(failure)
            raise talk.unclear or told from None

    def _current(self) -> Client:
        with self._lock:
            if self._client is None:
                settings = self._settings
                self._client = Client(
                    settings.access(),
                    _log,
                    retry=False,
                    timeout=(_CONNECT_SECONDS, settings.hubspot_read_seconds),
                    patience=settings.hubspot_seconds / 2,
                )
            return self._client

    def _drop(self, client: Client) -> None:
        with self._lock:
            if self._client is client:
                self._client = None
                client.close()


def translated(failure: HubSpotError) -> RefusedError | UnavailableError:
    """Return what a client is told of a failure; the log has the rest, but no values."""
    said = {"code": failure.code, "status": failure.status}
    if isinstance(failure, MissingScopeError):
        said["scopes"] = " or ".join(failure.body.required_scopes())
    if isinstance(failure, AuthenticationError | MissingScopeError):
        _log.error("hubspot refused: %s", said)
        return RefusedError()
    if isinstance(failure, StopCleanlyError):
        _log.error("hubspot stopped: %s", said)
        return UnavailableError(wait=_LONG_WAIT)
    if isinstance(failure, RateLimitedError):
        _log.warning("hubspot limits: %s", said)
        return UnavailableError(wait=failure.wait or failure.closed)
    if failure.retryable:
        _log.warning("hubspot away: %s", said)
        return UnavailableError(wait=getattr(failure, "wait", None))
    _log.error("hubspot refused: %s", {**said, "category": failure.body.category})
    return RefusedError()
