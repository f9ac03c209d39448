"""Walking a source with many requests in flight: legs, their order, and where they may be cut.

One cursor yields a page per round trip. The live list is therefore walked by several legs at once,
each a stretch of ascending record ids. HubSpot documents that a cursor is the id of the next
record; it does not promise that a cursor may be made up. So nothing rests on that:

- a made-up cursor only chooses where a leg begins. The leg before it goes on, by HubSpot's own
  cursors, until it has seen a record at or after the first one that the new leg really saw;
- every page is checked for ascending ids. The first one out of order ends all cutting: the list is
  then read again from its beginning by one cursor (`OutOfOrder`);
- a cursor that HubSpot refuses, or answers from elsewhere, is simply not used;
- a bookmark has none that was made up.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from hubspot_client.errors import HubSpotError

from tap_hubspot_deals.reading.legs import Leg, Step, Walker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from tap_hubspot_deals.reading.objects import Source

    Extent = Callable[[], tuple[int, int | None]]

LEGS = 10
GROUP = 1000
"""Records that go out together: what one association request takes."""

ROOM = 24_000_000
"""Bytes of pages that may be there at once: a third waits in legs, a third for its links, and a
third goes out. Pages of usual records take a few hundred thousand."""

PAGES_PER_CUT = 10
"""A cut costs up to one request more: two half pages, or a beginning that cannot be used."""

SPLIT_PAGES = 3
"""Pages that a leg must still have before its second half is given to another."""

PAGE = 100
MAX_EMPTY_SPLITS = 3


class Walk:
    """Gives out a source's pages in one deterministic order, round by round over its legs.

    Args:
        source: What to walk.
        pool: Where requests run.
        legs: Where to begin; from a bookmark, or one leg from the beginning.
        ordered: Whether pages have ascending ids, so that the walk may be cut into legs.
        extent: Tells about how many pages there are, and the highest record id or None; asked only
            where there is a second page. None: never cut.
    """

    def __init__(
        self,
        source: Source,
        pool: Executor,
        legs: list[Leg],
        *,
        ordered: bool,
        extent: Extent | None = None,
    ) -> None:
        self._source = source
        self._pool = pool
        self._ordered = ordered
        self._extent = extent if ordered else None
        self._highest: int | None = None
        self._cuts_left = 0
        self._fresh = len(legs) == 1 and legs[0].after is None
        self._halves: list[tuple[Walker, Walker, int]] = []
        self._heaviest = 1
        self._walkers = [Walker(leg, source, pool) for leg in legs]

    def groups(self) -> Iterator[list[Step]]:
        """The pages in groups of about 1,000 records, in the order in which they go out.

        Raises:
            OutOfOrder: If a walk that was said to be ordered is not.
            HubSpotError: As the source's `fetch`.
        """
        self._heaviest = max([1, *(w.peek().weight() for w in self._walkers[:1])])
        self._ask_ahead()
        if self._extent is not None and any(
            w.peek().following for w in self._walkers[: self._legs]
        ):
            pages, self._highest = self._extent()
            self._cuts_left = pages // PAGES_PER_CUT
            if self._fresh:
                self._cut_evenly()
        group: list[Step] = []
        count = heavy = 0
        try:
            for step in self._steps():
                size, weight = len(step.page.objects), step.page.weight()
                self._heaviest = max(self._heaviest, weight)
                if group and (count + size > GROUP or heavy + weight > ROOM // 3):
                    yield group
                    group, count, heavy = [], 0, 0
                group.append(step)
                count += size
                heavy += weight
        except HubSpotError:
            yield group  # what was read before goes out first
            raise
        yield group

    @property
    def is_crowded(self) -> bool:
        """Whether one page fills the room that a group has, so that no other should wait."""
        return self._heaviest > ROOM // 6

    @property
    def _legs(self) -> int:
        """How many legs may be a page ahead."""
        return max(1, min(LEGS, ROOM // 3 // self._heaviest))

    def _ask_ahead(self) -> None:
        for walker in [w for w in self._walkers if not w.done][: self._legs]:
            walker.ask()

    def _steps(self) -> Iterator[Step]:
        """The pages, round by round over the legs."""
        while any(not w.done for w in self._walkers):
            self._cut_more()
            for walker in [w for w in self._walkers if not w.done]:
                yield self._step(walker)

    def _step(self, walker: Walker) -> Step:
        page = walker.take(ordered=self._ordered)
        self._ask_ahead()
        return Step(page, [leg.to_state() for leg in self._left()])

    def _left(self) -> list[Leg]:
        """What a run that goes on has to walk, by HubSpot's own cursors.

        Of a leg that gave no page yet only its made-up cursor is known, which may be answered from
        elsewhere the next time: it belongs to the leg before. Where that one is done, its last
        page is asked for again, for what follows in it.
        """
        left: list[Leg] = []
        before = None
        for walker in self._walkers:
            if not walker.made_up:
                before = walker
                if not walker.done:
                    left.append(replace(walker.leg))
            elif before is not None and before.done:
                left.append(Leg(before.last_cursor, walker.leg.until, before.leg.until))
                before = None
            else:
                left[-1].until = walker.leg.until
        return left

    def _cut_evenly(self) -> None:
        """Begin with legs of equal width in ids, as far as HubSpot lets a walk begin there."""
        first = self._walkers[0]
        ids = [int(o.id) for o in first.peek().objects]
        highest = self._highest
        if not ids or highest is None or any(b <= a for a, b in pairwise(ids)):
            return
        legs = min(self._legs, 1 + self._cuts_left)
        width = (highest - ids[0]) // legs
        starts = [ids[0] + width * i for i in range(1, legs) if ids[0] + width * i > ids[-1]]
        self._cuts_left -= len(starts)
        jumps = [(start, self._jump(start)) for start in starts]
        until: int | None = None
        for start, walker in reversed(jumps):
            seen = walker.first_seen(start)
            if seen is None or seen == until:
                walker.stop()
                continue
            walker.leg.until = until
            self._walkers.insert(1, walker)
            until = seen
        first.leg.until = until

    def _jump(self, start: int) -> Walker:
        return Walker(Leg(str(start)), self._source, self._pool, made_up=True)

    def _cut_more(self) -> None:
        """Keep ten legs walking: halve what is left of the longest ones."""
        for walker, half, middle in self._halves:
            self._join(walker, half, middle)
        self._halves = []
        if self._highest is None:
            return
        lacking = min(self._cuts_left, self._legs - sum(not w.done for w in self._walkers))
        if lacking <= 0:
            return
        able = [
            w
            for w in self._walkers
            if w.empty_splits < MAX_EMPTY_SPLITS
            and w.remaining(self._highest) >= SPLIT_PAGES * PAGE
        ]
        able.sort(key=lambda w: w.remaining(self._highest), reverse=True)
        for walker in able[:lacking]:
            middle = walker.middle(self._highest)
            half = self._jump(middle)
            self._cuts_left -= 1
            self._halves.append((walker, half, middle))

    def _join(self, walker: Walker, half: Walker, middle: int) -> None:
        """Let a second half walk on its own, unless there was nothing in it."""
        seen = half.first_seen(middle)
        until = walker.leg.until
        if seen is None or (until is not None and seen >= until):
            half.stop()
            walker.ceiling = middle
            walker.empty_splits += 1
        elif walker.done or walker.last_id is None or seen <= walker.last_id:
            half.stop()
        else:
            half.leg.until, half.ceiling = until, walker.ceiling
            walker.leg.until, walker.ceiling = seen, None
            self._walkers.insert(self._walkers.index(walker) + 1, half)
