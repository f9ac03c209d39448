"""How many records a list has that no search counts, by looking into it at some places."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from hubspot_client.errors import HubSpotError

from tap_hubspot_deals.reading.legs import BAD_REQUEST

if TYPE_CHECKING:
    from tap_hubspot_deals.reading.objects import Source

MOST = 12
"""Requests for one list."""

GOOD = 0.02
"""The part of the number that may be in doubt."""


@dataclass(frozen=True)
class _Look:
    """A page, and where it was asked for; `dense` are its records for each id that it spans."""

    start: int
    ids: list[int]

    @property
    def end(self) -> int:
        """The last id that is known of."""
        return self.ids[-1] if self.ids else self.start

    @property
    def dense(self) -> float:
        return len(self.ids) / (self.end - max(self.start, self.ids[0]) + 1) if self.ids else 0.0


def probe(source: Source, highest: int) -> list[int]:
    """About the ids that stand in a list: those that were seen, and others between them.

    Args:
        source: The list.
        highest: An id above which few are to be expected; 0: not known.

    Returns:
        In ascending order; empty where the type has no such list.

    Raises:
        HubSpotError: If HubSpot does not answer.
    """
    try:
        page = source.fetch(None)
    except HubSpotError as exc:
        if exc.status != BAD_REQUEST:
            raise
        return []
    first = [int(o.id) for o in page.objects]
    if page.following is None or not first:
        return first
    looks = [_Look(first[0], first)]
    try:
        step = first[-1] - first[0] + 1
        while looks[-1].ids and highest <= first[-1]:  # further and further, up to its end
            step *= 4
            looks.append(_look(source, looks[-1].end + step))
        if looks[-1].ids:
            looks.append(_look(source, highest + 1))
        while len(looks) < MOST:
            gap, doubt = max(enumerate(map(_doubt, pairwise(looks))), key=lambda each: each[1])
            if doubt <= GOOD * sum(map(_between, pairwise(looks))):
                break
            middle = (looks[gap].end + looks[gap + 1].start) // 2
            looks.insert(gap + 1, _look(source, middle))
    except HubSpotError as exc:  # cursors that may not be made up
        if exc.status != BAD_REQUEST:
            raise
    return _filled(looks)


def _look(source: Source, start: int) -> _Look:
    return _Look(start, [int(o.id) for o in source.fetch(str(start)).objects])


def _between(pair: tuple[_Look, _Look]) -> float:
    """How many records are probably between two pages."""
    left, right = pair
    begins = right.ids[0] if right.ids else right.start
    density = (left.dense + right.dense) / 2
    return max(0, min(right.start, begins) - left.end - 1) * density


def _doubt(pair: tuple[_Look, _Look]) -> float:
    """How many of them may be there or not."""
    left, right = pair
    return max(0, right.start - left.end - 1) * abs(left.dense - right.dense) / 2


def _filled(looks: list[_Look]) -> list[int]:
    ids = set(looks[0].ids)
    for left, right in pairwise(looks):
        ids.update(right.ids)
        number = round(_between((left, right)))
        width = right.start - left.end
        ids.update(left.end + width * (i + 1) // (number + 1) for i in range(number))
    return sorted(ids)
