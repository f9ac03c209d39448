"""Knows how many requests a scan sends to HubSpot over its time, against the account's limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from scan_service.pipeline.verdicts import READERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# As many points as a line can show; a long scan keeps every second, fourth, ... of them.
_MOST_POINTS = 120


class Pace:
    """The line of a scan, to which a run adds what its tap tells.

    Args:
        before: the scan's line so far, as `shown` returns it; empty of one that begins.
        seconds: since the scan began.
        clock: tells seconds.
    """

    def __init__(
        self,
        before: Mapping[str, Any],
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._earlier = int(before.get("total", 0))
        self._sent = 0
        self._points: list[list[int | None]] = list(before.get("points", ()))
        self._step = int(before.get("step", 1))
        self._began = clock() - seconds

    def note(self, plugin: str, entry: Mapping[str, Any]) -> None:
        """Note an entry of the log, if it is about requests."""
        sent, used = entry.get("requests"), entry.get("limit_used")
        if plugin not in READERS or not isinstance(sent, int) or not isinstance(used, int):
            return
        self._sent, limit = sent, entry.get("limit")
        second = round(self._clock() - self._began)
        if self._points and second < (self._points[-1][0] or 0) + self._step:
            return
        self._points.append([second, used, limit if isinstance(limit, int) else None])
        if len(self._points) > _MOST_POINTS:
            self._points = self._points[::2]
            self._step *= 2

    def shown(self) -> dict[str, Any]:
        """Return the line as the ledger keeps it: requests in all, and by the scan's second.

        A point is the second, the account's requests in the ten seconds before it, and its limit.
        """
        if not self._points:
            return {}
        return {
            "total": self._earlier + self._sent, "step": self._step, "points": self._points,
        }  # fmt: skip
