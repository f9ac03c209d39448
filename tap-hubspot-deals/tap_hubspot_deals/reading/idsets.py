"""Sets of ids that hold a whole portal."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from heapq import merge
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

OVERLAY = 19_000
"""Changes that an `IdSet` collects before it sorts them in. A Python set of 20,000 would take four
times the room: 2 MB."""


class IdSet:
    """A set of ids in eight bytes each, for sets that hold a whole portal."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._sorted = array("q", ids)
        self._added: set[int] = set()
        self._gone: set[int] = set()

    def __contains__(self, number: int) -> bool:
        if number in self._added:
            return True
        return number not in self._gone and self._is_sorted_in(number)

    def __len__(self) -> int:
        return len(self._sorted) - len(self._gone) + len(self._added)

    def __iter__(self) -> Iterator[int]:
        """In ascending order."""
        old = (i for i in self._sorted if i not in self._gone)
        return merge(old, sorted(self._added))

    def add(self, numbers: Collection[int]) -> None:
        """Take ids in."""
        if self._sorted:
            self._gone.difference_update(numbers)
            numbers = [i for i in numbers if not self._is_sorted_in(i)]
        self._added.update(numbers)
        self._settle()

    def discard(self, numbers: Collection[int]) -> None:
        """Let ids go, those that are there."""
        if not self._sorted and not self._added:
            return  # most portals have no merged records, and most runs read no archived ones
        self._added.difference_update(numbers)
        self._gone.update(i for i in numbers if self._is_sorted_in(i))
        self._settle()

    def between(self, low: int, high: int) -> list[int]:
        """The ids from one to another, both included."""
        start, end = bisect_left(self._sorted, low), bisect_right(self._sorted, high)
        old = [i for i in self._sorted[start:end] if i not in self._gone]
        return sorted([*old, *(i for i in self._added if low <= i <= high)])

    def count(self, low: int, high: int) -> int:
        """How many there are from one to another, both included."""
        sorted_in = bisect_right(self._sorted, high) - bisect_left(self._sorted, low)
        return (
            sorted_in
            - sum(low <= i <= high for i in self._gone)
            + sum(low <= i <= high for i in self._added)
        )

    def quantiles(self, number: int) -> list[int]:
        """The last ids of so many parts of about one size; fewer where there are not as many."""
        ids = self._sorted if len(self._sorted) >= number else sorted(self)
        number = min(number, len(ids))
        return [ids[len(ids) * (i + 1) // number - 1] for i in range(number)]

    def _is_sorted_in(self, number: int) -> bool:
        if not self._sorted or number > self._sorted[-1]:
            return False
        return self._sorted[bisect_left(self._sorted, number)] == number

    def _settle(self) -> None:
        if len(self._added) + len(self._gone) > OVERLAY:
            self._sorted = array("q", self)
            self._added, self._gone = set(), set()
