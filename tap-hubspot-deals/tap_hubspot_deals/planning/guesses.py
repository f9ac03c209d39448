"""Where nobody looked: ids spread evenly, and what a record about as old as another one has."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NEAR = 24
"""Records that were looked at, of which one stands for one about as old."""

MIXED, PRIME = 2_654_435_761, 4_294_967_291
"""By these an id chooses one of them."""


def spread(number: int, low: int, high: int) -> list[int]:
    """So many ids evenly above one and up to another."""
    width = high - low
    number = max(0, min(number, width))
    return [low + width * (i + 1) // number for i in range(number)]


def near(number: int, ids: Sequence[int], values: Sequence[int]) -> int:
    """What a record about as old as another has, as if by chance; 0 where nobody was looked at."""
    if not ids:
        return 0
    among = min(NEAR, len(ids))
    first = min(max(0, bisect_left(ids, number) - among // 2), len(ids) - among)
    return values[first + number * MIXED % PRIME % among]


def has(ids: Sequence[int], number: int) -> bool:
    """Whether an id is among ascending ones."""
    place = bisect_left(ids, number)
    return place < len(ids) and ids[place] == number
