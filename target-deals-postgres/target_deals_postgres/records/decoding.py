"""A decoder made from a stream's schema: it judges types while it parses, and loses no digit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from target_deals_postgres.records.columns import BIGINT_RANGE, EVERYTHING, Column, Kind
from target_deals_postgres.records.values import (
    NULL,
    NarrowError,
    UnfitError,
    as_date,
    as_moment,
    as_text,
    loads,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ABSENT = Raw()  # the default of a property that keeps its bytes
_ODD_NAME = re.compile(r'[\x00-\x1f"\\\ud800-\udfff]')  # msgspec cannot decode into such names
_BIGINT = Annotated[int, Meta(ge=BIGINT_RANGE[0], le=BIGINT_RANGE[1])]
_NUMBERS = frozenset({"integer", "number"})
_STARTS = {
    "string": '"',
    "integer": "-0123456789",
    "number": "-0123456789",
    "boolean": "tf",
    "object": "{",
    "array": "[",
}


def decoder(
    columns: Sequence[Column], types: Sequence[Any], *, required: bool
) -> msgspec.json.Decoder[Any] | None:
    """Make the decoder of a stream's records.

    Args:
        columns: the stream's properties.
        types: the type of each, from `struct_type`.
        required: whether a record must have all of them; else UNSET and ABSENT stand for missing.

    Returns:
        A decoder of structs, which refuses unknown properties; None when a name is too odd.
    """
    if any(_ODD_NAME.search(column.field.name) for column in columns):
        return None
    fields: list[Any] = [
        (f"f{at}", type_)
        if required
        else (f"f{at}", Raw, ABSENT)
        if type_ is Raw
        else (f"f{at}", type_ | UnsetType, UNSET)
        for at, type_ in enumerate(types)
    ]
    rename = {f"f{at}": column.field.name for at, column in enumerate(columns)}
    struct = msgspec.defstruct(
        "Record", fields, rename=rename, forbid_unknown_fields=True, gc=False
    )
    return msgspec.json.Decoder(struct)


def struct_type(column: Column) -> Any:
    """What a property is decoded into.

    Strings, and what Python writes as PostgreSQL reads it; the rest keeps its own bytes, so that
    no float is ever made.
    """
    accepts, kind = column.field.accepts, column.kind
    if accepts == {"string"} and kind in {Kind.TEXT, Kind.DATE, Kind.TIMESTAMP, Kind.UUID}:
        return str | None
    if accepts == {"integer"} and kind is Kind.BIGINT:
        return _BIGINT | None
    if accepts == {"boolean"} and kind is Kind.BOOLEAN:
        return bool | None
    return Raw  # takes null too; msgspec knows no union with it


def text_of(column: Column) -> Callable[[Any], str] | None:
    """What makes a decoded value that is not null a text, and judges what is left to judge.

    Returns:
        A function that takes the value, or NULL, and raises UnfitError or NarrowError; None for
        strings that are texts already.
    """
    accepts, kind = column.field.accepts, column.kind
    if struct_type(column) is not Raw:
        if kind in {Kind.DATE, Kind.TIMESTAMP}:
            return _dates(column)
        return None if accepts == {"string"} else str
    if kind is Kind.JSONB and accepts >= EVERYTHING:
        return _raw_text
    whole = "integer" in accepts and "number" not in accepts  # 1.5 has to be found out
    numbers = kind in {Kind.NUMERIC, Kind.TEXT} and accepts <= _NUMBERS
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
    def judge(value: Raw) -> str:
        if _raw_text(value) is NULL:
            return NULL
        try:
            return as_text(loads(bytes(value)), column.kind, column.field.accepts) or ""
        except UnfitError as error:
            raise UnfitError(f"{column.field.name}: {error}") from None
        except NarrowError:
            raise NarrowError(column.field.name) from None

    return judge
