"""A CSV file as people and programs write it: its encoding, its delimiter, its header, its rows."""

from __future__ import annotations

import codecs
import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drop_folder.cells import clean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from drop_folder.mapping import Mapping

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
DELIMITERS = (";", ",", "\t", "|")
PIECE = 1 << 20
csv.field_size_limit(1 << 20)


class BadFileError(Exception):
    """A file that cannot be read as a whole; the message says why, in words for people."""


@dataclass(frozen=True)
class Row:
    """One row: the line that it ends on, and its cells as they stand in the file."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class Sheet:
    """A file that can be read.

    Args:
        path: Where it is.
        encoding: For Python.
        delimiter: One character.
        header: As it stands in the file.
        skipped: Lines before the header.
    """

    path: Path
    encoding: str
    delimiter: str
    header: list[str]
    skipped: int

    def rows(self) -> Iterator[Row]:
        """Read the rows after the header, without blank ones.

        Raises:
            BadFileError: If the quoting is broken.
        """
        with self.path.open(encoding=self.encoding, newline="") as file:
            for _ in range(self.skipped):
                file.readline()
            reader = csv.reader(file, delimiter=self.delimiter, strict=True)
            try:
                next(reader, None)
                for cells in reader:
                    if any(cell.strip() for cell in cells):
                        yield Row(reader.line_num + self.skipped, cells)
            except csv.Error as error:
                line = reader.line_num + self.skipped
                raise BadFileError(f"Zeile {line}: {error}") from None

    def places(self) -> dict[str, int]:
        """The place of each column, by its folded name."""
        return {fold(name): place for place, name in enumerate(self.header)}


def fold(name: str) -> str:
    """A header as it is compared: composed, without doubled blanks, in one case."""
    return " ".join(clean(name).split()).casefold()


def open_sheet(path: Path, mapping: Mapping) -> Sheet:
    """Find out how a file is written.

    Raises:
        BadFileError: If it is empty, not decodable, or lacks a required column.
    """
    encoding = _encoding(path, mapping.csv.encoding)
    with path.open(encoding=encoding, newline="") as file:
        first = file.readline()
        skipped = 1 if first.lower().startswith("sep=") else 0
        if skipped:
            first = file.readline()
    if not first.strip():
        raise BadFileError("Die Datei ist leer.")
    choices = DELIMITERS if mapping.csv.delimiter == "auto" else (mapping.csv.delimiter,)
    lacking: list[str] = []
    for delimiter in choices:
        header = _header(path, encoding, delimiter, skipped)
        missing = _missing(header, mapping)
        if not missing:
            return _checked(Sheet(path, encoding, delimiter, header, skipped))
        if not lacking or len(missing) < len(lacking):
            lacking = missing
    raise BadFileError(f"Spalten fehlen: {', '.join(lacking)}.")


def _header(path: Path, encoding: str, delimiter: str, skipped: int) -> list[str]:
    with path.open(encoding=encoding, newline="") as file:
        for _ in range(skipped):
            file.readline()
        try:
            return next(csv.reader(file, delimiter=delimiter, strict=True), [])
        except csv.Error:
            return []


def _missing(header: list[str], mapping: Mapping) -> list[str]:
    there = {fold(name) for name in header}
    return [
        each.names[0]
        for each in mapping.contacts.columns.values()
        if each.required and each.names and not there.intersection(map(fold, each.names))
    ]


def _checked(sheet: Sheet) -> Sheet:
    names = [fold(name) for name in sheet.header if fold(name)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadFileError(f"Spalten stehen doppelt: {', '.join(twice)}.")
    return sheet


def _encoding(path: Path, wanted: str) -> str:
    """BOM, else strict UTF-8, else Windows: decided by rule, never guessed."""
    with path.open("rb") as file:
        head = file.read(4)
    found = next((name for bom, name in BOMS if head.startswith(bom)), None)
    if wanted != "auto":
        choices = [wanted]
    elif found:
        choices = [found]
    else:
        choices = ["utf-8", "cp1252"]
    for encoding in choices:
        try:
            _decode(path, encoding)
        except (UnicodeError, LookupError):
            continue
        return encoding
    raise BadFileError(f"Die Datei ist nicht als {' oder '.join(choices)} lesbar.")


def _decode(path: Path, encoding: str) -> None:
    line = 1
    with path.open(encoding=encoding, newline="") as file:
        while piece := file.read(PIECE):
            bad = min((at for at in map(piece.find, ("\x00", "\ufffd")) if at >= 0), default=-1)
            if bad >= 0:
                line += piece.count("\n", 0, bad)
                raise BadFileError(f"Zeile {line}: ein Zeichen, das kein Text ist.")
            line += piece.count("\n")
