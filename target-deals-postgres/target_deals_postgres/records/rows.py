"""From the bytes of a record to a COPY row."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from singer_sdk.singerlib.json import serialize_json

from target_deals_postgres.records.columns import (
    DELETED,
    EVERYTHING,
    SCOPE,
    VERSION,
    Column,
    Field,
    Former,
    Kind,
)
from target_deals_postgres.records.decoding import RecordDecoder
from target_deals_postgres.records.lines import (
    NULL,
    escape,
    escaped,
    joined,
    texts_of,
    unescape,
)
from target_deals_postgres.records.presence import Presence
from target_deals_postgres.records.values import (
    NarrowError,
    UnfitError,
    as_json,
    as_text,
    loads,
    storable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from msgspec import Raw

    Row = list[str]
    """The texts of a row; of those outside its key and `SCOPE` some may lack their escapes."""

# Escapes of control characters: of our own signs, and of NUL, which PostgreSQL cannot store.
_CONTROLS = re.compile(rb"\\u000")
_ESCAPED = re.compile(r"[\\\n\r]")

EXTRA = Column(Field("", Kind.JSONB, EVERYTHING), "_extra", Kind.JSONB)

PRESENCES = 2000
"""Sets of fields that a layout remembers: most streams have a handful."""


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
        version: where in a row stands its version; None when it has none.
        mark: where in a row stands when it was deleted; None when the records never say it.
        spelled: whether one key may be written in several ways.
        cleared: the names of columns that only ever become NULL.
        keys: positions of the key in a row; empty for a stream without keys.
        firm: the properties whose values must fit, whatever is said of the others.
        replaced: how many values had characters that PostgreSQL cannot store.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        keys: Sequence[str],
        *,
        cleared: Sequence[Former] = (),
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
        self.cleared = frozenset(column.name for column in cleared)
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
        self.firm = frozenset({*keys, *SCOPE, DELETED})
        # Values of other types have several spellings: 1 and 1.0, a UUID in capitals, +00:00 and Z.
        self.spelled = any(self.kinds[at] not in {Kind.BIGINT, Kind.TEXT} for at in self.keys)
        # A new value of a property ends the one in an earlier type; nothing else does.
        self._cleared_by = [positions[column.field.name] for column in cleared]
        self.mark = positions.get(DELETED)
        self.version = self.names.index(VERSION) if VERSION in self.names else None
        self._presences: dict[tuple[str, bool], Presence] = {}
        self._without_extra = self._presence("1" * len(columns), has_extra=False)
        self._by_field = positions
        watched = {*self.keys, *(positions[name] for name in SCOPE if name in positions)}
        self._watched = _taker(sorted(watched))
        self._decoder = RecordDecoder(columns)

    def position(self, name: str) -> int | None:
        """Where a property is in a row."""
        return self._by_field.get(name)

    def row(self, record: bytes | Raw, *, plain: bool) -> tuple[Row, bytes, Presence]:
        """Read a record.

        Args:
            record: its JSON.
            plain: no text in it needs an escape: its bytes have no backslash and no return.

        Returns:
            The row without the added columns, the same as a line, and which columns the record
            has.

        Raises:
            UnfitError: a value does not fit its schema.
            NarrowError: a value fits its schema, but not its column.
            UnknownFieldsError: the record needs the column `_extra`.
            UnknownMarkError: the record needs the column `_sdc_deleted_at`.
            ValueError: it is no JSON.
        """
        decoded = self._decoder.decode(record)
        if decoded is None:
            return self.row_of(loads(bytes(record)))
        values, texts, mask, rest = decoded
        if DELETED in rest:  # as a name or not: the patient way finds out
            return self.row_of(loads(bytes(record)))
        present = self._present(mask, has_extra=bool(rest)) if mask or rest else self._without_extra
        row = [NULL if value is None else value for value in values]
        try:
            for at, text in texts:
                row[at] = text(row[at])
        except UnicodeDecodeError:  # in a field that kept its bytes
            return self.row_of(loads(bytes(record)))
        if rest and not self.extra:
            raise UnknownFieldsError
        if self._tail:
            row += self._tail
            if rest:
                row[len(self.columns)] = rest
        if plain:
            return row, joined(row), present
        if _CONTROLS.search(record) or _ESCAPED.search("".join(self._watched(row))):
            return self.row_of(loads(bytes(record)))
        return row, escaped(row), present

    def row_of(
        self, record: Any, unfit: dict[str, str] | None = None
    ) -> tuple[Row, bytes, Presence]:
        """The same for a record that is parsed already, by a stream map for example.

        Args:
            record: the record.
            unfit: where given, values that do not fit become NULL and are noted here, with the
                reason, by their properties; those that say whose a row is still raise UnfitError.
        """
        if not isinstance(record, dict):
            raise UnfitError("the record is no object")
        for key in self.key_fields:
            if key not in record:
                raise MissingKeyError(key)
        row = []
        for column in self.columns:
            text = self._text_of(column, record, unfit)
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
        row += self._cleared
        return row, joined(row), self._presence(mask, has_extra=bool(rest))

    def _text_of(
        self, column: Column, record: dict[str, Any], unfit: dict[str, str] | None
    ) -> str | None:
        name = column.field.name
        try:
            return as_text(record.get(name), column.kind, column.field.accepts)
        except UnfitError as error:
            if unfit is None or name in self.firm:
                raise UnfitError(f"{name}: {error}") from None
            unfit[name] = str(error)
            return None
        except NarrowError:
            raise NarrowError(name) from None

    def combined(self, before: bytes, line: bytes, present: Presence) -> bytes:
        """Two rows of one key: what the later record lacks stays as the earlier one has it."""
        if present.complete and not self.extra and self.version is None:
            return line
        texts, row = texts_of(before), texts_of(line)
        both = [text if present[at] else texts[at] for at, text in enumerate(row)]
        at = len(self.columns)
        if self.extra and present[at]:
            old, new = (loads((unescape(one[at]) or "{}").encode()) for one in (texts, row))
            both[at] = self._escaped(serialize_json({**old, **new}), Kind.JSONB)
        if self.version is not None:  # both brought it
            versions = [one[self.version] for one in (texts, row)]
            both[self.version] = max(
                (one for one in versions if one != NULL), key=int, default=NULL
            )
        return joined(both)

    def payload(self, row: bytes, present: Presence) -> str:
        """The record of a row again, as JSON, for the list of rejected records."""
        texts = texts_of(row)
        members = [
            as_json(column.field.name, Kind.TEXT)
            + ":"
            + as_json(unescape(texts[at]), column.kind, column.field.accepts)
            for at, column in enumerate(self.columns)
            if present[at]
        ]
        at = len(self.columns)
        if self.extra and present[at]:  # what has no column is an object by itself
            members.append((unescape(texts[at]) or "{}").strip()[1:-1])
        return "{" + ",".join(filter(None, members)) + "}"

    def _present(self, mask: str, *, has_extra: bool) -> Presence:
        mask = mask or "1" * len(self.columns)
        for at in self.keys:
            if mask[at] == "0":
                raise MissingKeyError(self.columns[at].field.name)
        return self._presence(mask, has_extra=has_extra)

    def _presence(self, mask: str, *, has_extra: bool) -> Presence:
        # One object for all records with the same fields.
        given = mask
        shared = self._presences.get((given, has_extra))
        if shared is None:
            if self.mark is not None:  # a record that does not say it is not deleted
                mask = mask[: self.mark] + "1" + mask[self.mark + 1 :]
            cleared = "".join(mask[at] for at in self._cleared_by)
            shared = Presence(mask + "01"[has_extra] * self.extra + cleared + self._added)
            if len(self._presences) >= PRESENCES:  # each record has fields of its own
                self._presences.clear()
            self._presences[given, has_extra] = shared
        return shared

    def _escaped(self, text: str, kind: str) -> str:
        clean = storable(text, kind)
        if clean != text:
            self.replaced += 1
        return escape(clean)


def _taker(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    # What takes these of some values, always as a tuple.
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[at] for at in places)
