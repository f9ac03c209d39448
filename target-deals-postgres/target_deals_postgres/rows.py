"""From the bytes of a record to a COPY row, and the batch that rows wait in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType
from msgspec.structs import astuple
from singer_sdk.singerlib.json import serialize_json

from target_deals_postgres.columns import BIGINT_RANGE, EVERYTHING, Column, Field, Kind
from target_deals_postgres.values import (
    NULL,
    NarrowError,
    UnfitError,
    as_date,
    as_json,
    as_moment,
    as_text,
    escape,
    loads,
    storable,
    unescape,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Row = list[str]

EXTRA = Column(Field("", Kind.JSONB, EVERYTHING), "_extra", Kind.JSONB)
ROW_OVERHEAD = 200  # bytes that Python needs to keep a row and its key

ABSENT = Raw()  # the default of a field that keeps its bytes
_ODD_NAME = re.compile(r'[\x00-\x1f"\\\ud800-\udfff]')  # msgspec cannot decode into such names
_BIGINT = Annotated[int, Meta(ge=BIGINT_RANGE[0], le=BIGINT_RANGE[1])]
_NUMBERS = frozenset({"integer", "number"})
_STARTS = {
    "string": '"',
    "integer": "-0123456789",
    "number": "-0123456789",
    "boolean": "tf",
    "object": "{",
    "array": "[",
}


class UnknownFieldsError(ValueError):
    """A record has fields that its schema does not declare, and there is no `_extra` yet."""


class Layout:
    """How the records of one stream become rows of one table.

    Attributes:
        columns: where the declared properties go, in the order of a row.
        names: the table's columns in the order of a row: `columns`, `_extra`, `cleared`, `added`.
        kinds: their types.
        keys: positions of the key in a row; empty for a stream without keys.
        replaced: how many values had characters that PostgreSQL cannot store.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        keys: Sequence[str],
        *,
        cleared: Sequence[Column] = (),
        added: Sequence[tuple[str, Kind]] = (),
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
        tail = [(EXTRA.name, EXTRA.kind)] if extra else []
        tail += [(column.name, column.kind) for column in cleared]
        self._cleared = [NULL] * len(cleared)
        self.names = [column.name for column in columns] + [name for name, _ in [*tail, *added]]
        self.kinds = [column.kind for column in columns] + [kind for _, kind in [*tail, *added]]
        self._tail = len(tail)
        positions = {column.field.name: at for at, column in enumerate(columns)}
        self.keys = tuple(positions[key] for key in keys)
        self.key_fields = tuple(keys)
        self._by_field = positions
        types = [_struct_type(column) for column in columns]
        self._checks = [
            (at, check)
            for at, column in enumerate(columns)
            if (check := _check(column, types[at])) is not None
        ]
        odd = any(_ODD_NAME.search(column.field.name) for column in columns)
        self._complete = None if odd else _decoder(columns, types, required=True)
        self._partial = None if odd else _decoder(columns, types, required=False)
        self._decoder = self._complete

    def position(self, name: str) -> int | None:
        """Where a property is in a row."""
        return self._by_field.get(name)

    def row(self, record: bytes | Raw, *, plain: bool) -> tuple[Row, str]:
        """Read a record.

        Args:
            record: its JSON.
            plain: no text in it needs an escape: its bytes have no backslash, tab or return.

        Returns:
            The row without the added columns, and which of these columns the record has: "" for
            all, else a 1 or 0 for each.

        Raises:
            UnfitError: a value does not fit its schema.
            NarrowError: a value fits its schema, but not its column.
            UnknownFieldsError: the record needs the column `_extra`.
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
        present = self._presence(values) if self._decoder is self._partial else ""
        row = [
            value if value.__class__ is str else NULL if value is None else _plain_text(value)
            for value in values
        ]
        for at, check in self._checks:
            row[at] = check(row[at])
        if not plain:
            row = [self._escaped(text, kind) for text, kind in zip(row, self.kinds, strict=False)]
        if self._tail:
            row += [NULL] * self.extra + self._cleared
        if self.extra and not present:
            present = self._all_present("1" * len(self.columns))
        return row, present

    def row_of(self, record: Any) -> tuple[Row, str]:
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
        if rest and not self.extra:
            raise UnknownFieldsError
        if self.extra:
            text = as_text(rest, Kind.JSONB, EVERYTHING) or ""
            row.append(self._escaped(text, Kind.JSONB) if rest else NULL)
        present = "".join("01"[column.field.name in record] for column in self.columns)
        present += "01"[bool(rest)] * self.extra + "1" * len(self._cleared)
        return row + self._cleared, present if "0" in present else ""

    def with_extra(self, before: Row, row: Row, present: str) -> Row:
        """Let a later row of a key keep what only the earlier one has in `_extra`."""
        at = len(self.columns)
        if self.extra and present[at] == "1":
            old, new = (loads((unescape(one[at]) or "{}").encode()) for one in (before, row))
            row[at] = self._escaped(serialize_json({**old, **new}), Kind.JSONB)
        return row

    def payload(self, row: bytes, present: str) -> str:
        """The record of a row again, as JSON, for the list of rejected records."""
        texts = row.decode().split("\t")
        members = [
            as_json(column.field.name, Kind.TEXT)
            + ":"
            + as_json(unescape(texts[at]), column.kind, column.field.accepts)
            for at, column in enumerate(self.columns)
            if not present or present[at] == "1"
        ]
        return "{" + ",".join(members) + "}"

    def _presence(self, values: tuple[Any, ...]) -> str:
        present = "".join(["0" if one is UNSET or one is ABSENT else "1" for one in values])
        for at in self.keys:
            if present[at] == "0":
                raise MissingKeyError(self.columns[at].field.name)
        return self._all_present(present) if "0" in present else ""

    def _all_present(self, present: str) -> str:
        return present + "0" * self.extra + "1" * len(self._cleared)

    def _escaped(self, text: str, kind: Kind) -> str:
        if text is NULL:
            return text
        clean = storable(text, kind)
        if clean != text:
            self.replaced += 1
        return escape(clean)


class MissingKeyError(UnfitError):
    """A record lacks a property of its key, or has null there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"key property {name} is missing or null")


