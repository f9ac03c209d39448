"""Who is there: the ids that HubSpot has of what is asked for, beside those that went out.

A portal of up to a thousand records is listed, ids and filter fields alone: ten requests. A larger
one is counted by one search; where the count differs, halves of the ids are counted until the
stretches that differ are small enough to be read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hubspot_client.errors import HubSpotError
from hubspot_client.paging import Cursors

from tap_hubspot_deals.reading.filtering import is_asked_for
from tap_hubspot_deals.reading.legs import BAD_REQUEST
from tap_hubspot_deals.reading.searching import SearchSource, count, extent
from tap_hubspot_deals.reading.sources import ListSource
from tap_hubspot_deals.settings import Filters

if TYPE_CHECKING:
    from tap_hubspot_deals.reading.holdings import IdSet
    from tap_hubspot_deals.reading.objects import ObjectReader, Source

SMALL = 1000
"""Records that are listed rather than counted."""

STRETCH = 400
"""Ids that are read rather than counted in halves: two pages of a search."""


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

    def differences(self, held: IdSet) -> tuple[list[int], list[int]]:
        """What went out and is not there, and what is there and did not go out.

        Both are to be looked at one by one: the index of the search lags behind.

        Args:
            held: The ids that went out as live ones.
        """
        try:
            if count(self._reader, Filters()) > SMALL:
                return self._searched(held)
        except HubSpotError as exc:  # a type that cannot be searched
            if exc.status != BAD_REQUEST:
                raise
        return self._compare(list(held), self._listed())

    def _searched(self, held: IdSet) -> tuple[list[int], list[int]]:
        total, highest = extent(self._reader, self._filters)
        if total == len(held):
            return [], []
        return self._search(held, 0, max(int(highest or 0), max(held, default=0)))

    def _listed(self) -> set[int]:
        """All ids that pass the filters, by the list, which does not lag behind."""
        source: Source = ListSource(self._reader)
        cursors = Cursors(f"{self._reader.object_type.name} (ids)")
        there: set[int] = set()
        position: str | None = None
        while True:
            page = source.fetch(position)
            there.update(
                int(o.id)
                for o in page.objects
                if is_asked_for(o, self._filters, self._reader.object_type)
            )
            if page.following is None:
                return there
            cursors.check(position, page.following, empty=not page.objects)
            position = page.following

    def _search(self, held: IdSet, low: int, high: int) -> tuple[list[int], list[int]]:
        """The differences within a stretch of ids that is known to have some."""
        ours = held.between(low, high)
        theirs = count(self._reader, self._filters, (low, high))
        if theirs == len(ours):
            return [], []
        if max(theirs, len(ours)) <= STRETCH:
            return self._compare(ours, self._found(low, high))
        middle = ours[len(ours) // 2] if len(ours) > 1 else (low + high) // 2
        first, second = self._search(held, low, middle), self._search(held, middle + 1, high)
        return first[0] + second[0], first[1] + second[1]

    def _found(self, low: int, high: int) -> set[int]:
        source = SearchSource(self._reader, self._filters, stretch=(low, high), fresh=False)
        there: set[int] = set()
        position: str | None = None
        while True:
            page = source.fetch(position)
            there.update(int(o.id) for o in page.objects)
            if page.following is None:
                return there
            position = page.following

    @staticmethod
    def _compare(ours: list[int], theirs: set[int]) -> tuple[list[int], list[int]]:
        mine = set(ours)
        return [i for i in ours if i not in theirs], sorted(theirs - mine)
