"""How HubSpot writes instants, and the clock that the simulator lives by."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=65_536)
def iso(milliseconds: int) -> str:
    """Write an instant the way a Java Instant prints: no fraction where it is zero (observed)."""
    moment = EPOCH + timedelta(milliseconds=milliseconds)
    timespec = "milliseconds" if milliseconds % 1000 else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def parse_instant(text: str) -> int | None:
    """Read epoch milliseconds, ISO 8601 or a bare date; what is finer than 1 ms is cut off."""
    if text.lstrip("-").isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // MILLISECOND


def milliseconds_of(moment: datetime | int) -> int:
    return moment if isinstance(moment, int) else (moment - EPOCH) // MILLISECOND


class Clock:
    """Wall-clock time that a test can push forward."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        return time.time() + self.offset

    def now_ms(self) -> int:
        return int(self.now() * 1000)

    def advance(self, seconds: float) -> None:
        self.offset += seconds