@dataclass
class Batch:
    """Rows of one layout that wait for COPY: one per key, the last one wins.

    Attributes:
        rows: COPY lines.
        present: which columns a row has, by its number; complete rows are not listed.
        size: bytes of memory, about.
    """

    layout: Layout
    rows: list[bytes] = field(default_factory=list)
    present: dict[int, str] = field(default_factory=dict)
    size: int = 0
    superseded: int = 0
    _numbers: dict[Any, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        keys = self.layout.keys
        self._key: Callable[[Row], Any] | None = itemgetter(*keys) if keys else None
        self._single = len(keys) == 1

    def add(self, row: Row, present: str) -> None:
        """Add a row that is complete with its added columns.

        Raises:
            MissingKeyError: a part of its key is null.
        """
        if self._key is not None:
            key = self._key(row)
            if key is NULL if self._single else NULL in key:
                at = next(at for at in self.layout.keys if row[at] is NULL)
                raise MissingKeyError(self.layout.columns[at].field.name)
            number = self._numbers.setdefault(key, len(self.rows))
            if number < len(self.rows):
                self._replace(number, row, present)
                return
        if present:
            self.present[len(self.rows)] = present
        line = "\t".join(row).encode()
        self.rows.append(line)
        self.size += len(line) + ROW_OVERHEAD

    def _replace(self, number: int, row: Row, present: str) -> None:
        self.superseded += 1
        old = self.rows[number]
        if present:
            # The new record lacks fields: they keep what the old one said.
            before = old.decode().split("\t")
            row = [
                text if at >= len(present) or present[at] == "1" else before[at]
                for at, text in enumerate(row)
            ]
            row = self.layout.with_extra(before, row, present)
            known = self.present.get(number)
            if known is not None:
                self.present[number] = "".join(map(max, known, present))
        else:
            self.present.pop(number, None)
        self.rows[number] = line = "\t".join(row).encode()
        self.size += len(line) - len(old)


def _decoder(
    columns: Sequence[Column], types: Sequence[Any], *, required: bool
) -> msgspec.json.Decoder[Any]:
    fields: list[Any] = [
        (f"f{at}", type_)
        if required
        else (f"f{at}", Raw, ABSENT)
        if type_ is Raw
        else (f"f{at}", type_ | UnsetType, UNSET)
        for at, type_ in enumerate(types)
    ]
    rename = {f"f{at}": column.field.name for at, column in enumerate(columns)}
    struct = msgspec.defstruct(
        "Record", fields, rename=rename, forbid_unknown_fields=True, gc=False
    )
    return msgspec.json.Decoder(struct)


def _struct_type(column: Column) -> Any:
    # Strings, and what Python writes as PostgreSQL reads it; the rest keeps its own bytes, exactly.
    accepts, kind = column.field.accepts, column.kind
    if accepts == {"string"} and kind in {Kind.TEXT, Kind.DATE, Kind.TIMESTAMP, Kind.UUID}:
        return str | None
    if accepts == {"integer"} and kind is Kind.BIGINT:
        return _BIGINT | None
    if accepts == {"boolean"} and kind is Kind.BOOLEAN:
        return bool | None
    return Raw  # takes null too; msgspec knows no union with it


def _check(column: Column, struct_type: Any) -> Callable[[str], str] | None:
    # What the decoder does not see; it returns the text, or raises UnfitError.
    accepts, kind = column.field.accepts, column.kind
    if struct_type is not Raw:
        return _dates(column) if kind in {Kind.DATE, Kind.TIMESTAMP} else None
    if kind is Kind.JSONB and accepts >= EVERYTHING:
        return None
    whole = "integer" in accepts and "number" not in accepts  # 1.5 has to be found out
    numbers = kind in {Kind.NUMERIC, Kind.TEXT} and accepts <= _NUMBERS
    if not whole and (kind is Kind.JSONB or numbers):
        return _starts(column)
    return _converted(column)


def _dates(column: Column) -> Callable[[str], str]:
    judge = as_date if column.kind is Kind.DATE else as_moment

    def check(text: str) -> str:
        try:
            return text if text is NULL else judge(text)
        except UnfitError as error:
            raise UnfitError(f"{column.field.name}: {error}") from None

    return check


def _starts(column: Column) -> Callable[[str], str]:
    starts = "\\" + "".join(_STARTS[type_] for type_ in column.field.accepts)
    sentence = f"{column.field.name}: expected {' or '.join(sorted(column.field.accepts))}"

    def check(text: str) -> str:
        if text[0] not in starts:
            raise UnfitError(sentence)
        return text

    return check


def _converted(column: Column) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text is NULL:
            return text
        try:
            return as_text(loads(text.encode()), column.kind, column.field.accepts) or ""
        except UnfitError as error:
            raise UnfitError(f"{column.field.name}: {error}") from None
        except NarrowError:
            raise NarrowError(column.field.name) from None

    return check


def _plain_text(value: Any) -> str:
    if value.__class__ is Raw:
        text = str(value, "utf-8")
        return NULL if text in {"null", ""} else text
    return NULL if value is UNSET else str(value)
