"""Values in one form, from HubSpot or from a table: equal ones are equal texts."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

NUMBER, FLAG, MOMENT, DAY, TEXT, JSON = "number", "boolean", "moment", "day", "text", "json"
LONGEST = 400
"""Digits before a number is left as it was written."""

DAY_LENGTH = len("2026-01-31")

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""What PostgreSQL cannot store, and the target replaces."""

_DECODER = msgspec.json.Decoder(float_hook=Decimal)

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def kind_of(schema: Mapping[str, Any]) -> str:
    """What a field's JSON schema says its values are."""
    types = set(schema.get("type") or ())
    if types & {"object", "array"}:
        return JSON
    if types & {"number", "integer"}:
        return NUMBER
    if "boolean" in types:
        return FLAG
    return {"date-time": MOMENT, "date": DAY}.get(schema.get("format", ""), TEXT)


def canonical(kind: str, value: Any) -> str | None:
    """The one text of all equal values of a kind; of what does not fit it, the text as it is.

    Args:
        kind: From `kind_of`.
        value: As a record has it, or as a table's text; None where there is none.
    """
    if value is None:
        return None
    return _TEXTS[kind](value)


def both(kind: str, ours: Any, theirs: Any) -> tuple[str | None, str | None]:
    """The canonical texts of a record's value and a row's; most are alike as they stand."""
    if ours is theirs is None:
        return None, None
    if type(ours) is str and ours == theirs:
        return theirs, theirs
    if kind == NUMBER and str(ours) == theirs:
        return theirs, theirs
    return canonical(kind, ours), canonical(kind, theirs)


def from_column(kind: str, text: str | None, column_type: str) -> Any:
    """The value of a column's text: what stands in `jsonb` is taken out of it."""
    if text is None or column_type not in {"json", "jsonb"}:
        return text
    value = loads(text)
    return value if kind == JSON or not isinstance(value, dict | list) else text


def loads(text: str) -> Any:
    """JSON with every digit of its numbers."""
    return _DECODER.decode(text)


def decoded(value: Any) -> Any:
    """JSON that may still be text."""
    if isinstance(value, msgspec.Raw):
        return loads(bytes(value).decode("utf-8", "replace"))
    return value


def digest(values: Iterable[object]) -> int:
    """64 bits of values; what rows have together is their sum, in any order."""
    text = "\0".join(map(repr, values)).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def _text(value: Any) -> str:
    return UNSTORABLE.sub(REPLACEMENT, str(value))


def _flag(value: Any) -> str:
    return str(value).lower()


def _day(value: Any) -> str:
    return str(value)[:DAY_LENGTH]  # its column may have become one of moments


def _moment(value: Any) -> str:
    text = str(value)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _number(value: Any) -> str:
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        return str(value)
    if not number.is_finite() or abs(number.adjusted()) > LONGEST:
        return str(number)
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text


def _json(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """A value with its numbers told from texts."""
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, str):
        return "'" + UNSTORABLE.sub(REPLACEMENT, value)
    if isinstance(value, bool) or value is None:
        return value
    return "#" + _number(value)


_TEXTS: dict[str, Callable[[Any], str]] = {
    TEXT: _text,
    FLAG: _flag,
    DAY: _day,
    MOMENT: _moment,
    NUMBER: _number,
    JSON: _json,
}
