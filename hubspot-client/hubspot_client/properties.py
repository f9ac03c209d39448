"""HubSpot's property definitions, and what they make of values: JSON types and exact conversion.

On the wire every property value is a string or null. The definition's `type` decides what it
means; `fieldType` only tells a multi-select from a single one. Source: HubSpot's guide to
properties; encodings observed in recorded answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

Value = str | int | Decimal | bool | list[str] | None
Converter = Callable[[str], Value]
"""Takes HubSpot's text, which is not empty, and gives the typed value; ValueError if it is none."""

NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?\s*", re.ASCII)
DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
DATE_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII
)
OF_STAGE = re.compile(
    r"hs_(?:v2_)?(?:date_entered|date_exited|time_in|latest_time_in|cumulative_time_in)"
    r"_(?!current_stage$).+"
)
EPOCH = re.compile(r"-?\d{1,15}", re.ASCII)
MIDNIGHT_1970 = datetime(1970, 1, 1, tzinfo=UTC)
SAFE_DIGITS = 18
REMEMBERED = 5000
"""Texts whose values are kept, for numbers and for times: about a megabyte each. With a fifth of it
what comes again is forgotten before it does."""


class Definition(msgspec.Struct, rename="camel", omit_defaults=True):
    """A property definition, as HubSpot gives it."""

    name: str
    type: str
    field_type: str = ""
    label: str = ""
    description: str = ""
    group_name: str = ""
    hubspot_defined: bool = False
    calculated: bool = False
    external_options: bool = False
    has_unique_value: bool = False
    hidden: bool = False
    archived: bool = False
    referenced_object_type: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    options: list[dict[str, Any]] = []

    @property
    def is_of_every_account(self) -> bool:
        """Whether the property is HubSpot's own and none of a stage.

        HubSpot makes several properties for each stage of each pipeline and calls them its own.
        """
        return self.hubspot_defined and not OF_STAGE.fullmatch(self.name)

    @property
    def is_multi_select(self) -> bool:
        """Whether a value is a list: several of the options, joined with semicolons."""
        return self.type == "enumeration" and self.field_type == "checkbox"

    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of a value, with HubSpot's label as its title."""
        schema: dict[str, Any] = {"type": ["string", "null"]}
        if self.is_multi_select:
            schema = {"type": ["array", "null"], "items": {"type": "string"}}
        elif self.type == "number":
            schema = {"type": ["number", "null"]}
        elif self.type == "bool":
            schema = {"type": ["boolean", "null"]}
        elif self.type == "date":
            schema = {"type": ["string", "null"], "format": "date"}
        elif self.type == "datetime":
            schema = {"type": ["string", "null"], "format": "date-time"}
        if self.label:
            schema["title"] = self.label
        if self.description:
            schema["description"] = self.description
        return schema

    def converter(self) -> Converter | None:
        """How to read a value; None where HubSpot's text is the value."""
        if self.is_multi_select:
            return to_list
        return CONVERTERS.get(self.type)


class Definitions(msgspec.Struct):
    """The answer of the properties endpoint, which has no pages."""

    results: list[Definition]


def to_number(text: str) -> int | Decimal:
    """An exact number: every digit that HubSpot sent, and no float on the way.

    Raises:
        ValueError: If it is no finite decimal number ("N/A", "NaN").
    """
    if text.isascii():  # most numbers are told without the expression, at half the cost
        if text.isdecimal() and len(text) <= SAFE_DIGITS:
            return int(text)
        if text.replace(".", "", 1).isdecimal():
            return Decimal(text)
    if NUMBER.fullmatch(text):
        return Decimal(text)
    raise ValueError(text)


def to_bool(text: str) -> bool:
    """`true` or `false`, in any case.

    Raises:
        ValueError: If it is neither.
    """
    if text == "true":
        return True
    if text == "false":
        return False
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    raise ValueError(text)


def to_date(text: str) -> str:
    """`YYYY-MM-DD`; older records hold epoch milliseconds of midnight UTC.

    Raises:
        ValueError: If it is no day between the years 1 and 9999.
    """
    if DATE.fullmatch(text):
        date.fromisoformat(text)
        return text
    if DATE_TIME.fullmatch(text):
        try:
            return datetime.fromisoformat(text).astimezone(UTC).date().isoformat()
        except OverflowError as exc:
            raise ValueError(text) from exc
    return _from_epoch(text).date().isoformat()


def to_datetime(text: str) -> str:
    """An ISO 8601 time with zone, as HubSpot sent it; epoch milliseconds become one.

    Raises:
        ValueError: If it is no time between the years 1 and 9999.
    """
    # 2026-01-31T09:30:00.123Z, as HubSpot mostly writes it, is told without the expression, at a
    # third of the cost: with these marks in place `fromisoformat` takes nothing else.
    usual = text[23:] == "Z" and text[4:8:3] == "--" and text[10:20:9] == "T."
    if usual or DATE_TIME.fullmatch(text):
        datetime.fromisoformat(text)
        return text
    if DATE.fullmatch(text):
        date.fromisoformat(text)
        return f"{text}T00:00:00Z"
    return _from_epoch(text).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def to_list(text: str) -> list[str]:
    """The chosen options of a multi-select; a leading semicolon is HubSpot's mark for appending."""
    return [option for option in text.split(";") if option]


def _from_epoch(text: str) -> datetime:
    if not EPOCH.fullmatch(text):
        raise ValueError(text)
    try:
        return MIDNIGHT_1970 + timedelta(milliseconds=int(text))
    except OverflowError as exc:
        raise ValueError(text) from exc


class Memo(dict[str, Any]):
    """What a converter made of the last texts.

    Values come again and again: counts, probabilities, a record's times of one and the same change.

    Args:
        convert: Gives the same, immutable, value for the same text. What it raises is not kept.
    """

    def __init__(self, convert: Converter) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, text: str) -> Any:
        """The value of a text that is new, or was forgotten."""
        if len(self) >= REMEMBERED:
            self.clear()
        value = self[text] = self._convert(text)
        return value


CONVERTERS: dict[str, Converter] = {
    "number": Memo(to_number).__getitem__,
    "bool": to_bool,
    "date": Memo(to_date).__getitem__,
    "datetime": Memo(to_datetime).__getitem__,
}
