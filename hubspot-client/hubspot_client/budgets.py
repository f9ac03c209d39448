"""How many requests may go out: paced budgets that the threads of one run share.

HubSpot counts three things apart: ordinary requests (100 to 250 per rolling 10 seconds, by
subscription), searches (5 a second for the whole account) and association requests (100 to 200 per
10 seconds). Sources: HubSpot's usage guidelines and the guide to the associations API.
"""

from __future__ import annotations

import threading
import time

INTERVAL = 10.0
HEADROOM = 0.94
"""The part of the account's limit that is used where no setting says otherwise."""

UNKNOWN_LIMIT = 100
"""Per 10 seconds: the smallest of HubSpot's limits, used until an answer names the real one."""

SEARCHES_PER_SECOND = 4.6
ASSOCIATIONS_PER_10_SECONDS = 100 * HEADROOM
LOW_WATER = 0.04
"""The part of the limit below which another user of the same budget is given way to."""


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The run is ending; nobody waits for a turn any more."""


class Budget:
    """Lets requests out at a steady rate, with a small burst.

    Args:
        per_10_seconds: Requests allowed in any 10 seconds.
        burst: How many may go out at once after a pause.
        stop: Set when the run ends; waiters then leave with `Stopped`.
    """

    def __init__(self, per_10_seconds: float, *, burst: int, stop: threading.Event) -> None:
        self._lock = threading.Lock()
        self._burst = burst
        self._stop = stop
        self._interval = 0.0
        self._tokens = float(burst)
        self._refilled = time.monotonic()
        self._closed_until = 0.0
        self.waited = 0.0
        self.allow(per_10_seconds)

    def allow(self, per_10_seconds: float) -> None:
        """Change the rate: so many requests in any 10 seconds, the burst included."""
        with self._lock:
            self._interval = INTERVAL / max(per_10_seconds - self._burst, 1.0)

    def close(self, seconds: float) -> None:
        """Let nothing out for a while: HubSpot said 429, or the budget is nearly empty."""
        with self._lock:
            self._closed_until = max(self._closed_until, time.monotonic() + seconds)
            self._tokens = min(self._tokens, 1.0)

    def take(self) -> None:
        """Wait for a turn.

        Raises:
            Stopped: If the run ends meanwhile.
        """
        while (pause := self._try_to_take()) > 0:
            with self._lock:
                self.waited += pause
            if self._stop.wait(pause):
                raise Stopped
        if self._stop.is_set():
            raise Stopped

    def _try_to_take(self) -> float:
        """Take a token and return 0, or return the seconds until the next one."""
        with self._lock:
            now = time.monotonic()
            earned = (now - self._refilled) / self._interval
            self._tokens = min(float(self._burst), self._tokens + earned)
            self._refilled = now
            if now < self._closed_until:
                return self._closed_until - now
            if self._tokens >= 1.0:
                self._tokens -= 1.0
                return 0.0
            return (1.0 - self._tokens) * self._interval


class Budgets:
    """The run's budgets by the family of a request.

    Args:
        requests_per_10_seconds: The user's own limit; then requests of all families together keep
            to it. None: learned from HubSpot's answers.
        delay: Seconds between two requests at the least, of whichever family.
        stop: Set when the run ends.
    """

    def __init__(
        self, requests_per_10_seconds: int | None, *, delay: float, stop: threading.Event
    ) -> None:
        self._fixed = requests_per_10_seconds is not None
        limit = requests_per_10_seconds or UNKNOWN_LIMIT * HEADROOM
        burst = 10 if limit > 50 else 1  # noqa: PLR2004 - a burst above a fifth of it is no pace
        self._limit = 0.0
        self.general = Budget(limit, burst=burst, stop=stop)
        self.search = Budget(SEARCHES_PER_SECOND * INTERVAL + 1, burst=1, stop=stop)
        self.associations = (
            self.general
            if self._fixed
            else Budget(ASSOCIATIONS_PER_10_SECONDS, burst=burst, stop=stop)
        )
        self._gate = Budget(INTERVAL / delay + 1, burst=1, stop=stop) if delay else None

    def take(self, family: str) -> None:
        """Wait until a request of a family may go out.

        Raises:
            Stopped: If the run ends meanwhile.
        """
        self.of(family).take()
        if self._fixed and self.of(family) is not self.general:
            self.general.take()
        if self._gate is not None:
            self._gate.take()

    def of(self, family: str) -> Budget:
        """The budget of HubSpot's that a family (`list`, `search`, `associations`, …) draws on."""
        if family == "search":
            return self.search
        return self.associations if family == "associations" else self.general

    def learn(self, family: str, maximum: str | None, remaining: str | None) -> None:
        """Take the account's limit, and how much of it is left, from an answer's headers."""
        if not maximum or not maximum.isdigit() or self.of(family) is self.search:
            return
        limit = int(maximum)
        budget = self.of(family)
        if not self._fixed and budget is self.general and limit != self._limit:
            self._limit = limit
            budget.allow(limit * HEADROOM)
        if remaining and remaining.isdigit() and int(remaining) <= limit * LOW_WATER:
            budget.close(0.5)

    def waited(self) -> float:
        """Seconds that threads waited for their turn, all together."""
        budgets = {self.general, self.search, self.associations, self._gate}
        return sum(b.waited for b in budgets if b is not None)
