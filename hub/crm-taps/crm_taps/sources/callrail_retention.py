"""How long CallRail keeps what it has: a date before that is an error there."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

RETENTION_MONTHS = 25


def first_kept(now: datetime) -> date:
    """The first day that begins within the retention in every time zone.

    Args:
        now: The time, in UTC.
    """
    # A day begins fourteen hours before that of UTC in the easternmost zone.
    return months_before(now.date(), RETENTION_MONTHS) + timedelta(days=2)


def months_before(day: date, months: int) -> date:
    """The day of the same number so many months earlier, or that month's last one."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    for number in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, number)
        except ValueError:
            continue
    raise AssertionError
