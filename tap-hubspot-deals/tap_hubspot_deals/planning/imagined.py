"""The records of one object type as counts, and what went out before, say that they may be."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from itertools import chain, groupby
from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tap_hubspot_deals.planning.guesses import has, near, spread
from tap_hubspot_deals.reading.census import STRETCH
from tap_hubspot_deals.reading.objects import MERGED_IDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_hubspot_deals.planning.counts import Counts
    from tap_hubspot_deals.reading.holdings import Holdings
    from tap_hubspot_deals.reading.link_keys import LinkKey
    from tap_hubspot_deals.reading.progress import Progress, Window
    from tap_hubspot_deals.reading.searching import Stretch

LOOKS = 16
"""Counts by which it is found out where known ids are not found any more."""

FULL_BIN = 300
"""Archived records that an incremental run sees at the most: more need not be imagined."""


class _Part(NamedTuple):
    """A stretch of known ids, and how many more HubSpot counts in it."""

    ids: list[int]
    low: int
    high: int
    more: int


class Imagined:
    """One object type of an imagined account; everything is made when it is first asked for.

    Those that went out are there still, unless there are more of them than HubSpot counts. What
    HubSpot counts besides is new, or was not read yet.

    Args:
        counts: Asks HubSpot.
        held: What went out before.
        left: What an unfinished run left to be read; None: there is none.
        reselected: Whether what went out was another selection, so that what is not found any more
            is there and merely not asked for.

    Attributes:
        partners: The account's other types: links to what vanished there are gone.
    """

    def __init__(
        self, counts: Counts, held: Holdings, left: Progress | None, *, reselected: bool
    ) -> None:
        self.counts = counts
        self._held = held
        self._left = left
        self._reselected = reselected
        self.partners: dict[str, Imagined] = {}
        self._random = Random(1)  # noqa: S311 - a plan is the same each time
        self._changed: dict[Window, list[int]] = {}
        self._having: dict[tuple[bool, frozenset[str]], list[int]] = {}
        self._judged: dict[bool, tuple[list[int], list[bool]]] = {}
        self._link_pages: dict[str, int] = {}
        self._known_archived = list(held.archived)

    @cached_property
    def asked_for(self) -> list[int]:
        """The live records that pass the filters, in ascending order."""
        if not self.counts.is_searchable:
            return self._listed()
        gone = self.vanished
        kept = [i for i in self._known if i not in gone]
        return sorted({*kept, *self.new, *self._unread})

    def _listed(self) -> list[int]:
        """The same of a type that cannot be searched: what went out is there still."""
        top = self._known[-1] if self._known else 0
        beyond = (i for i in self.counts.listed if i > top)
        return [*self._known, *(i for i in beyond if self._looks_passing(i, archived=False))]

    @cached_property
    def _known(self) -> list[int]:
        return list(self._held.live)

    @cached_property
    def new(self) -> list[int]:
        """Those that were made since the last run."""
        if not self._known or self._is_unfinished:
            return []
        top = self._known[-1]
        return spread(self.counts.above(top), top, self.counts.highest)

    @property
    def _is_unfinished(self) -> bool:
        return self._left is not None and self._left.mode == "full" and self._left.phase == "live"

    @cached_property
    def _missing(self) -> int:
        """How many more HubSpot counts than are known; below 0: so many are gone."""
        return self.counts.asked_for - len(self._known) - len(self.new)

    @cached_property
    def _differing(self) -> list[tuple[Stretch, int]]:
        """Stretches of known ids in which HubSpot counts another number, and how many more.

        Where they lie decides how many searches the census of an incremental run needs. So they
        are looked for as the census does it, but not to the end.
        """
        if not self.counts.is_searchable:
            return []
        if not self._missing or not self._known or self._is_unfinished or self._reselected:
            return [((0, self.counts.highest), self._missing)] if self._missing else []
        parts = [_Part(self._known, 0, self._known[-1], self._missing)]
        for _ in range(LOOKS):
            able = [part for part in parts if len(part.ids) > STRETCH and part.more]
            if not able:
                break
            part = max(able, key=lambda each: len(each.ids))
            middle = len(part.ids) // 2
            left, right = part.ids[:middle], part.ids[middle:]
            more = self.counts.between((part.low, left[-1])) - len(left)
            parts.remove(part)
            parts.append(_Part(left, part.low, left[-1], more))
            parts.append(_Part(right, left[-1] + 1, part.high, part.more - more))
        return [((part.low, part.high), part.more) for part in parts if part.more]

    @cached_property
    def _unread(self) -> list[int]:
        """Those that did not go out and are not new, among the others or where a read stopped."""
        if not self._is_unfinished or self._left is None:
            return [
                i
                for (low, high), more in self._differing
                if more > 0
                for i in spread(more, low, high)
            ]
        legs = [(int(leg["after"] or 0), leg["until"]) for leg in self._left.legs]
        ends = [(low, int(until or self.counts.highest + 1)) for low, until in legs]
        whole = sum(max(0, high - low) for low, high in ends) or 1
        return [
            i
            for low, high in ends
            for i in spread(round(self._missing * max(0, high - low) / whole), low - 1, high - 1)
        ]

    @cached_property
    def vanished(self) -> frozenset[int]:
        """Those that went out and are not found any more."""
        found: set[int] = set()
        for (low, high), more in self._differing:
            among = self._held.live.between(low, high)
            found.update(self._random.sample(among, min(max(0, -more), len(among))))
        return frozenset(found)

    @cached_property
    def others(self) -> list[int]:
        """Live ones that do not pass the filters."""
        if not self.counts.is_searchable:
            number = max(0, len(self.counts.listed) - len(self.asked_for))
            return sorted({*self.counts.listed} - {*self.asked_for})[:number]
        number = self.counts.total - self.counts.asked_for
        gone = sorted(self.vanished) if self._reselected else []
        taken = set(self.asked_for)
        more = spread(number - len(gone), 0, self.counts.highest)
        return sorted({*gone[:number], *(i for i in more if i not in taken)})

    @cached_property
    def live(self) -> list[int]:
        """All live records."""
        return sorted([*self.asked_for, *self.others]) if self.others else self.asked_for

    @cached_property
    def archived(self) -> list[int]:
        """All archived records."""
        known = self._known_archived
        enough = len(known) > FULL_BIN and not self._reselected and self._left is None
        seen = known if enough else self.counts.archived
        if len(known) > len(seen):
            seen = known
        return sorted({*seen, *(() if self._reselected else self.vanished)})

    def passes(self, number: int, *, archived: bool) -> bool:
        """Whether a record passes the filters.

        Of the archived ones all went out that do, once everything was read.
        """
        if not archived:
            return number not in self._others
        if number in self._not_live:
            return True
        if self._known and self._left is None and not self._reselected:
            return False
        return self._looks_passing(number, archived=True)

    def _looks_passing(self, number: int, *, archived: bool) -> bool:
        """Whether those that were looked at pass the filters, around an id."""
        if archived not in self._judged:
            judged = self.counts.judged[archived]
            ids = sorted(judged)
            self._judged[archived] = (ids, [judged[i] for i in ids])
        return bool(near(number, *self._judged[archived]))

    @cached_property
    def _others(self) -> frozenset[int]:
        return frozenset(self.others)

    @cached_property
    def _not_live(self) -> frozenset[int]:
        gone = () if self._reselected else self.vanished
        return frozenset({*self._known_archived, *gone})

    def is_there(self, number: int, *, archived: bool) -> bool:
        """Whether a record that is asked for by its id is among the live, or archived, ones."""
        if not archived:
            return number not in self._not_live
        return number in self._not_live or has(self.archived, number)

    def changed(self, window: Window) -> list[int]:
        """Those that were modified within a window."""
        if window not in self._changed:
            number = self.counts.changed(window)
            new = self.new[-number:] if number else []
            rest = min(number - len(new), len(self.asked_for))
            older = [i for i in self._random.sample(self.asked_for, rest) if i not in set(new)]
            self._changed[window] = sorted({*new, *older})
        return self._changed[window]

    def having(self, names: frozenset[str], *, filtered: bool) -> list[int]:
        """Those that have a value in one of some properties."""
        if names == {MERGED_IDS}:
            return []
        key = (filtered, names)
        if key not in self._having:
            among = self.asked_for if filtered else self.live
            number = min(self.counts.having(names, filtered=filtered), len(among))
            self._having[key] = sorted(self._random.sample(among, number))
        return self._having[key]

    def links(self, number: int, to_type: str) -> list[list[LinkKey]]:
        """A record's links, page by page, those that went out before; nothing where it has none.

        Of records that did not go out it is known only how many pages others have.
        """
        if self._held.links is not None and number in self._held:
            gone = self.partners[to_type].vanished if to_type in self.partners else ()
            links = sorted(
                key
                for key in self._held.links_of(number)
                if key[0] == to_type and int(key[1]) not in gone
            )
            targets = [list(same) for _, same in groupby(links, itemgetter(1))]
            page = self._link_page(to_type) if len(targets) > 1 else 1
            pages = [targets[start : start + page] for start in range(0, len(targets), page)]
            return [list(chain.from_iterable(each)) for each in pages]
        depth = near(number, self.counts.sample, self.counts.depths(to_type))
        return [[]] * depth if depth > 1 else []

    def weight(self, number: int) -> int:
        """What a record takes with all properties, in bytes as pages are measured; 0: little."""
        return near(number, self.counts.weighed, self.counts.weights)

    def _link_page(self, to_type: str) -> int:
        if to_type not in self._link_pages:
            numbers = Counter(
                {i: sum(key[0] == to_type for key in self._held.links_of(i)) for i in self._linked}
            )
            [(deepest, _)] = numbers.most_common(1)
            self._link_pages[to_type] = self.counts.link_page(to_type, deepest)
        return self._link_pages[to_type]

    @property
    def _linked(self) -> Iterable[int]:
        return self._held.links or ()
