"""What a file holds that nobody refuses, and somebody should look at: places, no values."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from drop_folder.cells import addresses
from drop_folder.rows import text_of
from drop_folder.sheets import fold

if TYPE_CHECKING:
    from drop_folder.booking import Booking
    from drop_folder.columns import Column
    from drop_folder.mapping import Mapping
    from drop_folder.rows import Row
    from drop_folder.sheets import Sheet

TWICE = re.compile("\u00c3[\u0080-\u00bf\u0178\u201e\u2013\u0153\u0152\u0161\u017e]")
"""UTF-8 that was read as Windows-1252 and written again: the two halves of an umlaut."""

OURS = {"_zeile", "_grund"}
NAMES = ("firstname", "lastname")
SHOWN = 20
KINDS = {
    "unknown_columns": "Spalten, die niemand liest / columns that nobody reads",
    "encoded_twice": "doppelt kodierte Umlaute / letters that were encoded twice",
    "several_addresses": "mehrere Adressen in einer Zelle, die erste zählt / several addresses in "
    "a cell, the first counts",
    "unusual_address": "ungewöhnliche Zeichen in einer Adresse / unusual signs in an address",
    "two_names": "zwei Namen mit einer Adresse / two names with one address",
}


class Doubts:
    """Collects what is doubtful about one file.

    Args:
        mapping: The whole.
        sheet: The file.
    """

    def __init__(self, mapping: Mapping, sheet: Sheet) -> None:
        self.counts: Counter[str] = Counter()
        self.places: dict[str, list[str]] = {}
        self._key = mapping.contacts.key
        self._names: dict[int, tuple[int, int]] = {}
        columns = mapping.contacts.columns
        places = sheet.places()
        addressed = [each for column in columns.values() for each in _if_email(column)]
        self._addressed = [places[fold(name)] for name in addressed if fold(name) in places]
        known = {name for column in columns.values() for name in column.names}
        if mapping.deals is not None:
            known |= {n for column in mapping.deals.columns.values() for n in column.names}
            known |= set(mapping.deals.value.names)
        read = {fold(name) for name in known} | OURS
        for name in sheet.header:
            if fold(name) and fold(name) not in read:
                self._note("unknown_columns", name.strip())

    def see(self, row: Row, booking: Booking) -> None:
        """Look at one row."""
        cells = [text_of(cell) for cell in row.cells]
        if any(TWICE.search(cell) for cell in cells):
            self._note("encoded_twice", f"{row.line}")
        if any(len(addresses(cells[place])) > 1 for place in self._addressed):
            self._note("several_addresses", f"{row.line}")
        key = booking.contact.get(self._key) or ""
        if "@" in key and not key.isascii():
            self._note("unusual_address", f"{row.line}")
        names = [(booking.contact.get(name) or "").casefold() for name in NAMES]
        if not any(names):
            return
        # Hashes, lest a million rows be kept.
        line, first = self._names.setdefault(hash(key), (row.line, hash(tuple(names))))
        if first != hash(tuple(names)):
            self._note("two_names", f"{line} + {row.line}")

    def _note(self, kind: str, place: str) -> None:
        self.counts[kind] += 1
        if len(self.places.setdefault(kind, [])) < SHOWN:
            self.places[kind].append(place)

    def told(self) -> dict[str, tuple[int, list[str]]]:
        """Each kind with how often, and where first."""
        return {kind: (count, self.places[kind]) for kind, count in self.counts.items()}


def _if_email(column: Column) -> list[str]:
    return column.names if column.type == "email" else []
