"""Knows how moments are written in answers and read from requests: ISO 8601, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import overload

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})?\Z"
)


@overload
def timestamp(moment: datetime | None = ...) -> str: ...
@overload
def timestamp(moment: datetime | None, *, absent: None) -> str | None: ...
def timestamp(moment: datetime | None = None, *, absent: str | None = "now") -> str | None:
    """Write a moment as UTC with seconds; without one, now (or None with `absent=None`)."""
    if moment is None:
        if absent is None:
            return None
        moment = datetime.now(UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_moment(text: str) -> datetime:
    """Read an ISO 8601 date or date-time; without an offset it is UTC.

    Raises:
        ValueError: what is wrong with it, to follow a field's name.
    """
    if not (_DAY.match(text) or _TIME.match(text)):
        raise ValueError("must be an ISO 8601 date or date-time")
    try:
        if _DAY.match(text):
            return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError("is no date of the calendar") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def bounds(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the first moment that counts and the first that no longer does."""
    first = read_moment(start) if start else None
    last = read_moment(end) if end else None
    if last and end and len(end) == len("2025-12-31"):
        last += timedelta(days=1)
    return first, last
