"""Knows how durations, sizes and rates are written in answers."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KILO = 1024


def duration(seconds: float | None) -> str | None:
    """Write a duration by its two or three largest units: `8m 15s`, `5d 12h 34m`."""
    if seconds is None:
        return None
    whole = max(0, int(seconds))
    days, rest = divmod(whole, _DAY)
    hours, rest = divmod(rest, _HOUR)
    minutes, secs = divmod(rest, _MINUTE)
    if days:
        return f"{days}d {hours}h {minutes}m"
    if hours:
        return f"{hours}h {minutes}m {secs}s"
    return f"{minutes}m {secs}s" if minutes else f"{secs}s"


def milliseconds(seconds: float) -> str:
    """Write a response time: `12ms`."""
    return f"{round(seconds * 1000)}ms"


def size(octets: float) -> str:
    """Write a number of bytes: `2.4 GB`, `102 KB`."""
    if octets < _KILO:
        return f"{int(octets)} B"
    amount, units = octets / _KILO, iter(("KB", "MB", "GB", "TB"))
    unit = next(units)
    while amount >= _KILO and (larger := next(units, None)):
        amount, unit = amount / _KILO, larger
    text = f"{amount:.1f}" if amount < 100 else f"{amount:.0f}"  # noqa: PLR2004 - three digits
    return f"{text.removesuffix('.0')} {unit}"


def percentage(part: float, whole: float) -> str:
    """Write a rate as the document does: `99.3%`; nothing of nothing is `0.0%`.

    Only all is `100.0%`, and only nothing is `0.0%`: one failure of a million is no rounding error.
    """
    if not whole or not part:
        return "0.0%"
    rate = round(100 * part / whole, 1)
    return f"{rate if part == whole else min(max(rate, 0.1), 99.9):.1f}%"


def expected_duration(median_seconds: float | None) -> str:
    """Write what earlier scans let one expect, as a range; nobody can know more."""
    if median_seconds is None:
        return "unknown"
    if median_seconds < _MINUTE:
        return "less than a minute"
    low = max(1, int(median_seconds * 0.75 // _MINUTE))
    high = max(low + 1, round(median_seconds * 1.5 / _MINUTE))
    return f"{low}-{high} minutes"


def requests(records: int, links: int, *, history: bool = False) -> int:
    """Return about how many requests to HubSpot an object type takes.

    A page has a hundred records, a read of links those of a thousand, one of histories those of
    fifty; the definitions come first.

    Args:
        records: how many there are.
        links: to how many object types their links are read.
        history: whether histories are read.
    """
    return 2 + -(-records // 100) + links * -(-records // 1000) + history * -(-records // 50)
