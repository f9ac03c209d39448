"""A decoder made from a stream's schema: it judges types while it parses, and loses no digit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType
from msgspec.structs import astuple

from target_deals_postgres.records.columns import BIGINT_RANGE, Column, Kind
from target_deals_postgres.records.texts import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MOST_UNDECLARED = 100  # names that are learned; more would be another thing in each record
ABSENT = Raw()  # the default of a property that keeps its bytes
_ODD_NAME = re.compile(r'[\x00-\x1f"\\\ud800-\udfff]')  # msgspec cannot decode into such names
_INTEGER = Annotated[int, Meta(ge=BIGINT_RANGE[0], le=BIGINT_RANGE[1])] | None
_members = msgspec.json.Decoder(dict[str, Raw]).decode


class Decoded(NamedTuple):
    """What a record's JSON says.

    Attributes:
        values: one for each column: a text, an integer, a truth, bytes of JSON, or None.
        texts: what is left to do for some of them, by their places.
        mask: a 1 for each column that the record has, else a 0; "" for all.
        rest: the members without a column, as a JSON object, or "".
    """

    values: Sequence[Any]
    texts: Sequence[tuple[int, Callable[[Any], str]]]
    mask: str
    rest: str


@dataclass(frozen=True)
class _Reading:
    # One way to decode: `undeclared` are the members beside the columns that it knows, as JSON.
    decode: Callable[[bytes | Raw], Any]
    texts: Sequence[tuple[int, Callable[[Any], str]]]
    partial: bool
    undeclared: Sequence[str] = ()


class RecordDecoder:
    """Decodes a stream's records by the quickest way that takes them.

    Complete records; those that lack fields; those that write integers as 0.0 or have members
    without a column. Each way takes all that the ones before it take, and costs a little more:
    what some records need is asked of all that follow.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        """Make the decoders; none when the name of a property is too odd.

        Args:
            columns: the stream's properties.
        """
        self._columns = columns
        self._names = {column.field.name for column in columns}
        self._undeclared: list[str] = []
        self._first = 0
        self._readings: list[_Reading] = []
        self._open: _Reading | None = None
        if any(map(_ODD_NAME.search, self._names)):
            return
        strict = [struct_type(column) for column in columns]
        self._loose = [Raw if type_ == _INTEGER else type_ for type_ in strict]
        self._readings = [
            self._reading(strict, partial=False),
            self._reading(strict, partial=True),
            self._reading(self._loose, partial=True),
        ]
        self._open = self._reading(self._loose, partial=True, is_open=True)

    def decode(self, record: bytes | Raw) -> Decoded | None:
        """Decode a record; None where it takes the patient way.

        Args:
            record: its JSON.
        """
        try:
            for at in range(self._first, len(self._readings)):
                reading = self._readings[at]
                try:
                    values = astuple(reading.decode(record))
                except msgspec.ValidationError:
                    continue
                self._first = at
                return self._decoded(reading, values)
            return self._decode_openly(record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _decoded(self, reading: _Reading, values: tuple[Any, ...], rest: str = "") -> Decoded:
        if not reading.partial:
            return Decoded(values, reading.texts, "", "")
        if reading.undeclared:
            values, others = values[: len(self._columns)], values[len(self._columns) :]
            rest = ",".join(
                [
                    name + str(value, "utf-8")
                    for name, value in zip(reading.undeclared, others, strict=True)
                    if value is not ABSENT
                ]
            )
            rest = rest and "{" + rest + "}"
        mask = "".join(["0" if one is UNSET or one is ABSENT else "1" for one in values])
        if "0" not in mask:
            return Decoded(values, reading.texts, "", rest)
        values = tuple([None if value is UNSET else value for value in values])
        return Decoded(values, reading.texts, mask, rest)

    def _decode_openly(self, record: bytes | Raw) -> Decoded | None:
        if self._open is None:
            return None
        values = astuple(self._open.decode(record))
        rest = {name: raw for name, raw in _members(record).items() if name not in self._names}
        self._learn(rest)
        return self._decoded(self._open, values, msgspec.json.encode(rest).decode())

    def _learn(self, names: Iterable[str]) -> None:
        # A member without a column seldom comes alone: from now on it is known.
        new = [name for name in names if name not in self._undeclared]
        known = len(self._undeclared) + len(new)
        if new and known <= MOST_UNDECLARED and not any(map(_ODD_NAME.search, new)):
            self._undeclared += new
            self._readings[-1] = self._reading(self._loose, partial=True)

    def _reading(self, types: Sequence[Any], *, partial: bool, is_open: bool = False) -> _Reading:
        undeclared = () if is_open else self._undeclared
        names = [*(column.field.name for column in self._columns), *undeclared]
        fields: list[Any] = [
            (f"f{at}", type_)
            if not partial
            else (f"f{at}", Raw, ABSENT)
            if type_ is Raw
            else (f"f{at}", type_ | UnsetType, UNSET)
            for at, type_ in enumerate([*types, *([Raw] * len(undeclared))])
        ]
        struct = msgspec.defstruct(
            "Record",
            fields,
            rename={f"f{at}": name for at, name in enumerate(names)},
            forbid_unknown_fields=not is_open,
            gc=False,
        )
        texts = [
            (at, text)
            for at, (column, type_) in enumerate(zip(self._columns, types, strict=True))
            if (text := text_of(column, type_)) is not None
        ]
        members = [msgspec.json.encode(name).decode() + ":" for name in undeclared]
        return _Reading(msgspec.json.Decoder(struct).decode, texts, partial, members)


def struct_type(column: Column) -> Any:
    """What a property is decoded into.

    Strings, and what Python writes as PostgreSQL reads it; the rest keeps its own bytes, so that
    no float is ever made.
    """
    accepts, kind = column.field.accepts, column.kind
    if accepts == {"string"} and kind in {Kind.TEXT, Kind.DATE, Kind.TIMESTAMP, Kind.UUID}:
        return str | None
    if accepts == {"integer"} and kind is Kind.BIGINT:
        return _INTEGER
    if accepts == {"boolean"} and kind is Kind.BOOLEAN:
        return bool | None
    return Raw  # takes null too; msgspec knows no union with it
