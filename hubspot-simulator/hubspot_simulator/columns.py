"""Property values of generated records: derived from the position, never stored one by one."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Protocol

import msgspec

Test = Callable[[str | None], bool]
POSITION_BITS = 21
GAP = 7


def fragment(name: str, value: str | None) -> bytes:
    return msgspec.json.encode(name) + b":" + msgspec.json.encode(value)


class Column(Protocol):
    """The values of one property, by position."""

    def value(self, position: int) -> str | None: ...

    def fragments(self, positions: Iterable[int]) -> list[bytes]: ...

    def matcher(self, test: Test) -> Callable[[int], bool]: ...


class Pool:
    """A few values, dealt out over all positions.

    Fragments are encoded once and tests are asked once a value: a page of a million-record
    portal costs list look-ups only.
    """

    def __init__(
        self, name: str, values: Sequence[str | None], step: int = 1, offset: int = 0
    ) -> None:
        self.name = name
        self.values = values
        self.step = step
        self.offset = offset

    @cached_property
    def _encoded(self) -> list[bytes]:
        return [fragment(self.name, value) for value in self.values]

    def value(self, position: int) -> str | None:
        return self.values[(position * self.step + self.offset) % len(self.values)]

    def fragments(self, positions: Iterable[int]) -> list[bytes]:
        encoded, step, offset, size = self._encoded, self.step, self.offset, len(self.values)
        return [encoded[(position * step + offset) % size] for position in positions]

    def matcher(self, test: Test) -> Callable[[int], bool]:
        table = [test(value) for value in self.values]
        step, offset, size = self.step, self.offset, len(table)
        return lambda position: table[(position * step + offset) % size]


class Chosen:
    """A few values with an explicit choice for every position, as read from a file."""

    def __init__(self, name: str, values: Iterable[str | None]) -> None:
        self.name = name
        places: dict[str | None, int] = {}
        self.choices = array("L", (places.setdefault(each, len(places)) for each in values))
        self.values = list(places)

    @cached_property
    def _encoded(self) -> list[bytes]:
        return [fragment(self.name, value) for value in self.values]

    def value(self, position: int) -> str | None:
        return self.values[self.choices[position]]

    def fragments(self, positions: Iterable[int]) -> list[bytes]:
        encoded, choices = self._encoded, self.choices
        return [encoded[choices[position]] for position in positions]

    def matcher(self, test: Test) -> Callable[[int], bool]:
        table, choices = [test(value) for value in self.values], self.choices
        return lambda position: table[choices[position]]


class Computed:
    """Values that follow from the position: ids, dates, numbered names."""

    def __init__(self, name: str, value: Callable[[int], str]) -> None:
        self.name = name
        self._value = value
        self._key = msgspec.json.encode(name) + b":"

    def value(self, position: int) -> str | None:
        return self._value(position)

    def fragments(self, positions: Iterable[int]) -> list[bytes]:
        encode, key, value = msgspec.json.encode, self._key, self._value
        return [key + encode(value(position)) for position in positions]

    def matcher(self, test: Test) -> Callable[[int], bool]:
        value = self._value
        return lambda position: test(value(position))


class Base:
    """The records that a portal began with: ascending ids with gaps, dates and columns."""

    def __init__(
        self,
        first_id: int = 1,
        created: array[int] | None = None,
        updated: array[int] | None = None,
    ) -> None:
        self.first_id = first_id
        self.created = created if created is not None else array("q")
        self.updated = updated if updated is not None else array("q")
        self.count = len(self.created)
        self.columns: dict[str, Column] = {}

    def add(self, *columns: Pool | Chosen | Computed) -> None:
        for column in columns:
            self.columns[column.name] = column

    def id_at(self, position: int) -> int:
        return self.first_id + position * GAP + (position * 2_654_435_761 >> 7) % GAP

    def position(self, object_id: int) -> int | None:
        position = (object_id - self.first_id) // GAP
        if 0 <= position < self.count and self.id_at(position) == object_id:
            return position
        return None

    def lower_bound(self, object_id: int) -> int:
        """Find the first position whose id is not below this one."""
        position = (object_id - self.first_id) // GAP
        if position < 0:
            return 0
        if position >= self.count:
            return self.count
        return position if self.id_at(position) >= object_id else position + 1

    @cached_property
    def _by_updated(self) -> array[int]:
        pairs = enumerate(self.updated)
        return array("q", sorted(moment << POSITION_BITS | place for place, moment in pairs))

    def updated_between(self, low: int, high: int) -> Sequence[int]:
        """Find the positions modified in a closed window of milliseconds, in order of position."""
        index = self._by_updated
        first = bisect_left(index, low << POSITION_BITS)
        last = bisect_left(index, (high + 1) << POSITION_BITS)
        if last - first == self.count:
            return range(self.count)
        mask = (1 << POSITION_BITS) - 1
        return sorted(entry & mask for entry in index[first:last])
