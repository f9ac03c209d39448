"""Knows how to write a workbook, row by row with flat memory; runs as a process of its own.

    python -m scan_service.records.workbook deals.xlsx deals < rows

Rows come as `rows.py` says; a column is `[heading, kind, declared]`. What a cell cannot hold is
changed visibly and listed on the sheet `notes`.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.utils import get_column_letter

from scan_service.records.rows import read_time, received

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openpyxl.cell import Cell
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet

LONGEST_TEXT = 32_767  # units of UTF-16
LAST_ROW, LAST_COLUMN = 1_048_576, 16_384
_DIGITS = 15
_NOTED = 10_000
_FIRST_YEAR = 1900
_MILLISECONDS = "yyyy-mm-dd hh:mm:ss.000"
_LONGEST_TITLE = 31
# Beyond these a spreadsheet's numbers are infinite, or nothing.
_LARGEST, _SMALLEST = Decimal("9.99e307"), Decimal("2.23e-308")
# What XML cannot hold, or would read back as another character, is written as `_x000D_`; so a text
# that looks like that is escaped itself (ST_Xstring of ECMA-376, as Excel writes it).
_ESCAPED = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_RESERVED = {"history"}  # names that no sheet may have


class Sheets:
    """The sheets of one workbook: a full one is followed by the next.

    Columns that do not fit stand on sheets of their own, after the record's id.

    Args:
        title: of the first sheet.
        columns: heading and kind of each.
        rows: that a sheet has at most.
        width: how many columns it has at most.
    """

    def __init__(
        self,
        title: str,
        columns: list[tuple[str, str]],
        *,
        rows: int = LAST_ROW,
        width: int = LAST_COLUMN,
    ) -> None:
        self._book = Workbook(write_only=True)
        self._title = f"{title} records" if title.lower() in _RESERVED else title
        self._columns = columns
        self._rows = rows
        rest = range(1, max(2, len(columns)), width - 1)
        self._blocks = [[0, *range(begin, len(columns))[: width - 1]] for begin in rest]
        self._notes: list[tuple[str, str, str]] = []
        self._unlisted = 0
        self._number = 0
        self._next_sheets()

    def _next_sheets(self) -> None:
        self._number += 1
        self._row = 1
        self._sheets = []
        for place, block in enumerate(self._blocks, start=1):
            self._sheet: WriteOnlyWorksheet = self._book.create_sheet(self._sheet_name(place))
            self._sheets.append(self._sheet)
            self._sheet.append([self._text(self._columns[index][0], 0) for index in block])

    def _sheet_name(self, place: int) -> str:
        suffix = "" if place == 1 else f" columns {place}"
        suffix += "" if self._number == 1 else f" {self._number}"
        return self._title[: _LONGEST_TITLE - len(suffix)] + suffix

    def add(self, values: Sequence[str | None]) -> None:
        """Write one record."""
        if self._row >= self._rows:
            self._next_sheets()
        self._row += 1
        for sheet, block in zip(self._sheets, self._blocks, strict=True):
            self._sheet = sheet
            sheet.append([
                self._cell(values[index], self._columns[index][1], place)
                for place, index in enumerate(block)
            ])  # fmt: skip

    def save(self, path: str) -> None:
        """Write the notes, if there are any, and the file."""
        if self._notes:
            # Notes are also records of HubSpot's, and two sheets cannot have one name.
            sheet = self._book.create_sheet("notes" if self._title != "notes" else "changed cells")
            sheet.append(["sheet", "cell", "what was changed"])
            for note in self._notes:
                sheet.append(note)
            if self._unlisted:
                sheet.append(["", "", f"and {self._unlisted} more cells"])
        self._book.save(path)

    def _cell(self, value: str | None, kind: str, index: int) -> Any:
        if value is None:
            return None
        if kind == "json":
            return self._json(value, index)
        if kind == "number":
            return self._number_of(value, index)
        if kind == "boolean":
            return value == "true"
        if kind in ("moment", "day"):
            return self._time(value, kind, index)
        return self._text(value, index)

    def _json(self, value: str, index: int) -> Any:
        found = json.loads(value, parse_float=Decimal, parse_int=Decimal)
        if found is None or isinstance(found, bool):
            return found
        if isinstance(found, Decimal):
            return self._number_of(str(found), index)
        if isinstance(found, list) and all(isinstance(item, str) for item in found):
            found = ";".join(found)
        return self._text(found if isinstance(found, str) else value, index)

    def _number_of(self, value: str, index: int) -> Any:
        number = Decimal(value)
        # Not by `normalize`, which rounds to 28 digits.
        digits = "".join(map(str, number.as_tuple().digits)).strip("0")
        fits = number.is_finite() and (number == 0 or _SMALLEST <= abs(number) <= _LARGEST)
        if not fits or len(digits) > _DIGITS:
            # A spreadsheet would silently round it: keep all digits, as text.
            return self._text(value, index)
        return number

    def _time(self, value: str, kind: str, index: int) -> Any:
        try:
            found = read_time(value, kind)
        except ValueError:
            return self._text(value, index)
        if found.year <= _FIRST_YEAR:
            return self._text(value, index)
        if not isinstance(found, datetime):
            return found
        found = found.replace(tzinfo=None)
        if not found.microsecond:
            return found
        cell = WriteOnlyCell(self._sheet, found)
        cell.number_format = _MILLISECONDS  # or they are there and not shown
        return cell

    def _text(self, value: str, index: int) -> Cell:
        kept = value
        if len(kept) * 2 > LONGEST_TEXT and len(kept.encode("utf-16-le")) // 2 > LONGEST_TEXT:
            ending = f"... [cut from {len(kept)} characters]"
            units = kept.encode("utf-16-le")[: 2 * (LONGEST_TEXT - len(ending))]
            # Half a pair at the cut is left out.
            kept = units.decode("utf-16-le", "ignore") + ending
            self._note(index, f"text of {len(value)} characters cut to {LONGEST_TEXT} units")
        kept = _ESCAPED.sub(lambda found: f"_x{ord(found[0]):04X}_", kept)
        cell = WriteOnlyCell(self._sheet)
        # Past the check of the length, which takes escapes for what they stand for.
        cell._value = kept  # type: ignore[attr-defined]  # noqa: SLF001
        # Never a formula and never an error value, whatever it begins with.
        cell.data_type = "s"
        return cell

    def _note(self, index: int, what: str) -> None:
        if len(self._notes) >= _NOTED:
            self._unlisted += 1
            return
        self._notes.append((self._sheet.title, f"{get_column_letter(index + 1)}{self._row}", what))


def main(path: str, title: str, lines: Iterable[bytes]) -> None:
    """Write the rows of stdin to a workbook."""
    head, rows = received(lines)
    sheets = Sheets(title, [(heading, kind) for heading, kind, _ in head])
    for row in rows:
        sheets.add(row)
    sheets.save(path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.stdin.buffer)
