"""From the bytes of a record to a COPY row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import astuple
from singer_sdk.singerlib.json import serialize_json

from target_deals_postgres.records.columns import DELETED, EVERYTHING, Column, Field, Kind
from target_deals_postgres.records.decoding import ABSENT, decoder, struct_type, text_of
from target_deals_postgres.records.presence import Presence
from target_deals_postgres.records.values import (
    NULL,
    NarrowError,
    UnfitError,
    as_json,
    as_text,
    escape,
    loads,
    storable,
    unescape,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    Row = list[str]

EXTRA = Column(Field("", Kind.JSONB, EVERYTHING), "_extra", Kind.JSONB)


class MissingKeyError(UnfitError):
    """A record lacks a property of its key, or has null there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"key property {name} is missing or null")


class UnknownFieldsError(ValueError):
    """A record has fields that its schema does not declare, and there is no `_extra` yet."""


class UnknownMarkError(ValueError):
    """A record says whether it is deleted, and its schema does not declare that property."""


class GoneBeforeError(ValueError):
    """A record comes after one of its key that is to be removed: that has to be done before."""


class Layout:
    """How the records of one stream become rows of one table.

    Attributes:
        columns: where the declared properties go, in the order of a row.
        names: the table's columns in the order of a row: `columns`, `_extra`, `cleared`, `added`.
        kinds: their types.
        everything: what a complete record has.
        mark: where in a row stands when it was deleted; None when the records never say it.
        spelled: whether one key may be written in several ways.
        keys: positions of the key in a row; empty for a stream without keys.
        replaced: how many values had characters that PostgreSQL cannot store.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        keys: Sequence[str],
        *,
        cleared: Sequence[Column] = (),
        added: Sequence[tuple[str, str]] = (),
        extra: bool = False,
    ) -> None:
        """Prepare the decoders.

        Args:
            columns: where each declared property goes; those without a column are left out.
            keys: the key's properties.
            cleared: columns that held a property in an earlier type, and are emptied.
            added: columns that the target fills itself.
            extra: whether the table has the column `_extra` for what has no column.
        """
        self.columns = tuple(columns)
        self.extra = extra
        self.replaced = 0
        tail: list[tuple[str, str]] = [(EXTRA.name, EXTRA.kind)] if extra else []
        tail += [(column.name, column.kind) for column in cleared]
        self._cleared = [NULL] * len(cleared)
        self.names = [column.name for column in columns] + [name for name, _ in [*tail, *added]]
        self.kinds: list[str] = [column.kind for column in columns] + [
            kind for _, kind in [*tail, *added]
        ]
        self.everything = Presence("1" * len(self.names))
        self._tail = [NULL] * len(tail)
        self._added = "1" * len(added)
        positions = {column.field.name: at for at, column in enumerate(columns)}
        self.keys = tuple(positions[key] for key in keys)
        self.key_fields = tuple(keys)
        # Values of other types have several spellings: 1 and 1.0, a UUID in capitals, +00:00 and Z.
        self.spelled = any(self.kinds[at] not in {Kind.BIGINT, Kind.TEXT} for at in self.keys)
        # A new value of a property ends the one in an earlier type; nothing else does.
        self._cleared_by = [positions[column.field.name] for column in cleared]
        self.mark = positions.get(DELETED)
        self._presences: dict[tuple[str, bool], Presence] = {}
        self._without_extra = self._presence("1" * len(columns), has_extra=False)
        self._by_field = positions
        self._texts = [
            (at, text) for at, column in enumerate(columns) if (text := text_of(column)) is not None
        ]
        types = [struct_type(column) for column in columns]
        self._complete = decoder(columns, types, required=True)
        self._partial = decoder(columns, types, required=False)
        self._decoder = self._complete

    def position(self, name: str) -> int | None:
        """Where a property is in a row."""
        return self._by_field.get(name)

    def row(self, record: bytes | Raw, *, plain: bool) -> tuple[Row, Presence]:
        """Read a record.

        Args:
            record: its JSON.
            plain: no text in it needs an escape: its bytes have no backslash, tab or return.

        Returns:
            The row without the added columns, and which columns the record has.

        Raises:
            UnfitError: a value does not fit its schema.
            NarrowError: a value fits its schema, but not its column.
            UnknownFieldsError: the record needs the column `_extra`.
            UnknownMarkError: the record needs the column `_sdc_deleted_at`.
            ValueError: it is no JSON.
        """
        if self._decoder is None:
            return self.row_of(loads(bytes(record)))
        try:
            values = astuple(self._decoder.decode(record))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if self._decoder is self._complete:
                # Records that lack fields may go on: ask for less from now on.
                self._decoder = self._partial
                return self.row(record, plain=plain)
            return self.row_of(loads(bytes(record)))
        present = self._without_extra
        if self._decoder is self._partial:
            present = self._present(values)
            values = tuple([None if value is UNSET else value for value in values])
        row = [NULL if value is None else value for value in values]
        try:
            for at, text in self._texts:
                row[at] = text(row[at])
        except UnicodeDecodeError:  # in a field that kept its bytes
            return self.row_of(loads(bytes(record)))
        if not plain:
            row = [self._escaped(text, kind) for text, kind in zip(row, self.kinds, strict=False)]
        return row + self._tail if self._tail else row, present

    def row_of(self, record: Any) -> tuple[Row, Presence]:
        """The same for a record that is parsed already, by a stream map for example."""
        if not isinstance(record, dict):
            raise UnfitError("the record is no object")
        for key in self.key_fields:
            if key not in record:
                raise MissingKeyError(key)
        row = []
        for column in self.columns:
            try:
                text = as_text(record.get(column.field.name), column.kind, column.field.accepts)
            except UnfitError as error:
                raise UnfitError(f"{column.field.name}: {error}") from None
            except NarrowError:
                raise NarrowError(column.field.name) from None
            row.append(NULL if text is None else self._escaped(text, column.kind))
        rest = {name: value for name, value in record.items() if name not in self._by_field}
        if DELETED in rest:
            raise UnknownMarkError
        if rest and not self.extra:
            raise UnknownFieldsError
        if self.extra:
            text = as_text(rest, Kind.JSONB, EVERYTHING) or ""
            row.append(self._escaped(text, Kind.JSONB) if rest else NULL)
        mask = "".join("01"[column.field.name in record] for column in self.columns)
        return row + self._cleared, self._presence(mask, has_extra=bool(rest))

    def combined(self, before: bytes, row: Row, present: Presence) -> Row:
        """Two rows of one key: what the later record lacks stays as the earlier one has it."""
        if present.complete and not self.extra:
            return row
        texts = before.decode().split("\t")
        both = [text if present[at] else texts[at] for at, text in enumerate(row)]
        at = len(self.columns)
        if self.extra and present[at]:
            old, new = (loads((unescape(one[at]) or "{}").encode()) for one in (texts, row))
            both[at] = self._escaped(serialize_json({**old, **new}), Kind.JSONB)
        return both

    def payload(self, row: bytes, present: Presence) -> str:
        """The record of a row again, as JSON, for the list of rejected records."""
        texts = row.decode().split("\t")
        members = [
            as_json(column.field.name, Kind.TEXT)
            + ":"
            + as_json(unescape(texts[at]), column.kind, column.field.accepts)
            for at, column in enumerate(self.columns)
            if present[at]
        ]
        return "{" + ",".join(members) + "}"

    def _present(self, values: tuple[Any, ...]) -> Presence:
        mask = "".join(["0" if one is UNSET or one is ABSENT else "1" for one in values])
        for at in self.keys:
            if mask[at] == "0":
                raise MissingKeyError(self.columns[at].field.name)
        return self._presence(mask, has_extra=False)

    def _presence(self, mask: str, *, has_extra: bool) -> Presence:
        # One object for all records with the same fields.
        given = mask
        shared = self._presences.get((given, has_extra))
        if shared is None:
            if self.mark is not None:  # a record that does not say it is not deleted
                mask = mask[: self.mark] + "1" + mask[self.mark + 1 :]
            cleared = "".join(mask[at] for at in self._cleared_by)
            shared = Presence(mask + "01"[has_extra] * self.extra + cleared + self._added)
            self._presences[given, has_extra] = shared
        return shared

    def _escaped(self, text: str, kind: str) -> str:
        if text is NULL:
            return text
        clean = storable(text, kind)
        if clean != text:
            self.replaced += 1
        return escape(clean)
