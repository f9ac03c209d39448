"""One row of a booking system: the contact it tells of, and the deal that it may be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drop_folder.cells import BadCellError, clean, value_of
from drop_folder.rows import text_of
from drop_folder.sheets import fold
from drop_folder.templates import fill

if TYPE_CHECKING:
    from drop_folder.columns import Column
    from drop_folder.mapping import Mapping
    from drop_folder.rows import Row
    from drop_folder.sheets import Sheet

Values = dict[str, str | None]


class BadRowError(Exception):
    """A row that cannot be sent.

    Args:
        line: Of the file.
        column: The header of the column at fault; empty where it is the row.
        reason: What is wrong; no value.
    """

    def __init__(self, line: int, column: str, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.column = column
        self.reason = reason


@dataclass(frozen=True)
class Booking:
    """What a row says."""

    line: int
    contact: Values
    deal: dict[str, Any] | None


class Reader:
    """Reads the rows of one sheet by the mapping.

    Args:
        mapping: The whole.
        sheet: The file.
        site: Of the file.
    """

    def __init__(self, mapping: Mapping, sheet: Sheet, site: str) -> None:
        self._mapping = mapping
        self._site = site
        self._days = set(mapping.days)
        self._width = len(sheet.header)
        places = sheet.places()
        self._places = {
            name: next((places[fold(each)] for each in column.names if fold(each) in places), None)
            for name, column in mapping.contacts.columns.items()
        }
        self._deal_places: dict[str, int | None] = {}
        self._key_place: int | None = None
        if mapping.deals is not None:
            self._deal_places = {
                name: next(
                    (places[fold(each)] for each in column.names if fold(each) in places), None
                )
                for name, column in mapping.deals.columns.items()
            }
            names = mapping.deals.value.names
            self._key_place = next(
                (places[fold(each)] for each in names if fold(each) in places), None
            )

    def read(self, row: Row) -> Booking:
        """Read one row.

        Raises:
            BadRowError: If it cannot be sent.
        """
        if len(row.cells) != self._width:
            reason = f"{len(row.cells)} Zellen statt {self._width}"
            raise BadRowError(row.line, "", reason)
        values: dict[str, str] = {}
        contact: Values = {}
        for name, column in self._mapping.contacts.columns.items():
            values[name] = self._value(row, column, self._places[name])
            text = values[name]
            if not text and column.required:
                raise BadRowError(row.line, column.names[0], "leer")
            if text or column.empty == "clear":
                contact[name] = f";{text}" if text and column.append else text or None
        return Booking(row.line, contact, self._deal(row, values))

    def _value(self, row: Row, column: Column, place: int | None) -> str:
        text = ""
        if place is not None:
            try:
                text = value_of(column, row.cells[place], decimal=self._mapping.csv.decimal)
            except BadCellError as bad:
                if column.on_bad == "reject":
                    raise BadRowError(row.line, column.names[0], bad.reason) from None
        if not text and column.default is not None:
            text = column.default.replace("{site}", self._site)
        return text

    def _deal(self, row: Row, values: dict[str, str]) -> dict[str, Any] | None:
        deals, contacts = self._mapping.deals, self._mapping.contacts
        if deals is None or not values.get(deals.when):
            return None
        known = {**values, "site": self._site}
        key = clean(text_of(row.cells[self._key_place])) if self._key_place is not None else ""
        if not key and deals.value.hashed:
            parts = "\x1f".join(known.get(each, "") for each in deals.value.hashed)
            key = hashlib.sha256(parts.encode()).hexdigest()[:32]
        if not key:
            raise BadRowError(row.line, deals.value.names[0], "leer")
        deal: dict[str, Any] = {deals.key: key, "dealstage": deals.dealstage}
        if deals.pipeline:
            deal["pipeline"] = deals.pipeline
        for name, column in deals.columns.items():
            if column.template is not None:
                deal[name] = fill(column.template, known, self._days) or None
            elif column.source is not None:
                deal[name] = known[column.source] or None
            else:
                deal[name] = self._value(row, column, self._deal_places[name]) or None
        link = {"to": "contacts", "key": contacts.key, "value": values[contacts.key]}
        filled = {name: value for name, value in deal.items() if value is not None}
        return {**filled, "_associations": [link]}
