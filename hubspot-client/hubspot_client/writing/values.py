"""Values of programs as HubSpot's texts, by property definition.

Every value is a text on the wire. Numbers take neither exponents nor thousands separators, dates
are days, several options are joined with semicolons, an empty text clears. Sources: HubSpot's
guides to properties and to the objects.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from hubspot_client.properties import to_date, to_datetime

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_client.properties import Definition

LONGEST = 65_536
"""Characters that a property holds."""

NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
ENDS = re.compile(r"^[\s\u200b\u2060\ufeff]+|[\s\u200b\u2060\ufeff]+$")


class UnfitError(ValueError):
    """A value that its property cannot hold.

    Args:
        code: In HubSpot's words: `INVALID_NUMBER`, `INVALID_DATE`, `INVALID_OPTION`, ...
        property: Which one.
    """

    def __init__(self, code: str, property: str) -> None:  # noqa: A002 - HubSpot's word
        super().__init__(f"{property}: {code}")
        self.code = code
        self.property = property


def to_text(definition: Definition, value: Any) -> str:
    """Give a value as the text that HubSpot takes; an empty one clears.

    Args:
        definition: Of the property.
        value: JSON of any type, or Decimal, date, datetime.

    Raises:
        UnfitError: If the property cannot hold it. The value is not in the message.
    """
    if isinstance(value, str):
        value = trimmed(value)
    if value is None or value == "":
        return ""
    try:
        text = _text(definition, value)
    except (ValueError, OverflowError, InvalidOperation):
        raise UnfitError(_CODES.get(definition.type, "INVALID_VALUE"), definition.name) from None
    if len(text) > LONGEST:
        raise UnfitError("VALUE_TOO_LONG", definition.name)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, which no request can hold
        raise UnfitError("INVALID_TEXT", definition.name) from None
    return text


_CODES = {
    "number": "INVALID_NUMBER",
    "date": "INVALID_DATE",
    "datetime": "INVALID_DATE",
    "bool": "INVALID_OPTION",
    "enumeration": "INVALID_OPTION",
}


def trimmed(text: str) -> str:
    """Drop blanks of all kinds at both ends; HubSpot refuses an address for a trailing one."""
    return ENDS.sub("", text)


def _text(definition: Definition, value: Any) -> str:
    kind = definition.type
    if kind == "number":
        return _number(value)
    if kind == "bool":
        return _bool(value)
    if kind == "date":
        return _date(value)
    if kind == "datetime":
        return _datetime(value)
    if definition.is_multi_select:
        return _options(definition, value)
    text = _plain(value)
    if kind == "enumeration" and definition.options and text not in _allowed(definition):
        raise ValueError(text)
    return text


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, str):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise ValueError(value)


def _number(value: Any) -> str:
    """Print every digit, and no exponent: `1e16` and `1000000.0` are refused."""
    if isinstance(value, bool):
        raise ValueError(value)  # noqa: TRY004 - the same as for a text that is none
    number = Decimal(repr(value) if isinstance(value, float) else str(value))
    if not number.is_finite() or abs(number.adjusted()) > LONGEST:  # digits without end
        raise ValueError(value)
    text = format(number, "f")
    if isinstance(value, float):
        text = text.removesuffix(".0")
    if not NUMBER.fullmatch(text):
        raise ValueError(value)
    return text


def _bool(value: Any) -> str:
    text = str(value).lower()
    if text in {"true", "false"}:
        return text
    if text in {"1", "0"}:
        return "true" if text == "1" else "false"
    raise ValueError(value)


def _date(value: Any) -> str:
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    text = str(value)
    if len(text) > 10 and text[10] in " T":  # noqa: PLR2004 - a day and a time
        return datetime.fromisoformat(text).date().isoformat()
    return to_date(text)


def _datetime(value: Any) -> str:
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - becomes UTC below
    elif isinstance(value, str) and len(value) > 10 and value[10] in " T":  # noqa: PLR2004
        moment = datetime.fromisoformat(value)
    else:
        moment = datetime.fromisoformat(to_datetime(str(value)))
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    spec = "milliseconds" if moment.microsecond else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=spec) + "Z"


def _options(definition: Definition, value: Any) -> str:
    """Join several; a text that begins with a semicolon adds to what is there."""
    listed = value if isinstance(value, list) else None
    appends = isinstance(value, str) and value.startswith(";")
    parts = [_plain(each) for each in listed] if listed is not None else _plain(value).split(";")
    chosen = [part for part in map(trimmed, parts) if part]
    if listed is not None and any(";" in part for part in chosen):
        raise ValueError(value)
    if definition.options and not _allowed(definition).issuperset(chosen):
        raise ValueError(value)
    return (";" if appends and chosen else "") + ";".join(dict.fromkeys(chosen))


def _allowed(definition: Definition) -> set[str]:
    return {str(option.get("value")) for option in definition.options}


def is_same(definition: Definition, text: str, held: str | None) -> bool:
    """Whether writing a text would change nothing: compared by type, not letter by letter."""
    held = held or ""
    if text == held or not (text and held):
        return text == held
    if definition.is_multi_select:
        there, chosen = set(held.split(";")), {each for each in text.split(";") if each}
        return chosen <= there if text.startswith(";") else chosen == there
    if definition.name == "email":
        return text.lower() == held.lower()
    read = _READERS.get(definition.type)
    try:
        return read is not None and read(text) == read(held)
    except (ValueError, InvalidOperation):
        return False


def is_before(definition: Definition, text: str | None, held: str | None) -> bool:
    """Whether a day, a moment or a number lies before what is there; not where one is empty."""
    read = _READERS.get(definition.type)
    if read is None or not (text and held):
        return False
    try:
        return bool(read(text) < read(held))
    except (ValueError, InvalidOperation):
        return False


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(to_datetime(text))
    return moment - timedelta(microseconds=moment.microsecond % 1000)  # HubSpot keeps milliseconds


_READERS: dict[str, Callable[[str], Any]] = {
    "number": Decimal,
    "date": to_date,
    "datetime": _moment,
}
