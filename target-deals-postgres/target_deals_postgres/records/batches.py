"""Rows that wait for COPY: one per key, the last one wins, and no field is lost on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from target_deals_postgres.records.rows import MissingKeyError
from target_deals_postgres.records.values import NULL

if TYPE_CHECKING:
    from collections.abc import Callable

    from target_deals_postgres.records.rows import Layout, Row

ROW_OVERHEAD = 200  # bytes that Python needs to keep a row and its key


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
