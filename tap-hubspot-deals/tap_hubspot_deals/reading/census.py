"""Who is there: the ids that HubSpot has of what is asked for, beside those that went out.

A portal of up to a thousand records is listed, ids and filter fields alone: ten requests. A larger
one is counted by one search, and where that gives the same number - as many may have come as went -
by three more, each over half of eight stretches: any two stretches differ in one of them. Where a
count differs, halves of the ids are counted until those that differ are few enough to be read.
Who asks for certainty has all ids listed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hubspot_client.errors import HubSpotError
from hubspot_client.paging import Cursors

from tap_hubspot_deals.reading.filtering import is_asked_for
from tap_hubspot_deals.reading.legs import BAD_REQUEST, Leg, OutOfOrder
from tap_hubspot_deals.reading.searching import SearchSource, count, extent, stretches_at_once
from tap_hubspot_deals.reading.sources import ListSource
from tap_hubspot_deals.reading.walks import Walk
from tap_hubspot_deals.settings import Filters

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Executor

    from tap_hubspot_deals.reading.idsets import IdSet
    from tap_hubspot_deals.reading.objects import ObjectPage, ObjectReader, Source
    from tap_hubspot_deals.reading.searching import Stretch

Differences = tuple[list[int], list[int]]
SMALL = 1000
"""Records that are listed rather than counted."""

STRETCH = 400
"""Ids that are read rather than counted in halves: two pages of a search."""

BITS = 3
"""Searches that count half of the stretches each, by a binary digit of the stretch's number."""


class Census:
    """Compares what is there with what went out.

    Args:
        reader: Which objects.
        filters: What is asked for.
    """

    def __init__(self, reader: ObjectReader, filters: Filters) -> None:
        named = [reader.object_type.created, *(reader.object_type.pipeline or ())]
        self._reader = replace(reader, properties=tuple(named), page_size=100, raw=False)
        self._filters = filters

    def differences(self, held: IdSet, turn: int) -> Differences:
        """What went out and is not there, and what is there and did not go out.

        Both are to be looked at one by one: the index of the search lags behind.

        Args:
            held: The ids that went out as live ones.
            turn: Another number at each run, so that stretches begin elsewhere.
        """
        try:
            total, highest = extent(self._reader, Filters())
            if total > SMALL:
                if self._filters:
                    total, highest = extent(self._reader, self._filters)
                top = max(int(highest or 0), max(held, default=0))
                return self._searched(held, total, top, turn)
        except HubSpotError as exc:  # a type that cannot be searched
            if exc.status != BAD_REQUEST:
                raise
        return self._compare(held, self._listed())

    def all_differences(self, held: IdSet, pool: Executor) -> Differences:
        """As `differences`, whatever it costs.

        Args:
            held: The ids that went out as live ones.
            pool: Where requests run.
        """
        walk = Walk(ListSource(self._reader), pool, [Leg()], ordered=True, extent=self._extent)
        there: set[int] = set()
        try:
            for steps in walk.groups():
                for step in steps:
                    there.update(self._asked_for(step.page))
        except OutOfOrder:
            there = self._listed()
        return self._compare(held, there)

    def _extent(self) -> tuple[int, int | None]:
        try:
            total, highest = extent(self._reader, Filters())
        except HubSpotError as exc:
            if exc.status != BAD_REQUEST:
                raise
            return 0, None
        return total // self._reader.page_size, None if highest is None else int(highest)

    def _asked_for(self, page: ObjectPage) -> list[int]:
        object_type = self._reader.object_type
        return [int(o.id) for o in page.objects if is_asked_for(o, self._filters, object_type)]

    def _searched(self, held: IdSet, total: int, top: int, turn: int) -> Differences:
        if total != len(held):
            return self._search(held, 0, top)
        stretches = _stretches(held, top, turn)
        for bit in range(BITS):
            chosen = _joined([s for n, s in enumerate(stretches) if n >> bit & 1])
            if self._count(chosen) != sum(held.count(*each) for each in chosen):
                return self._all(held, stretches)
        return [], []

    def _all(self, held: IdSet, stretches: Sequence[Stretch]) -> Differences:
        found = [self._search(held, *each) for each in stretches]
        return [i for gone, _ in found for i in gone], [i for _, come in found for i in come]

    def _count(self, stretches: Sequence[Stretch]) -> int:
        at_once = stretches_at_once(self._filters)
        return sum(
            count(self._reader, self._filters, stretches[start : start + at_once])
            for start in range(0, len(stretches), at_once)
        )

    def _listed(self) -> set[int]:
        """All ids that pass the filters, by the list, which does not lag behind."""
        source: Source = ListSource(self._reader)
        cursors = Cursors(f"{self._reader.object_type.name} (ids)")
        there: set[int] = set()
        position: str | None = None
        while True:
            page = source.fetch(position)
            there.update(self._asked_for(page))
            if page.following is None:
                return there
            cursors.check(position, page.following, empty=not page.objects)
            position = page.following

    def _search(self, held: IdSet, low: int, high: int) -> Differences:
        """The differences within a stretch of ids."""
        ours = held.between(low, high)
        theirs = count(self._reader, self._filters, [(low, high)])
        if theirs == len(ours):
            return [], []
        if max(theirs, len(ours)) <= STRETCH:
            return self._compare(ours, self._found(low, high))
        middle = ours[len(ours) // 2] if len(ours) > 1 else (low + high) // 2
        return self._all(held, [(low, middle), (middle + 1, high)])

    def _found(self, low: int, high: int) -> set[int]:
        source = SearchSource(self._reader, self._filters, stretches=((low, high),), fresh=False)
        there: set[int] = set()
        position: str | None = None
        while True:
            page = source.fetch(position)
            there.update(int(o.id) for o in page.objects)
            if page.following is None:
                return there
            position = page.following

    @staticmethod
    def _compare(ours: Iterable[int], theirs: set[int]) -> Differences:
        gone = [i for i in ours if i not in theirs]
        theirs.difference_update(ours)
        return gone, sorted(theirs)


def _stretches(held: IdSet, top: int, turn: int) -> list[Stretch]:
    """Eight stretches of all ids with about as many held ones each; where they begin, moves."""
    parts = 2**BITS
    fine = held.quantiles(parts * parts)
    if len(fine) < parts * parts:
        return [(0, top)]
    begins = [fine[place * parts + turn % parts - parts // 2] for place in range(1, parts)]
    return list(zip([0, *(i + 1 for i in begins)], [*begins, top], strict=True))


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """The same ids in fewer stretches: neighbours become one."""
    joined: list[Stretch] = []
    for low, high in stretches:
        if joined and joined[-1][1] + 1 == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined
