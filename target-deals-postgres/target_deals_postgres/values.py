"""One value at a time: from JSON to the text that PostgreSQL reads, without loss.

The slow and complete way; `rows` takes a short cut for records that plainly fit, with equal results.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from singer_sdk.singerlib.json import serialize_json

from target_deals_postgres.columns import BIGINT_RANGE, EVERYTHING, Kind

NULL = "\\N"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST_BIGINT = 19  # digits
LONGEST_INTEGER = 4000  # digits; Python refuses to parse longer ones

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d.*", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
# Escapes of a JSON text, those first that PostgreSQL cannot store: NUL and half of a surrogate pair.
_ESCAPES = re.compile(
    r"\\(?:(u0000)|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


class UnfitError(ValueError):
    """A value does not fit its schema; the message names the property and never the value."""


class NarrowError(ValueError):
    """A value fits its schema but not its column, which has to be widened to `numeric`."""


class NotFinite(str):
    """NaN, Infinity or -Infinity: a number for numeric columns, a string inside JSON."""

    __slots__ = ()


def loads(line: bytes) -> Any:
    """Parse JSON exactly: no float is made, NaN and Infinity are taken, bad UTF-8 is replaced.

    Raises:
        ValueError: it is no JSON.
    """
    return json.loads(
        line.decode("utf-8", "replace"),
        parse_float=Decimal,
        parse_int=lambda digits: int(digits) if len(digits) < LONGEST_INTEGER else Decimal(digits),
        parse_constant=NotFinite,
    )


def json_type(value: Any) -> str:
    """The JSON type of a Python value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, Decimal | float | NotFinite):
        return "integer" if _is_integral(value) else "number"
    if isinstance(value, str | date | time):
        return "string"
    return "object" if isinstance(value, dict) else "array"


def as_text(value: Any, kind: Kind, accepts: frozenset[str]) -> str | None:
    """The text of a value for a column, before COPY's escaping.

    Args:
        value: what JSON (or a stream map) gave.
        kind: the type of the column.
        accepts: the JSON types that the schema allows.

    Returns:
        The text, or None for NULL.

    Raises:
        UnfitError: the schema does not allow the value.
        NarrowError: the schema allows it, but the column is too narrow.
    """
    if value is None:
        return None
    if isinstance(value, float):
        value = (
            NotFinite(str(value))
            if value != value or value in {1e999, -1e999}
            else Decimal(str(value))
        )
    given = json_type(value)
    if given not in accepts and not (given == "integer" and "number" in accepts):
        raise UnfitError(f"expected {' or '.join(sorted(accepts))}, found {given}")
    if isinstance(value, date | time):
        value = value.isoformat()
    if kind is Kind.JSONB:
        return serialize_json(value)
    if kind is Kind.TEXT:
        return value if isinstance(value, str) else serialize_json(value)
    if kind is Kind.BIGINT:
        if isinstance(value, Decimal) and value.adjusted() > LONGEST_BIGINT:
            raise NarrowError("")  # before int() makes a billion digits of 1E999999999
        whole = int(value)
        if not BIGINT_RANGE[0] <= whole <= BIGINT_RANGE[1]:
            raise NarrowError("")
        return str(whole)
    if kind is Kind.NUMERIC:
        return _number(value)
    if kind is Kind.BOOLEAN:
        return "true" if value else "false"
    return _formatted(value, kind)


def storable(text: str, kind: Kind) -> str:
    """Replace what PostgreSQL cannot store, NUL and lone surrogates, by U+FFFD.

    In JSON they are escapes: what PostgreSQL refuses is their meaning.
    """
    if kind is not Kind.JSONB:
        return _SURROGATE.sub(REPLACEMENT, text.replace("\0", REPLACEMENT))
    if "\\u" not in text:
        return text
    return _ESCAPES.sub(lambda found: "\\ufffd" if found[1] or found[2] else found[0], text)


def escape(text: str) -> str:
    """Escape a text for COPY."""
    text = text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    return text.replace("\r", "\\r")


def unescape(text: str) -> str | None:
    """Undo `escape`; None for NULL."""
    if text == NULL:
        return None
    plain = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
    return re.sub(r"\\(.)", lambda found: plain[found[1]], text) if "\\" in text else text


def as_json(text: str | None, kind: Kind, accepts: frozenset[str] = EVERYTHING) -> str:
    """The JSON of a column's text, for the payload of a rejected record."""
    if text is None:
        return "null"
    if kind in {Kind.JSONB, Kind.BIGINT, Kind.BOOLEAN} or (
        kind is Kind.NUMERIC and "string" not in accepts
    ):
        return text.lower() if kind is Kind.BOOLEAN else text
    return json.dumps(text, ensure_ascii=False)


def _number(value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, NotFinite):
        try:
            Decimal(value)
        except InvalidOperation:
            raise UnfitError("expected a decimal number in the string") from None
    return str(value)


def _formatted(value: Any, kind: Kind) -> str:
    # Only what plainly is a date: PostgreSQL would also take "now", and cut the time off a date.
    text = str(value)
    if kind is Kind.DATE and not _DATE.fullmatch(text):
        raise UnfitError("expected a date (YYYY-MM-DD)")
    if kind is Kind.TIMESTAMP and not _MOMENT.fullmatch(text):
        raise UnfitError("expected a date-time (RFC 3339)")
    if kind is Kind.TIME:
        try:
            moment = time.fromisoformat(text)
        except ValueError:
            raise UnfitError("expected a time (HH:MM:SS)") from None
        if moment.tzinfo is not None:
            moment = datetime.combine(date(2000, 1, 2), moment).astimezone(UTC).time()
        return moment.isoformat()
    return text


def _is_integral(value: Decimal | float | NotFinite) -> bool:
    if isinstance(value, NotFinite):
        return False
    number = Decimal(value)
    return number.is_finite() and number == number.to_integral_value()
