"""One cell: from the text in the file to the value that HubSpot is to hold."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from drop_folder import phones
from drop_folder.rows import Cell, text_of

if TYPE_CHECKING:
    from drop_folder.columns import Column

ENDS = re.compile(r"^[\s\u200b\u2060\ufeff]+|[\s\u200b\u2060\ufeff]+$")
HIDDEN = re.compile(r"[\u200b-\u200d\u2060\ufeff]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
MONEY = re.compile(r"€|EUR", re.IGNORECASE)
BLANKS = re.compile(r"[\s\u00a0\u202f]")
WITH_COMMA = re.compile(r"(\d+|\d{1,3}(?:\.\d{3})+)(?:,(\d+))?")
WITH_POINT = re.compile(r"(\d+|\d{1,3}(?:,\d{3})+)(?:\.(\d+))?")
NAME = r"[^\s@;,<>\"().]+"
LABEL = r"(?!-)[\w-]+(?<!-)"
ADDRESS = re.compile(rf"{NAME}(?:\.{NAME})*@(?:{LABEL}\.)+(?=[\w-]{{2}}){LABEL}")
BETWEEN = re.compile(r"[;,\s]+")
CENTURY = 100


class BadCellError(ValueError):
    """A cell that is not what its column says; `reason` is for the person who mends the file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def clean(text: str) -> str:
    """Compose letters, drop what is invisible, trim blanks of all kinds at both ends."""
    return ENDS.sub("", HIDDEN.sub("", unicodedata.normalize("NFC", text)))


def value_of(column: Column, cell: Cell, *, decimal: str) -> str:
    """Read a cell by its column's type; empty where it holds nothing.

    Raises:
        BadCellError: If it is not what the column says. The text is not in the message.
    """
    if column.type == "number" and isinstance(cell, Decimal):
        return format(cell, "f")
    if column.type == "date" and isinstance(cell, date):
        return _within(cell, column)
    text = clean(text_of(cell))
    if text in column.empty_values:
        return ""
    return _read(column, text, decimal)


def _read(column: Column, text: str, decimal: str) -> str:
    if column.type == "number":
        return number(text, decimal=decimal)
    if column.type == "date":
        return day(text, column)
    if column.type == "email":
        return address(text)
    return phones.international(text, column.region) if column.type == "phone" else text


def number(text: str, *, decimal: str) -> str:
    """Read an amount without guessing: `1.234,56`, `1 234,56 €`, `3,50-`.

    Raises:
        BadCellError: If it is no number by this rule, as `12.34` is none with the comma.
    """
    bare = BLANKS.sub("", MONEY.sub("", text))
    sign = "-" if bare.startswith("-") or bare.endswith("-") else ""
    bare = bare.removeprefix("-") if bare.startswith("-") else bare.removesuffix("-")
    found = (WITH_COMMA if decimal == "comma" else WITH_POINT).fullmatch(bare)
    if found is None or not bare.isascii():
        raise BadCellError("keine Zahl")
    whole = re.sub(r"\D", "", found[1])
    return f"{sign}{whole}.{found[2]}" if found[2] else f"{sign}{whole}"


def day(text: str, column: Column) -> str:
    """Read a day by the formats of its column.

    A year of two digits is one of the hundred years that end with the column's last day.

    Raises:
        BadCellError: If there is no such day, or it lies outside what the column allows.
    """
    for each in column.formats:
        last = column.last_day
        try:
            found = datetime.strptime(text, each).date()  # noqa: DTZ007 - a day has no zone
            if "%y" in each and last is not None and found > last:
                found = found.replace(year=found.year - CENTURY)  # 1900 had no 29th of February
        except ValueError:
            continue
        return _within(found, column)
    raise BadCellError("kein Datum")


def _within(found: date, column: Column) -> str:
    if found < column.first:
        raise BadCellError(f"Datum vor {column.first:%d.%m.%Y}")
    if column.last_day is not None and found > column.last_day:
        raise BadCellError(f"Datum nach {column.last_day:%d.%m.%Y}")
    return found.isoformat()


def addresses(text: str) -> list[str]:
    """The addresses of a cell that holds one or, by mistake, several."""
    return [each for each in BETWEEN.split(clean(text)) if "@" in each]


def address(text: str) -> str:
    """Read one address, in lower case; of several the first.

    Raises:
        BadCellError: If it is none. What HubSpot takes is taken.
    """
    first = BETWEEN.split(clean(text))[0].lower().removeprefix("mailto:").strip("<>")
    if not ADDRESS.fullmatch(first):
        raise BadCellError("keine E-Mail-Adresse")
    return first
