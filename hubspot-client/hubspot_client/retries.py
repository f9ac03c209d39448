"""When a request is sent again, and how long that waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

import backoff

from hubspot_client.errors import HubSpotError, RateLimitedError, TransientError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

T = TypeVar("T")

MAX_TRIES = 8
RATE_LIMIT_PATIENCE = 900.0
"""Seconds for which one request is tried again after 429: other apps may take the whole budget."""

FIRST_CONTACT_TRIES = 3
"""Before HubSpot answered anything at all, a wrong address is likelier than a bad moment."""

RATE_LIMIT_WAITS = {"TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0}
"""Seconds to wait after a 429 without `Retry-After`, as HubSpot's own Node client does."""

LOCKED = 423
LOCK_WAIT = 2.0
"""Seconds to wait after a 423: HubSpot documents that its locks last two."""

LONGEST_WAIT = 60.0


class Retries:
    """What is known of all requests of a conversation; safe to use from many threads.

    Args:
        logger: Where retries and waits are told.

    Attributes:
        count: How often one was sent again.
        answered: Whether HubSpot answered anything so far.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.count = 0
        self.answered = False
        self._logger = logger
        self._lock = threading.Lock()

    def tell(self, exc: HubSpotError, wait: float, family: str) -> None:
        """Tell people by the sentence, and programs by the fields beside it (docs/codes.md)."""
        with self._lock:
            self.count += 1
        if isinstance(exc, RateLimitedError):
            wait = max(wait, exc.closed)
        fields = {"code": exc.code, "wait_seconds": round(wait, 3), "family": family}
        self._logger.warning("%s Trying again in %.1f s.", exc, wait, extra=fields)

    def tell_of_others(self, budget: str, wait: float) -> None:
        """Tell that a budget is closed since others met its limit, which is no try of ours.

        Args:
            budget: Its name.
            wait: Seconds until it opens.
        """
        fields = {"code": RateLimitedError.code, "wait_seconds": round(wait, 3), "family": budget}
        self._logger.warning(
            "Others met the limit of this HubSpot account (%s). Going on in %.1f s.", budget, wait,
            extra={**fields, "shared": True},
        )  # fmt: skip


class Tries:
    """The tries of one request.

    Args:
        retries: What is known of all.
        family: The request's name in the log.
        repeatable: Whether it may be sent again after a failure that leaves open whether it was
            carried out. A refusal before that (423, 429) is always waited for.

    Attributes:
        count: How often it was sent; whoever sends it counts.
    """

    def __init__(self, retries: Retries, family: str, *, repeatable: bool) -> None:
        self.count = 0
        self._retries = retries
        self._family = family
        self._repeatable = repeatable

    def again(self, attempt: Callable[[], T]) -> Callable[[], T]:
        """The same function, called again where that may help: after a wait, and not for ever."""
        transient = backoff.on_exception(
            backoff.runtime,
            TransientError,
            value=self._pause_after,
            max_tries=MAX_TRIES,
            giveup=self._is_final,
            jitter=None,
            on_backoff=self._tell,
            logger=None,
        )
        rate_limited = backoff.on_exception(
            backoff.runtime,
            RateLimitedError,
            value=lambda exc: exc.pause,
            max_time=RATE_LIMIT_PATIENCE,
            jitter=None,
            on_backoff=self._tell,
            logger=None,
        )
        return rate_limited(transient(attempt))

    def _is_final(self, exc: Exception) -> bool:
        """Whether the failure is not tried again: not at all, or not as a transient one."""
        return (
            isinstance(exc, RateLimitedError)
            or (not self._retries.answered and self.count >= FIRST_CONTACT_TRIES)
            or not (self._repeatable or (isinstance(exc, TransientError) and exc.status == LOCKED))
        )

    def _pause_after(self, exc: Exception) -> float:
        """Seconds before the next try."""
        asked = exc.wait if isinstance(exc, TransientError) else None
        if asked is not None:
            return float(min(asked, LONGEST_WAIT))
        if isinstance(exc, TransientError) and exc.status == LOCKED:
            return LOCK_WAIT
        return float(min(0.25 * 2**self.count, LONGEST_WAIT))

    def _tell(self, details: Any) -> None:
        self._retries.tell(details["exception"], details["wait"], self._family)


def wait_after_429(failure: RateLimitedError) -> float:
    """Seconds for which a budget stays closed after a 429."""
    wait = failure.wait
    if wait is None:
        wait = RATE_LIMIT_WAITS.get(failure.policy, RATE_LIMIT_WAITS["SECONDLY"])
    return min(wait, LONGEST_WAIT)
