"""Rows that wait for COPY: one per key, the last one wins, and no field is lost on the way.

What a row was made of is kept until it is stored: a later record that PostgreSQL refuses must not
take an earlier one with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from target_deals_postgres.records.lines import NULL
from target_deals_postgres.records.rows import GoneBeforeError, MissingKeyError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from target_deals_postgres.records.presence import Presence
    from target_deals_postgres.records.rows import Layout, Row

ROW_OVERHEAD = 200  # bytes that Python needs to keep a row and its key


@dataclass
class Batch:
    """Rows of one layout that wait for COPY: one per key, the last one wins.

    Attributes:
        rows: COPY lines.
        incomplete: which columns a row has, by its number; complete rows are not listed.
        parts: the records that a row was made of, by its number, where there are several.
        removing: whether rows that say that they are deleted are removed when they are stored.
        superseded: how many records are part of a row with a later one.
    """

    layout: Layout
    rows: list[bytes] = field(default_factory=list)
    incomplete: dict[int, Presence] = field(default_factory=dict)
    parts: dict[int, list[tuple[bytes, Presence]]] = field(default_factory=dict)
    removing: bool = False
    superseded: int = 0
    _numbers: dict[Any, int] = field(default_factory=dict)
    _marked: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        keys = self.layout.keys
        self._key: Callable[[Row], Any] | None = itemgetter(*keys) if keys else None
        self._single = len(keys) == 1

    def present(self, number: int) -> Presence:
        """Which columns a row has."""
        return self.incomplete.get(number, self.layout.everything)

    def presences(self) -> set[Presence]:
        """What the rows have; one of them where all are alike."""
        found = set(self.incomplete.values())
        if len(self.incomplete) < len(self.rows):
            found.add(self.layout.everything)
        return found

    def add(self, row: Row, line: bytes, present: Presence) -> int:
        """Add a row.

        Args:
            row: its texts; those of the added columns may be left out.
            line: the same for COPY, complete.
            present: which columns its record has.

        Returns:
            How many bytes of memory it takes more, about.

        Raises:
            MissingKeyError: a part of its key is null.
            GoneBeforeError: a row of its key is to be removed first.
        """
        if self._key is not None:
            key = self._key(row)
            if key is NULL if self._single else NULL in key:
                at = next(at for at in self.layout.keys if row[at] is NULL)
                raise MissingKeyError(self.layout.columns[at].field.name)
            if not self.layout.spelled:  # else only PostgreSQL knows which keys are the same
                number = self._numbers.setdefault(key, len(self.rows))
                if number < len(self.rows):
                    if number in self._marked:
                        raise GoneBeforeError
                    return self._replace(number, row, line, present)
        self._note_mark(len(self.rows), row)
        self.append(line, present)
        return len(line) + ROW_OVERHEAD

    def append(self, line: bytes, present: Presence) -> None:
        """Add a COPY line, whatever its key."""
        if not present.complete:
            self.incomplete[len(self.rows)] = present
        self.rows.append(line)

    def made_of(self, numbers: Iterable[int]) -> Batch:
        """The records that these rows were made of, each a row of its own."""
        batch = Batch(self.layout)
        for number in numbers:
            for line, present in self.parts[number]:
                batch.append(line, present)
        return batch

    def without(self, numbers: Collection[int]) -> Batch:
        """The other rows, and what they were made of."""
        batch = Batch(self.layout)
        for number, line in enumerate(self.rows):
            if number not in numbers:
                if number in self.parts:
                    batch.parts[len(batch.rows)] = self.parts[number]
                batch.append(line, self.present(number))
        batch.superseded = self.superseded - sum(len(self.parts[one]) - 1 for one in numbers)
        return batch

    def _note_mark(self, number: int, row: Row) -> None:
        at = self.layout.mark
        if self.removing and at is not None and row[at] is not NULL:
            self._marked.add(number)

    def _replace(self, number: int, row: Row, own: bytes, present: Presence) -> int:
        self._note_mark(number, row)
        self.superseded += 1
        old, known = self.rows[number], self.present(number)
        self.parts.setdefault(number, [(old, known)]).append((own, present))
        line = self.layout.combined(old, own, present)
        self.rows[number] = line
        self.incomplete.pop(number, None)
        both = known | present
        if not both.complete:
            self.incomplete[number] = both
        return len(line) + len(own) + ROW_OVERHEAD
