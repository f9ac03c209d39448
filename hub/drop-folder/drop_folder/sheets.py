"""A file as people and programs write it: its encoding, its delimiter, its header, its rows."""

from __future__ import annotations

import codecs
import csv
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from drop_folder.cells import clean
from drop_folder.rows import BadFileError, Row, text_of
from drop_folder.workbooks import is_workbook, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


@dataclass(frozen=True)
class Sheet:
    """A file that can be read.

    Args:
        header: As it stands in the file.
        rows: Reads the rows after the header, without blank ones; `BadFileError` where one cannot
            be read.
    """

    header: list[str]
    rows: Callable[[], Iterator[Row]]

    def places(self) -> dict[str, int]:
        """The place of each column, by its folded name."""
        return {fold(name): place for place, name in enumerate(self.header)}


@dataclass(frozen=True)
class _Text:
    """How a text file is written.

    Args:
        path: Where it is.
        encoding: For Python.
        delimiter: One character.
        skipped: Lines before the header.
    """

    path: Path
    encoding: str
    delimiter: str
    skipped: int

    def rows(self) -> Iterator[Row]:
        with self.path.open(encoding=self.encoding, newline="") as file:
            for _ in range(self.skipped):
                file.readline()
            reader = csv.reader(file, delimiter=self.delimiter, strict=True)
            try:
                next(reader, None)
                for cells in reader:
                    if any(cell.strip() for cell in cells):
                        yield Row(reader.line_num + self.skipped, [*cells])
            except csv.Error as error:
                line = reader.line_num + self.skipped
                raise BadFileError(f"Zeile {line}: {error}") from None

    def header(self) -> list[str]:
        with self.path.open(encoding=self.encoding, newline="") as file:
            for _ in range(self.skipped):
                file.readline()
            try:
                return next(csv.reader(file, delimiter=self.delimiter, strict=True), [])
            except csv.Error:
                return []


def fold(name: str) -> str:
    """A header as it is compared: composed, without doubled blanks, in one case."""
    return " ".join(clean(name).split()).casefold()


def open_sheet(path: Path, mapping: Mapping) -> Sheet:
    """Find out how a file is written.

    Raises:
        BadFileError: If it is empty, not decodable, or lacks a required column.
    """
    if is_workbook(path.name):
        return _open_workbook(path, mapping)
    encoding = _encoding(path, mapping.csv.encoding)
    with path.open(encoding=encoding, newline="") as file:
        first = file.readline(PIECE)
        skipped = 1 if first.lower().startswith("sep=") else 0
        if skipped:
            first = file.readline(PIECE)
    if not first.strip():
        raise BadFileError("Die Datei ist leer.")
    if len(first) == PIECE:
        raise BadFileError("Die erste Zeile hat kein Ende: das ist keine Tabelle.")
    choices = DELIMITERS if mapping.csv.delimiter == "auto" else (mapping.csv.delimiter,)
    best: tuple[list[str], int, str] | None = None
    for delimiter in choices:
        text = _Text(path, encoding, delimiter, skipped)
        header = text.header()
        missing = _missing(header, mapping)
        if not missing:
            return _checked(Sheet(header, text.rows))
        if best is None or len(missing) < len(best[0]) or len(header) > best[1]:
            best = (missing, len(header), delimiter)
    assert best is not None  # noqa: S101 - for the type checker
    raise BadFileError(_told(*best))


def _open_workbook(path: Path, mapping: Mapping) -> Sheet:
    name = mapping.xlsx.sheet
    first = next(rows_of(path, name), None)
    if first is None:
        raise BadFileError("Die Datei ist leer.")
    header = [text_of(cell) for cell in first.cells]
    if missing := _missing(header, mapping):
        raise BadFileError(_told(missing, len(header), ""))
    return _checked(Sheet(header, lambda: islice(rows_of(path, name), 1, None)))


def _told(missing: list[str], found: int, delimiter: str) -> str:
    """What a header lacks; what it has is not repeated: it may be a row of somebody's data."""
    between = f", getrennt durch {delimiter!r}" if delimiter and found > 1 else ""
    return f"Spalten fehlen: {', '.join(missing)} (gefunden: {found}{between})."


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
