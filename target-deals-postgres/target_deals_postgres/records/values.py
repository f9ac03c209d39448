"""One value at a time: from JSON to the text that PostgreSQL reads, without loss.

The slow and complete way; `rows` takes a short cut for records that plainly fit, with equal
results.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from singer_sdk.singerlib.json import serialize_json

from target_deals_postgres.records.columns import BIGINT_RANGE, EVERYTHING, STRUCTURES, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

NO_DATE = "expected a date (YYYY-MM-DD)"
NO_TIME = "expected a time (HH:MM:SS)"
NO_MOMENT = "expected a date-time (RFC 3339)"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
DATE_LENGTH = len("2026-01-31")
LONGEST_BIGINT = 19  # digits
LONGEST_INTEGER = 4000  # digits; Python refuses to parse longer ones

_SURROGATE = re.compile("[\ud800-\udfff]")
# The escapes of a JSON text; the groups are what PostgreSQL cannot store.
_ESCAPES = re.compile(
    r"\\u(0000)"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u([dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\."
)
# The same as one question, which costs a fraction: has it none of them?
_STORABLE_JSON = re.compile(
    r"(?:[^\\]++"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u(?!0000|[dD][89a-fA-F])"
    r"|\\[^u])*+"
)


class UnfitError(ValueError):
    """A value does not fit its schema; the message names the property and never the value."""


class NarrowError(ValueError):
    """A value fits its schema but not its column, which has to be widened to `numeric`."""


class NotFinite(str):
    """NaN, Infinity, or a number with an exponent beyond all bounds.

    A number for numeric columns, a string inside JSON.
    """

    __slots__ = ()


def loads(line: bytes) -> Any:
    """Parse JSON exactly: no float is made, NaN and Infinity are taken, bad UTF-8 is replaced.

    Raises:
        ValueError: it is no JSON.
    """
    return json.loads(
        line.decode("utf-8", "replace"),
        parse_float=_fraction,
        parse_int=lambda digits: int(digits) if len(digits) < LONGEST_INTEGER else Decimal(digits),
        parse_constant=NotFinite,
    )


def _fraction(digits: str) -> Decimal | NotFinite:
    try:
        return Decimal(digits)
    except InvalidOperation:  # 1e9999999999999999999, which PostgreSQL may refuse itself
        return NotFinite(digits)


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
    if isinstance(value, float):  # a stream map made it
        value = Decimal(str(value)) if math.isfinite(value) else NotFinite(str(value))
    if kind is Kind.JSONB and accepts & STRUCTURES:
        return serialize_json(_structure(value, accepts))
    given = json_type(value)
    if given not in accepts and not (given == "integer" and "number" in accepts):
        raise UnfitError(f"expected {' or '.join(sorted(accepts))}, found {given}")
    if isinstance(value, date | time):
        value = value.isoformat()
    return _TEXTS[kind](value)


def _structure(value: Any, accepts: frozenset[str]) -> Any:
    # jsonb holds any JSON. Some taps send it as text, which counts as what it says.
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, str) and not isinstance(value, NotFinite) and "string" not in accepts:
        try:
            return loads(value.encode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            return value
    return value


def storable(text: str, kind: str) -> str:
    """Replace what PostgreSQL cannot store, NUL and lone surrogates, by U+FFFD.

    In JSON they are escapes: what PostgreSQL refuses is their meaning.
    """
    if kind is not Kind.JSONB:
        clean = text.replace("\0", REPLACEMENT)
        return clean if clean.isascii() else _SURROGATE.sub(REPLACEMENT, clean)
    if "\\u" not in text or _STORABLE_JSON.fullmatch(text):
        return text
    return _ESCAPES.sub(lambda found: "\\ufffd" if found[1] or found[2] else found[0], text)


def as_json(text: str | None, kind: Kind, accepts: frozenset[str] = EVERYTHING) -> str:
    """The JSON of a column's text, for the payload of a rejected record."""
    if text is None:
        return "null"
    if kind in {Kind.JSONB, Kind.BIGINT, Kind.BOOLEAN} or (
        kind in {Kind.NUMERIC, Kind.TEXT} and "string" not in accepts
    ):
        return text.lower() if kind is Kind.BOOLEAN else text
    return json.dumps(text, ensure_ascii=False)


def as_payload(record: Any) -> str:
    """The JSON of a record that is parsed already, for the list of rejected records.

    NaN and Infinity stay what they are in numeric columns, so that it can be tried again.
    """
    if not isinstance(record, dict):
        return serialize_json(record)
    members = (
        f"{json.dumps(name)}:{value if isinstance(value, NotFinite) else serialize_json(value)}"
        for name, value in record.items()
    )
    return "{" + ",".join(members) + "}"


def _bigint(value: Any) -> str:
    if isinstance(value, Decimal) and value.adjusted() > LONGEST_BIGINT:
        raise NarrowError("")  # before int() makes a billion digits of 1E999999999
    whole = int(value)
    if not BIGINT_RANGE[0] <= whole <= BIGINT_RANGE[1]:
        raise NarrowError("")
    return str(whole)


def _numeric(value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, NotFinite):
        try:
            Decimal(value)
        except InvalidOperation:
            raise UnfitError("expected a decimal number in the string") from None
    return str(value)


def _boolean(value: Any) -> str:
    return "true" if value else "false"


def as_date(text: str) -> str:
    """Check a date roughly; PostgreSQL judges the rest, but would cut the time off a date-time.

    Raises:
        UnfitError: it is something else.
    """
    if len(text) != DATE_LENGTH or text[4] != "-" or not "0" <= text[0] <= "9":
        raise UnfitError(NO_DATE)
    return text


def as_moment(text: str) -> str:
    """Check a date-time roughly; PostgreSQL judges the rest, but would also take "now".

    Raises:
        UnfitError: it is something else.
    """
    if text[4:5] != "-" or not "0" <= text[0] <= "9":
        raise UnfitError(NO_MOMENT)
    return text


def _time(value: Any) -> str:
    text = str(value)
    if text[1:2] == ":":  # before ten, as some taps write it
        text = f"0{text}"
    if text[2:3] != ":":  # Python would take 20260131 for 20:26:01.31
        raise UnfitError(NO_TIME)
    try:
        moment = time.fromisoformat(text)
    except ValueError:
        raise UnfitError(NO_TIME) from None
    if moment.tzinfo is not None:
        moment = datetime.combine(date(2000, 1, 2), moment).astimezone(UTC).time()
    return moment.isoformat()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else serialize_json(value)


_TEXTS: dict[Kind, Callable[[Any], str]] = {
    Kind.BIGINT: _bigint,
    Kind.NUMERIC: _numeric,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: as_date,
    Kind.TIMESTAMP: as_moment,
    Kind.TIME: _time,
    Kind.UUID: str,
    Kind.TEXT: _text,
    Kind.JSONB: serialize_json,
}


def _is_integral(value: Decimal | float | NotFinite) -> bool:
    if isinstance(value, NotFinite):
        return False
    number = Decimal(value)
    return number.is_finite() and number == number.to_integral_value()
