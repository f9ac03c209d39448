"""Types of columns, and how the values of JSON and XML become exact values of them.

A column is made by one of the constants here. What does not fit its column is never bent: the
caller learns it by `MisfitError` and keeps the value elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any

INTEGERS = range(-(2**63), 2**63)
INTEGER_TEXT = re.compile(r"[+-]?\d{1,19}")
LARGEST_EXPONENT = 1000
"""PostgreSQL's numeric holds much more; nobody means it."""


class MisfitError(ValueError):
    """A value that its column's type cannot hold."""


Convert = Callable[[Any, tzinfo], Any]


@dataclass(frozen=True)
class Column:
    """A column's type.

    Attributes:
        schema: Its JSON schema without `null`.
        convert: Makes a value of it; gets the value, which is not null, and the time zone of times
            that name none. Raises `MisfitError`.
    """

    schema: dict[str, Any]
    convert: Convert

    def schema_of(self, *, required: bool) -> dict[str, Any]:
        """The JSON schema of a property of this type."""
        kind = self.schema["type"]
        return {**self.schema, "type": [kind] if required else [kind, "null"]}


def _text(value: Any, _zone: tzinfo) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    raise MisfitError


def _integer(value: Any, _zone: tzinfo) -> int | None:
    if isinstance(value, str):
        if not value.strip():
            return None
        value = int(value) if INTEGER_TEXT.fullmatch(value.strip()) else value
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        value = int(value) if value.adjusted() < 20 else value  # noqa: PLR2004 - 64 bits
    if isinstance(value, bool) or not isinstance(value, int) or value not in INTEGERS:
        raise MisfitError
    return value


def _number(value: Any, _zone: tzinfo) -> Decimal | None:
    if isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise MisfitError
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise MisfitError from None
    if not number.is_finite() or abs(number.adjusted()) > LARGEST_EXPONENT:
        raise MisfitError
    return number


def _boolean(value: Any, _zone: tzinfo) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and not value.strip():
        return None
    known = {"true": True, "1": True, "false": False, "0": False}
    try:
        return known[str(value).strip().lower()]
    except KeyError:
        raise MisfitError from None


def _time(value: Any, zone: tzinfo) -> str | None:
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise MisfitError from None
    if not isinstance(value, datetime):
        raise MisfitError
    return utc_text(value if value.tzinfo else _in_zone(value, zone))


def _in_zone(naive: datetime, zone: tzinfo) -> datetime:
    """A time of a zone; of an hour that comes twice the first, of one that never comes none."""
    try:
        there = naive.replace(tzinfo=zone)
        if there.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
            raise MisfitError
    except OverflowError:
        raise MisfitError from None
    return there


def _milliseconds(value: Any, zone: tzinfo) -> str | None:
    whole = _integer(value, zone)
    if whole is None:
        return None
    try:
        seconds, rest = divmod(whole, 1000)
        return utc_text(datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000))
    except (OverflowError, ValueError, OSError):
        raise MisfitError from None


def _date(value: Any, _zone: tzinfo) -> str | None:
    if isinstance(value, str) and not value.strip():
        return None
    try:
        return date.fromisoformat(str(value).strip()[:10]).isoformat()
    except ValueError:
        raise MisfitError from None


def _object(value: Any, _zone: tzinfo) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise MisfitError


def _array(value: Any, _zone: tzinfo) -> list[Any]:
    if isinstance(value, list):
        return value
    raise MisfitError


def camel_case(name: str) -> str:
    """`date_created` as JavaScript's people write it: `dateCreated`."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def snake_case(name: str) -> str:
    """`lastUpdate`, `LeadSources` and `Last Agent` as columns and tables have them."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"\W+", "_", parted).strip("_").lower()


def utc_text(time: datetime) -> str:
    """A time as records and bookmarks have it: in UTC, with six digits, so that texts sort."""
    try:
        return time.astimezone(UTC).isoformat(timespec="microseconds")
    except (OverflowError, ValueError):
        raise MisfitError from None


TEXT = Column({"type": "string"}, _text)
INTEGER = Column({"type": "integer"}, _integer)
NUMBER = Column({"type": "number"}, _number)
BOOLEAN = Column({"type": "boolean"}, _boolean)
TIME = Column({"type": "string", "format": "date-time"}, _time)
MILLISECONDS = Column({"type": "string", "format": "date-time"}, _milliseconds)
"""A time that the source gives in milliseconds since 1970."""
DATE = Column({"type": "string", "format": "date"}, _date)
OBJECT = Column({"type": "object"}, _object)
ARRAY = Column({"type": "array"}, _array)
