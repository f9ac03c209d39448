"""Knows how to write a Parquet file with typed columns and flat memory; runs as a process.

    python -m scan_service.records.parquet deals.parquet deals < rows

Rows come as `rows.py` says; a column is `[heading, kind, declared]`. Which types hold all values
without loss is known after the last row, so rows wait on disk until then
(docs/decisions/0121-parquet-holds-every-digit.md).
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from scan_service.records.rows import read_time, received

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

_GROUP_ROWS = 20_000
_GROUP_OCTETS = 16 * 1024 * 1024
# With or without a value: Arrow gives each its place, and each column costs its part of every group
# some kilobytes of memory until the end.
_GROUP_CELLS = 16_000_000
# BigQuery's NUMERIC and the widest that all readers know: as long as it fits, files of all scans
# have the same type.
_PRECISION, _SCALE = 38, 9
_EXACTLY = Context(prec=_PRECISION, traps=[Inexact, InvalidOperation])
_DECLARED = {"number": "number", "boolean": "boolean", "list": "list"}


def is_installed() -> bool:
    """Tell whether this installation can write Parquet: the extra `parquet`."""
    return find_spec("pyarrow") is not None


@dataclass
class Column:
    """What the values of one column have been so far.

    Attributes:
        heading: its name.
        kind: how its texts are to be read, as `table.Column` says.
        declared: the type that the account gives the property, for a column without a value.
    """

    heading: str
    kind: str
    declared: str
    _seen: str = field(default="", init=False)
    _whole: int = field(default=0, init=False)
    _scale: int = field(default=_SCALE, init=False)
    # Whether a value is written with more digits than pyarrow takes, zeros at its end.
    _is_long: bool = field(default=False, init=False)

    def look(self, given: str) -> None:
        """Take note of a value."""
        if self._seen == "text":
            return
        try:
            value = self._read(given)
        except ValueError:
            self._seen = "text"
            return
        if value is None:
            return
        sort = _sort(value)
        self._seen = sort if self._seen in ("", sort) else "text"
        if isinstance(value, Decimal):
            self._measure(value)

    def _measure(self, value: Decimal) -> None:
        _, digits, exponent = value.as_tuple()
        scale = -int(exponent)
        self._is_long = self._is_long or max(len(digits), scale) > _PRECISION
        if not value:
            return
        self._whole = max(self._whole, len(digits) - scale)
        for digit in reversed(digits):
            if digit or scale <= 0:
                break
            scale -= 1
        self._scale = max(self._scale, scale)
        if self._whole + self._scale > _PRECISION:
            self._seen = "text"

    @property
    def sort(self) -> str:
        """What it holds: one of the keys of `type`."""
        if self._seen or self.kind in ("moment", "day", "boolean"):
            return self._seen or self.kind
        return _DECLARED.get(self.declared, "text")

    def type(self) -> pa.DataType:
        """Return the type that holds all of its values."""
        import pyarrow as pa  # noqa: PLC0415 - an extra

        types = {
            "number": pa.decimal128(_PRECISION, self._scale),
            "boolean": pa.bool_(),
            "list": pa.list_(pa.string()),
            "moment": pa.timestamp("us", tz="UTC"),
            "day": pa.date32(),
        }
        return types.get(self.sort, pa.string())

    def value(self, given: str) -> Any:
        """Return a value as the column holds it."""
        if self.sort != "text":
            value = self._read(given)
            if self._is_long and isinstance(value, Decimal):
                return value.quantize(Decimal(1).scaleb(-self._scale), context=_EXACTLY)
            return value
        if self.kind != "json":
            return given
        value = self._read(given)
        return value if value is None or isinstance(value, str) else given

    def _read(self, given: str) -> Any:
        if self.kind == "json":
            return json.loads(given, parse_float=Decimal, parse_int=Decimal)
        if self.kind == "boolean":
            return given == "true"
        return read_time(given, self.kind) if self.kind in ("day", "moment") else given


def _sort(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, Decimal):
        return "number"
    if isinstance(value, datetime):
        return "moment"
    if isinstance(value, date):
        return "day"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "list"
    return "text"


def main(path: str, lines: Iterable[bytes]) -> None:
    """Write the rows of stdin to a file."""
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow.parquet import ParquetWriter  # noqa: PLC0415

    head, rows = received(lines)
    columns = [Column(*each) for each in head]
    with tempfile.TemporaryFile("w+") as waiting:
        for row in rows:
            kept = [(at, given) for at, given in enumerate(row) if given is not None]
            for at, given in kept:
                columns[at].look(given)
            waiting.write(json.dumps(kept) + "\n")
        waiting.seek(0)
        schema = pa.schema([(column.heading, column.type()) for column in columns])
        with ParquetWriter(path, schema, compression="zstd") as writer:
            for number, cells in _groups(waiting, len(columns)):
                arrays = [
                    pa.array(_spread(column, given, number), entry.type)
                    for column, entry, given in zip(columns, schema, cells, strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


# What the cells of one column are in a group: the row, from 0, and the text.
_Cells = list[tuple[int, str]]


def _spread(column: Column, cells: _Cells, number: int) -> list[Any]:
    """Return a column's values in all rows of a group."""
    values: list[Any] = [None] * number
    for at, given in cells:
        values[at] = column.value(given)
    return values


def _groups(lines: Iterable[str], width: int) -> Iterator[tuple[int, list[_Cells]]]:
    """Give groups of rows: how many they are, and the cells of each column that have a value."""
    most = max(1, min(_GROUP_ROWS, _GROUP_CELLS // width))
    number = octets = 0
    cells: list[_Cells] = [[] for _ in range(width)]
    for line in lines:
        for column, given in json.loads(line):
            cells[column].append((number, given))
        number += 1
        octets += len(line)
        if number >= most or octets >= _GROUP_OCTETS:
            yield number, cells
            number, octets, cells = 0, 0, [[] for _ in range(width)]
    if number:
        yield number, cells


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin.buffer)
