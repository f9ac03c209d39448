"""Moments: what time it is for HubSpot, and how moments are read and written."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

TOLERANCE = timedelta(seconds=2)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock:
    """HubSpot's time, learned from the `Date` header of its answers.

    A bookmark taken from a machine whose clock is ahead would pass over changes. Differences below
    two seconds are the header's own coarseness and are left alone.
    """

    def __init__(self) -> None:
        self._offset = timedelta(0)
        self._learned = False
        self._lock = threading.Lock()

    def learn(self, date_header: str | None) -> None:
        """Take the offset from the first answer that tells it."""
        if self._learned or not date_header:
            return
        try:
            theirs = parsedate_to_datetime(date_header)
        except ValueError:
            return
        if theirs.tzinfo is None:
            theirs = theirs.replace(tzinfo=UTC)
        offset = theirs - datetime.now(UTC)
        with self._lock:
            self._offset = offset if abs(offset) > TOLERANCE else timedelta(0)
            self._learned = True

    def now(self) -> datetime:
        """The current time at HubSpot, with time zone UTC."""
        return datetime.now(UTC) + self._offset


def iso(moment: datetime) -> str:
    """A moment as HubSpot writes it, with microseconds: `2026-01-31T09:30:00.123456Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """An ISO 8601 date or time, in UTC where it names no zone.

    Raises:
        ValueError: If it is no such date.
    """
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970; what is finer is cut off."""
    return (moment - EPOCH) // timedelta(milliseconds=1)
