"""One conversation with HubSpot: budgets, retries, the token, and what was asked how often."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from hubspot_client.authentication import Token
from hubspot_client.budget import Crowded, Stopped
from hubspot_client.budgets import Budgets
from hubspot_client.clock import Clock
from hubspot_client.decoding import decode
from hubspot_client.errors import (
    AuthenticationError,
    HubSpotError,
    RateLimitedError,
    StopCleanlyError,
    TransientError,
    error_for,
)
from hubspot_client.paths import Paths, query
from hubspot_client.retries import Retries, Tries, wait_after_429
from hubspot_client.surrogates import mended
from hubspot_client.wire import TIMEOUT, Answer, Wire

if TYPE_CHECKING:
    import logging

    from hubspot_client.access import Access

T = TypeVar("T")

READS = ("/read", "/search")
"""How the paths end to which HubSpot wants what is read to be posted."""


class Nothing(msgspec.Struct):
    """The shape of an answer without a body, or with one that says nothing."""


class Client:
    """Sends requests for one run; safe to use from many threads.

    Args:
        access: Which account, where, and how fast.
        logger: Where retries and waits are told.
        retry: Whether what a moment later may go well is tried again; not where a person waits.
        timeout: Seconds to connect and to wait for a piece of an answer.
        patience: Seconds that a request waits for its turn in the budget at the most; then it is a
            `RateLimitedError` without having been sent. None: as long as it takes.
        telling: Seconds between two lines of the log that tell how much of the account's limit is
            used; None: none.
        in_flight: Requests that may be on their way at once; None: as many as there are threads.
    """

    def __init__(
        self,
        access: Access,
        logger: logging.Logger,
        *,
        retry: bool = True,
        timeout: tuple[float, float] = TIMEOUT,
        patience: float | None = None,
        telling: float | None = None,
        in_flight: int | None = None,
    ) -> None:
        self._retry = retry
        self._patience = patience
        self._telling = telling
        self._told = time.monotonic()
        self.paths = Paths(access.api_version)
        self.clock = Clock()
        self.stop = threading.Event()
        self._retries = Retries(logger)
        self.budgets = Budgets(
            access.requests_per_10_seconds,
            delay=access.request_delay.total_seconds(),
            stop=self.stop,
            account=access.account,
            tell=self._retries.tell_of_others,
        )
        self.requests: Counter[str] = Counter()
        self.rate_limited: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._ended: HubSpotError | None = None
        self._base_url = access.base_url
        self._token = Token(access, self.paths, timeout)
        self._logger = logger
        self._wire = Wire(access.base_url, user_agent=access.user_agent, timeout=timeout)
        self._encoder = msgspec.json.Encoder()
        self._lock = threading.Lock()
        self._lanes = threading.Semaphore(in_flight) if in_flight else contextlib.nullcontext()

    def get(
        self,
        path: str,
        *,
        family: str,
        what: str,
        shape: type[T],
        **params: str | int,
    ) -> T:
        """Read one page.

        Args:
            path: Below the base URL.
            family: Whose budget it draws on, and its name in the run's summary.
            what: What is read, for error messages.
            shape: The msgspec type of the answer.
            params: The query; values are sent as they are.

        Returns:
            The decoded answer.

        Raises:
            HubSpotError: As `errors` says; transient failures only after all tries.
            Stopped: If the run is ending. After a failure that every further request would meet
                (the daily limit, a refused token, a moving account) it is that failure again.
        """
        url = self._base_url + path + (f"?{query(params)}" if params else "")
        return self._send("GET", url, None, family, what, shape)

    def post(
        self,
        path: str,
        body: Any,
        *,
        family: str,
        what: str,
        shape: type[T],
        repeatable: bool = True,
        method: Literal["POST", "PATCH"] = "POST",
    ) -> T:
        """Search, read a batch or write; arguments and errors as for `get`.

        Args:
            path: Below the base URL.
            body: What is sent, as JSON.
            family: As for `get`.
            what: As for `get`.
            shape: The msgspec type of the answer; `Nothing` where it has no body.
            repeatable: Whether the request may be sent again after a failure that leaves open
                whether it was carried out. A refusal before that (423, 429) is always waited for.
            method: `PATCH` changes what is there.
        """
        content = self._encoder.encode(body)
        url = self._base_url + path
        return self._send(method, url, content, family, what, shape, repeatable=repeatable)

    @property
    def retries(self) -> int:
        """How often a request was sent again."""
        return self._retries.count

    def latency(self, family: str) -> float:
        """Seconds that an answer took on average: to this family, or to all if none was there."""
        with self._lock:
            known = [family] if self.requests[family] else list(self.requests)
            count = sum(self.requests[each] for each in known)
            return sum(self.seconds[each] for each in known) / count if count else 0.0

    def close(self) -> None:
        """Let waiting threads go, close the connections; what is on its way is still answered."""
        self.stop.set()
        self._wire.close()
        self.budgets.close()

    def abort(self) -> None:
        """Close, and let threads go that wait for an answer too: theirs is a `TransientError`."""
        self.stop.set()
        self._wire.abort()
        self.budgets.close()

    def _send(
        self,
        method: str,
        url: str,
        content: bytes | None,
        family: str,
        what: str,
        shape: type[T],
        *,
        repeatable: bool = True,
    ) -> T:
        if not self._retry:
            return self._decode(self._attempt(method, url, content, family, what), shape, what)
        tries = Tries(self._retries, family, repeatable=repeatable)

        @tries.again
        def attempt() -> T:
            tries.count += 1
            found = self._decode(self._attempt(method, url, content, family, what), shape, what)
            self._retries.answered = True
            return found

        return attempt()

    def _attempt(
        self, method: str, url: str, content: bytes | None, family: str, what: str
    ) -> bytes:
        """One request, and one more with a new token where HubSpot refuses the old one."""
        answer, token = self._request(method, url, content, family, what)
        if answer.status == 401 and self._token.renewable:  # noqa: PLR2004
            self._token.refused(token)
            answer, _ = self._request(method, url, content, family, what)
        if answer.status >= 300:  # noqa: PLR2004
            writes = method != "GET" and not url.endswith(READS)
            failure = self._failure(answer, family, what, writes=writes)
            if isinstance(failure, AuthenticationError | StopCleanlyError):
                self._end(failure)
            raise failure
        return answer.content

    def _end(self, failure: HubSpotError) -> None:
        """Send nothing any more: the same would be said to every request of the run."""
        with self._lock:
            self._ended = self._ended or failure
        self.stop.set()

    def _request(
        self, method: str, url: str, content: bytes | None, family: str, what: str
    ) -> tuple[Answer, str]:
        """The answer, and the token it was asked with: one that is good when the turn comes."""
        try:
            turn = self.budgets.take(family, self._patience)
        except Crowded as crowded:
            raise RateLimitedError(
                f"The account's limit leaves no room for {what} now.",
                policy="OWN",
                wait=crowded.seconds,
            ) from None
        except Stopped:
            if self._ended is not None:
                raise self._ended from None
            raise
        try:
            token = self._token.current()
            with self._lock:
                self.requests[family] += 1
            with self._lanes:
                began = time.monotonic()
                answer = self._wire.exchange(method, url, content, token=token, what=what)
                took = time.monotonic() - began
            with self._lock:
                self.seconds[family] += took
            self.clock.learn(answer.headers.get("Date"))
            self.budgets.learn(
                turn,
                answer.headers.get("X-HubSpot-RateLimit-Max"),
                answer.headers.get("X-HubSpot-RateLimit-Remaining"),
            )
        finally:
            self.budgets.answered(turn)
        self._tell_use_in_time()
        return answer, token

    def _tell_use_in_time(self) -> None:
        now = time.monotonic()
        with self._lock:
            if self._telling is None or now < self._told + self._telling:
                return
            self._told = now
        self.tell_use()

    def tell_use(self) -> None:
        """Tell how much of the account's limit is used, and how many requests were sent so far."""
        used, limit = self.budgets.general.used()
        with self._lock:
            sent = self.requests.total()
        self._logger.info(
            "HubSpot: %d requests so far; in ten seconds %d of %s.", sent, used, limit or "unknown",
            extra={"requests": sent, "limit_used": used, "limit": limit},
        )  # fmt: skip

    def _failure(self, answer: Answer, family: str, what: str, *, writes: bool) -> HubSpotError:
        failure = error_for(answer.status, answer.headers, answer.content, what=what, writes=writes)
        self._retries.answered |= answer.status >= 400  # noqa: PLR2004
        if isinstance(failure, RateLimitedError):
            with self._lock:
                self.rate_limited[family] += 1
            failure.closed = wait_after_429(failure)
            self.budgets.of(family).close(failure.closed)
        return failure

    def _decode(self, content: bytes, shape: type[T], what: str) -> T:
        if shape is Nothing:
            return shape()
        try:
            return decode(content, shape)
        except msgspec.ValidationError as exc:
            raise HubSpotError(f"HubSpot's answer for {what} has another shape: {exc}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            if (whole := mended(content)) != content:
                self._logger.warning(
                    "HubSpot's answer for %s has half characters: U+FFFD now.", what
                )
                return self._decode(whole, shape, what)
            hint = "" if self._retries.answered else " Is `base_url` HubSpot's address?"
            raise TransientError(
                f"HubSpot's answer for {what} is no complete JSON ({len(content)} bytes).{hint}"
            ) from None
