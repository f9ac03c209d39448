"""Walking a source with many requests in flight: legs, their order, and where they may be cut.

One cursor yields a page per round trip. The live list is therefore walked by several legs at once,
each a stretch of ascending record ids. HubSpot documents that a cursor is the id of the next
record; it does not promise that a cursor may be made up. So nothing rests on that:

- a made-up cursor only chooses where a leg begins. The leg before it goes on, by HubSpot's own
  cursors, until it has seen a record at or after the first one that the new leg really saw;
- every page is checked for ascending ids. The first one out of order ends all cutting: the list is
  then read again from its beginning by one cursor (`OutOfOrder`);
- a cursor that HubSpot refuses, or answers from elsewhere, is simply not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tap_hubspot_deals.errors import HubSpotError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor, Future

    from tap_hubspot_deals.sources import Page, Source

LEGS = 10
GROUP = 1000
"""Records that go out together: what one association request takes."""

PAGES_PER_CUT = 10
"""A cut costs up to one request more: two half pages, or a beginning that cannot be used."""

SPLIT_PAGES = 3
"""Pages that a leg must still have before its second half is given to another."""

PAGE = 100
MAX_EMPTY_SPLITS = 3
BAD_REQUEST = 400


class OutOfOrder(Exception):  # noqa: N818 - a finding, not a failure
    """The list is not in ascending order of record ids, so it cannot be cut into legs."""


@dataclass
class Leg:
    """A stretch of a walk.

    Args:
        after: The cursor of the next page that was not given out yet; None is the beginning.
        until: The first record id that belongs to the next leg; None where there is none.
    """

    after: str | None = None
    until: int | None = None

    def to_state(self) -> dict[str, Any]:
        """As it stands in a bookmark."""
        return {"after": self.after, "until": None if self.until is None else str(self.until)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Leg:
        """From a bookmark."""
        until = state.get("until")
        return cls(state.get("after"), None if until is None else int(until))


@dataclass
class Step:
    """One page of one leg, as it goes out.

    Args:
        page: The page, without the records that belong to the next leg.
        legs: All legs that are still unfinished once this page is out.
    """

    page: Page
    legs: list[dict[str, Any]]


class _Walker:
    """A leg on its way: always one page ahead."""

    def __init__(self, leg: Leg, source: Source, pool: Executor) -> None:
        self.leg = leg
        self.position = leg.after
        self.last_id: int | None = None
        self.first_id: int | None = None
        self.count = 0
        self.ceiling: int | None = None
        self.empty_splits = 0
        self._source = source
        self._pool = pool
        self._coming: Future[Page] | None = pool.submit(source.fetch, leg.after)

    @property
    def done(self) -> bool:
        """Whether there is nothing left to take."""
        return self._coming is None

    def peek(self) -> Page:
        """The page on its way, which stays the next to be taken."""
        assert self._coming is not None  # noqa: S101 - callers ask `done` first
        return self._coming.result()

    def take(self, *, ordered: bool) -> Page:
        """The next page, cut at `until`; the one after it is asked for at once."""
        page = self.peek()
        if ordered:
            self._check_order(page)
            self._cut(page)
        if page.following is None:
            self._coming = None
        else:
            self._coming = self._pool.submit(self._source.fetch, page.following)
        self.position = page.following
        return page

    def stop(self) -> None:
        """Give up what is on its way."""
        self._coming = None

    def remaining(self, highest: int | None) -> float:
        """How many records are probably left, by the density so far."""
        end = self.ceiling or self.leg.until or highest
        if self.done or end is None or self.last_id is None or self.first_id is None:
            return 0.0
        density = self.count / (self.last_id - self.first_id + 1)
        return max(0, end - self.last_id) * density

    def middle(self, highest: int | None) -> int:
        """The id halfway through what is left."""
        end = self.ceiling or self.leg.until or highest
        assert end is not None  # noqa: S101 - `remaining` was above 0
        assert self.last_id is not None  # noqa: S101 - the same
        return (self.last_id + end) // 2

    def _check_order(self, page: Page) -> None:
        ids = [int(o.id) for o in page.objects]
        if not ids:
            return
        before = [] if self.last_id is None else [self.last_id]
        if any(b <= a for a, b in pairwise(before + ids)):
            raise OutOfOrder
        if self.first_id is None:
            self.first_id = ids[0]
        self.last_id = ids[-1]
        self.count += len(ids)

    def _cut(self, page: Page) -> None:
        until = self.leg.until
        if until is None or self.last_id is None or self.last_id < until:
            return
        kept = sum(int(o.id) < until for o in page.objects)
        del page.objects[kept:]
        if page.raws is not None:
            del page.raws[kept:]
        page.following = None


class Walk:
    """Gives out a source's pages in one deterministic order, round by round over its legs.

    Args:
        source: What to walk.
        pool: Where requests run.
        legs: Where to begin; from a bookmark, or one leg from the beginning.
        ordered: Whether pages have ascending ids, so that the walk may be cut into legs.
        highest: The highest record id known, for cutting; None: never cut.
        pages: About how many pages there are; so much the more often may be cut.
    """

    def __init__(
        self,
        source: Source,
        pool: Executor,
        legs: list[Leg],
        *,
        ordered: bool,
        highest: int | None = None,
        pages: int = 0,
    ) -> None:
        self._source = source
        self._pool = pool
        self._ordered = ordered
        self._highest = highest if ordered else None
        self._cuts_left = pages // PAGES_PER_CUT
        self._fresh = len(legs) == 1 and legs[0].after is None
        self._halves: list[tuple[_Walker, _Walker, int]] = []
        self._walkers = [_Walker(leg, source, pool) for leg in legs]

    def groups(self) -> Iterator[list[Step]]:
        """The pages in groups of about 1,000 records, in the order in which they go out.

        Raises:
            OutOfOrder: If a walk that was said to be ordered is not.
            HubSpotError: As the source's `fetch`.
        """
        if self._fresh and self._highest is not None:
            self._cut_evenly()
        group: list[Step] = []
        count = 0
        try:
            for step in self._steps():
                size = len(step.page.objects)
                if count + size > GROUP:
                    yield group
                    group, count = [], 0
                group.append(step)
                count += size
        except HubSpotError:
            yield group  # what was read before goes out first
            raise
        yield group

    def _steps(self) -> Iterator[Step]:
        """The pages, round by round over the legs."""
        while any(not w.done for w in self._walkers):
            self._cut_more()
            for walker in [w for w in self._walkers if not w.done]:
                yield self._step(walker)

    def _step(self, walker: _Walker) -> Step:
        page = walker.take(ordered=self._ordered)
        walker.leg = Leg(walker.position, walker.leg.until)
        return Step(page, [w.leg.to_state() for w in self._walkers if not w.done])

    def _cut_evenly(self) -> None:
        """Begin with legs of equal width in ids, as far as HubSpot lets a walk begin there."""
        first = self._walkers[0]
        ids = [int(o.id) for o in first.peek().objects]
        highest = self._highest
        if not ids or highest is None or any(b <= a for a, b in pairwise(ids)):
            return
        legs = min(LEGS, 1 + self._cuts_left)
        width = (highest - ids[0]) // legs
        starts = [ids[0] + width * i for i in range(1, legs) if ids[0] + width * i > ids[-1]]
        self._cuts_left -= len(starts)
        jumps = [(start, _Walker(Leg(str(start)), self._source, self._pool)) for start in starts]
        until: int | None = None
        for start, walker in reversed(jumps):
            seen = _first_seen(walker, start)
            if seen is None or seen == until:
                walker.stop()
                continue
            walker.leg.until = until
            self._walkers.insert(1, walker)
            until = seen
        first.leg.until = until

    def _cut_more(self) -> None:
        """Keep ten legs walking: halve what is left of the longest ones."""
        for walker, half, middle in self._halves:
            self._join(walker, half, middle)
        self._halves = []
        if self._highest is None:
            return
        lacking = min(self._cuts_left, LEGS - sum(not w.done for w in self._walkers))
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
            half = _Walker(Leg(str(middle)), self._source, self._pool)
            self._cuts_left -= 1
            self._halves.append((walker, half, middle))

    def _join(self, walker: _Walker, half: _Walker, middle: int) -> None:
        """Let a second half walk on its own, unless there was nothing in it."""
        seen = _first_seen(half, middle)
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


def _first_seen(walker: _Walker, start: int) -> int | None:
    """The first record id of a leg that begins at a made-up cursor; None if it cannot be used."""
    try:
        objects = walker.peek().objects
    except HubSpotError as exc:
        if exc.status != BAD_REQUEST:
            raise
        return None
    if not objects or int(objects[0].id) < start:
        return None
    return int(objects[0].id)
