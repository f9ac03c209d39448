"""Excel's files, where python-calamine is installed: a sheet's cells, with their types."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

try:
    import python_calamine
except ImportError:  # the extra `xlsx`
    python_calamine = None  # type: ignore[assignment]

from drop_folder.rows import BadFileError, Cell, Row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENDINGS = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
IS_THERE = python_calamine is not None


def is_workbook(name: str) -> bool:
    """Whether a file's name is one of a workbook."""
    return name.lower().endswith(ENDINGS)


def rows_of(path: Path, name: str | None) -> Iterator[Row]:
    """Read the rows of a sheet, blank ones left out; the header is the first of them.

    Args:
        path: The workbook.
        name: The sheet's; None: the first one.

    Raises:
        BadFileError: If it cannot be read, or has no such sheet.
    """
    if not IS_THERE:
        raise BadFileError("Für Excel-Dateien fehlt das Paket python-calamine.")
    try:
        with python_calamine.CalamineWorkbook.from_path(str(path)) as book:
            if name is not None and name not in book.sheet_names:
                raise BadFileError(f"Das Tabellenblatt {name!r} fehlt.")
            sheet = book.get_sheet_by_index(0) if name is None else book.get_sheet_by_name(name)
            for line, cells in enumerate(sheet.iter_rows(), 1):  # empty rows at the top, too
                found = [_cell(each) for each in cells]
                if any(str(cell).strip() for cell in found):
                    yield Row(line, found)
    except OverflowError:
        raise BadFileError("Eine Zelle hält eine Dauer, die es nicht gibt.") from None
    except python_calamine.CalamineError:
        raise BadFileError("Die Datei ist keine Excel-Datei, oder sie ist geschützt.") from None


def _cell(value: Any) -> Cell:
    """A cell by its type: a whole number without a point, a day without an hour."""
    if isinstance(value, bool):
        return "ja" if value else "nein"
    if isinstance(value, int | float):
        # Excel computes with fifteen digits, and shows no more: 3.3000000000000003 is its 3.3.
        number = Decimal(f"{value:.15g}" if isinstance(value, float) else value)
        return number.to_integral_value() if number == number.to_integral_value() else number
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, str | date) else str(value)
