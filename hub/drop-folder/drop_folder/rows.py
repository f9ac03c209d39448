"""What every file is made of: rows of cells, and the faults that a file can have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

Cell = str | Decimal | date
"""A text as it stands in the file; Excel's files hold numbers and days, too."""


class BadFileError(Exception):
    """A file that cannot be read as a whole; the message says why, in words for people."""


@dataclass(frozen=True)
class Row:
    """One row: the line that it ends on, and its cells as they stand in the file."""

    line: int
    cells: list[Cell]


def text_of(cell: Cell) -> str:
    """A cell as people write it."""
    if isinstance(cell, str):
        return cell
    return format(cell, "f") if isinstance(cell, Decimal) else f"{cell:%d.%m.%Y}"
