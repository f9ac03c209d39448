"""Texts with places for properties: `{kontaktkategorie} {letzte_buchung:%d.%m.%Y}`."""

from __future__ import annotations

import string
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class _Filler(string.Formatter):
    """Takes names and formats, no parts of values; what is empty stays so in every format."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:  # noqa: ARG002
        return kwargs[field_name], field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        return "" if value == "" else str(format(value, format_spec))


def fill(template: str, values: Mapping[str, str], days: Collection[str]) -> str:
    """Fill a template.

    Args:
        template: With names in braces; a day may have a format of its own.
        values: By name; days as ISO writes them, or empty.
        days: The names of those that are days.

    Raises:
        KeyError: A name is none of the values.
        ValueError: A format does not fit.
    """
    read = {
        name: date.fromisoformat(text) if name in days and text else text
        for name, text in values.items()
    }
    return _Filler().vformat(template, (), read)
