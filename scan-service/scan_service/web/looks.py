"""Knows how values look on pages: numbers, moments and states in words, all escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scan_service.moments import read_moment
from scan_service.web import assets

if TYPE_CHECKING:
    from collections.abc import Mapping

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_STATES = {
    "pending": "Waiting",
    "running": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}


def render(template: str, **values: Any) -> str:
    """Return a template with its values; whatever they hold is text and never markup."""
    return _PAGES.get_template(template).render(**values)


def state(value: str) -> str:
    """Return the state of a scan in words."""
    return _STATES.get(value, value)


def number(value: Any) -> str:
    """Return a number with its thousands apart; what is unknown is a dash."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int | Decimal) else str(value)


def money(value: Any) -> str:
    """Return an amount to the cent, with its thousands apart; sums may have many more digits."""
    return "-" if value is None else f"{Decimal(value):,.2f}"


def lasting(seconds: Any) -> str:
    """Return a time span in words, in its two largest units."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s" if whole or not seconds else "under 1 s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def moment(value: str | None) -> str:
    """Return a moment as people read it, to the second, in UTC."""
    return f"{read_moment(value):%Y-%m-%d %H:%M:%S} UTC" if value else "-"


def ago(value: str | None) -> str:
    """Return how long ago a moment was, in its largest unit."""
    if not value:
        return "-"
    seconds = int((datetime.now(UTC) - read_moment(value)).total_seconds())
    if seconds < 0:
        return f"in {lasting(-seconds)}"
    for size, unit in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def plain(value: Any) -> str:
    """Return any value of a record as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(plain(each) for each in value)
    return str(value)


def linked(link: Mapping[str, Any]) -> str:
    """Return the labels of a link, which say what one record is to the other."""
    return ", ".join(str(each["label"]) for each in link["types"] if each.get("label"))


_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_PAGES.filters.update(
    state=state,
    number=number,
    lasting=lasting,
    moment=moment,
    ago=ago,
    plain=plain,
    linked=linked,
    money=money,
)
_PAGES.globals |= {"asset": assets.address}
