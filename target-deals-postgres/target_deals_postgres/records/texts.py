"""What makes a decoded value a text, and judges what its type does not say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from target_deals_postgres.records.columns import STRUCTURES, Column, Kind
from target_deals_postgres.records.lines import NULL
from target_deals_postgres.records.values import (
    NarrowError,
    UnfitError,
    as_date,
    as_moment,
    as_text,
    loads,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# Longer ones might lose their form in Python's hands: 0.0000001 would become 1E-7.
_PLAIN_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.([0-9]{1,6}))?")
_NUMBERS = frozenset({"integer", "number"})
DIGITS = "-0123456789"
_STARTS = {
    "string": '"',
    "integer": DIGITS,
    "number": DIGITS,
    "boolean": "tf",
}
_TRUTHS = {True: "true", False: "false", NULL: NULL}
_string = msgspec.json.Decoder(str).decode


def text_of(column: Column, type_: Any) -> Callable[[Any], str] | None:
    """What makes a decoded value that is not null a text, and judges what is left to judge.

    Args:
        column: the property's column.
        type_: what the property is decoded into.

    Returns:
        A function that takes the value, or NULL, and raises UnfitError or NarrowError; None for
        strings that are texts already.
    """
    accepts, kind = column.field.accepts, column.kind
    if type_ is not Raw:
        if kind in {Kind.DATE, Kind.TIMESTAMP}:
            return _dates(column)
        if kind is Kind.BOOLEAN:
            return _TRUTHS.__getitem__
        return None if accepts == {"string"} else str
    if kind is Kind.JSONB and accepts & STRUCTURES:
        return _raw_text if "string" in accepts else _structures(column)
    whole = "integer" in accepts and "number" not in accepts  # 1.5 has to be found out
    # A column of texts has them as they are written, which Python may do in another way.
    numbers = kind is Kind.NUMERIC and accepts <= _NUMBERS
    if not whole and (kind is Kind.JSONB or numbers):
        return _starts(column)
    return _converted(column)


def _raw_text(value: Raw) -> str:
    text = str(value, "utf-8")
    return NULL if text in {"null", ""} else text


def _dates(column: Column) -> Callable[[str], str]:
    as_moment_or_date = as_date if column.kind is Kind.DATE else as_moment

    def judge(text: str) -> str:
        try:
            return text if text is NULL else as_moment_or_date(text)
        except UnfitError as error:
            raise UnfitError(f"{column.field.name}: {error}") from None

    return judge


def _structures(column: Column) -> Callable[[Raw], str]:
    slow = _converted(column)

    def judge(value: Raw) -> str:
        text = _raw_text(value)
        return slow(value) if text[0] == '"' else text  # it may be JSON as text

    return judge


def _starts(column: Column) -> Callable[[Raw], str]:
    starts = "".join(_STARTS[type_] for type_ in column.field.accepts)
    sentence = f"{column.field.name}: expected {' or '.join(sorted(column.field.accepts))}"

    def judge(value: Raw) -> str:
        text = _raw_text(value)
        if text is not NULL and text[0] not in starts:
            raise UnfitError(sentence)
        return text

    return judge


def _converted(column: Column) -> Callable[[Raw], str]:
    kind, accepts = column.kind, column.field.accepts
    as_number = _numbers(column)

    def judge(value: Raw) -> str:
        text = _raw_text(value)
        if text is NULL:
            return NULL
        if text[0] in DIGITS and (plain := as_number(text)):
            return plain
        try:
            return as_text(_parsed(value, text), kind, accepts) or ""
        except UnfitError as error:
            raise UnfitError(f"{column.field.name}: {error}") from None
        except NarrowError:
            raise NarrowError(column.field.name) from None

    return judge


def _parsed(value: Raw, text: str) -> Any:
    if text[0] == '"':
        try:
            return _string(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # lone surrogates
    return loads(bytes(value))


def _numbers(column: Column) -> Callable[[str], str]:
    # A number is mostly written as PostgreSQL and `as_text` write it; "" where that is not plain.
    kind, accepts = column.kind, column.field.accepts
    if not accepts & _NUMBERS or kind not in {Kind.BIGINT, Kind.NUMERIC, Kind.TEXT, Kind.JSONB}:
        return lambda _: ""
    has_fractions = "number" in accepts and kind is not Kind.BIGINT

    def plain(text: str) -> str:
        found = _PLAIN_NUMBER.fullmatch(text)
        if found is None:
            return ""
        whole, fraction = found.groups()
        if whole == "-0" or not (has_fractions or not fraction or fraction.strip("0") == ""):
            return ""
        return whole if kind is Kind.BIGINT else text

    return plain
