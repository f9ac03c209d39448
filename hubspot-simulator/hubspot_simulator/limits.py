"""Rate limits: who may ask how often, and what the headers say about it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from hubspot_simulator.errors import rate_limited


@dataclass
class RateLimits:
    """A portal's limits; switched off, the headers tell of a budget that is never reached.

    Numbers: HubSpot docs, "API usage guidelines" (Professional and Enterprise). `others_*` is what
    other apps of the account use up: the search and daily budgets are shared by all apps.
    """

    enabled: bool = False
    general: int = 190
    associations: int = 150
    search: int = 5
    daily: int = 625_000
    retry_after: bool = False
    shared_associations: bool = False
    others_general: int = 0
    others_search: int = 0
    others_daily: int = 0
    refused: int = 0
    used_today: int = 0
    _windows: dict[tuple[str, str], deque[float]] = field(default_factory=dict)
    _offset: float = 0.0

    def advance(self, seconds: float) -> None:
        self._offset += seconds

    def reset(self) -> None:
        self._windows.clear()
        self.used_today = self.refused = 0

    def take(self, app: str, endpoint: str, *, oauth: bool = False) -> dict[str, str]:
        """Count one request of an app; return the headers, or refuse with 429."""
        if not self.enabled:
            return {} if endpoint == "search" else self._headers(1_000_000, 999_999, oauth=oauth)
        if self.used_today + self.others_daily >= self.daily:
            self.refused += 1
            raise rate_limited("DAILY", retry_after=3600 if self.retry_after else None)
        policy, key, allowed, seconds = self._bucket(app, endpoint)
        window = self._windows.setdefault(key, deque())
        now = time.monotonic() + self._offset
        while window and window[0] <= now - seconds:
            window.popleft()
        if len(window) >= allowed:
            self.refused += 1
            wait = window[0] + seconds - now if window else seconds
            error = rate_limited(policy, retry_after=wait if self.retry_after else None)
            error.headers |= self._refused_headers(policy, oauth=oauth)
            raise error
        window.append(now)
        self.used_today += 1
        if policy == "SECONDLY":
            # Search answers carry no interval headers (HubSpot docs: "API usage guidelines").
            return self._daily(oauth=oauth)
        most = self.associations if key[1] == "associations" else self.general
        return self._headers(most, allowed - len(window), oauth=oauth)

    def _bucket(self, app: str, endpoint: str) -> tuple[str, tuple[str, str], int, float]:
        if endpoint == "search":
            return "SECONDLY", ("", "search"), self.search - self.others_search, 1.0
        if (
            endpoint in {"associations", "labels", "link", "unlink"}
            and not self.shared_associations
        ):
            return "TEN_SECONDLY_ROLLING", (app, "associations"), self.associations, 10.0
        return "TEN_SECONDLY_ROLLING", (app, "general"), self.general - self.others_general, 10.0

    def _daily(self, *, oauth: bool) -> dict[str, str]:
        if oauth:
            return {}
        remaining = max(0, self.daily - self.used_today - self.others_daily)
        return {
            "X-HubSpot-RateLimit-Daily": str(self.daily),
            "X-HubSpot-RateLimit-Daily-Remaining": str(remaining),
        }

    def _headers(self, allowed: int, remaining: int, *, oauth: bool) -> dict[str, str]:
        return {
            **self._daily(oauth=oauth),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            "X-HubSpot-RateLimit-Max": str(allowed),
            "X-HubSpot-RateLimit-Remaining": str(remaining),
            "X-HubSpot-RateLimit-Secondly": str(allowed // 10),
            "X-HubSpot-RateLimit-Secondly-Remaining": str(allowed // 10),
        }

    def _refused_headers(self, policy: str, *, oauth: bool) -> dict[str, str]:
        if policy == "SECONDLY":
            return self._daily(oauth=oauth)
        return self._headers(self.general, 0, oauth=oauth)
