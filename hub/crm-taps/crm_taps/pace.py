"""How fast a source may be asked: a run never makes more requests than its limits allow."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crm_taps.errors import RateLimitedError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable

LONGEST_WAIT = 3600.0
"""Seconds; a run that would have to wait longer ends, and the next one goes on."""
WORTH_TELLING = 5.0


@dataclass(frozen=True)
class Limit:
    """So many requests in so many seconds, whichever seconds these are."""

    requests: int
    seconds: float


class Pace:
    """Lets requests pass as fast as all limits allow; it knows the requests of this run only.

    Args:
        limits: All of them hold.
        logger: Told about long waits.
        clock: Seconds of a clock that never goes back.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        limits: Iterable[Limit],
        logger: logging.Logger,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._made = [(limit, deque[float](maxlen=limit.requests)) for limit in limits]
        self._logger = logger
        self._clock = clock
        self._sleep = sleep

    def take(self) -> None:
        """Wait until one more request is allowed, and count it.

        Raises:
            RateLimitedError: It would be allowed in more than an hour only.
        """
        if (wait := self._wait()) > LONGEST_WAIT:
            raise RateLimitedError(
                f"The limit of requests is used up for {wait / 3600:.1f} more hours. Run again "
                "then; the state is saved."
            )
        if wait > WORTH_TELLING:
            self._logger.info("Waiting %.0f seconds for the limit of requests.", wait)
        while wait > 0:
            self._sleep(wait)
            wait = self._wait()
        now = self._clock()
        for _, made in self._made:
            made.append(now)

    def _wait(self) -> float:
        now = self._clock()
        waits = [
            made[0] + limit.seconds - now
            for limit, made in self._made
            if len(made) == limit.requests
        ]
        return max(0.0, *waits) if waits else 0.0
