"""One leg of a walk: a stretch of ascending record ids, read page by page with one ahead."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hubspot_client.errors import HubSpotError
from hubspot_client.paging import Cursors

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from tap_hubspot_deals.reading.objects import ObjectPage, Source

BAD_REQUEST = 400


class OutOfOrder(Exception):  # noqa: N818 - a finding, not a failure
    """The list is not in ascending order of record ids, so it cannot be cut into legs."""


@dataclass
class Leg:
    """A stretch of a walk.

    Args:
        after: The cursor of the next page that was not given out yet; None is the beginning.
        until: The first record id that belongs to the next leg; None where there is none.
        since: The first record id of the next page that belongs to it; None where all do.
    """

    after: str | None = None
    until: int | None = None
    since: int | None = None

    def to_state(self) -> dict[str, Any]:
        """As it stands in a bookmark."""
        until = None if self.until is None else str(self.until)
        since = {} if self.since is None else {"since": str(self.since)}
        return {"after": self.after, "until": until} | since

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Leg:
        """From a bookmark."""
        bounds = (state.get(name) for name in ("until", "since"))
        until, since = (None if one is None else int(one) for one in bounds)
        return cls(state.get("after"), until, since)


@dataclass
class Step:
    """One page of one leg, as it goes out.

    Args:
        page: The page, without the records that belong to the next leg.
        legs: All legs that are still unfinished once this page is out.
    """

    page: ObjectPage
    legs: list[dict[str, Any]]


class Walker:
    """A leg on its way, one page ahead where there is room for it.

    Args:
        leg: The stretch.
        source: What is walked.
        pool: Where requests run.
        made_up: Whether its cursor is made up; its first page is asked for now.
    """

    def __init__(self, leg: Leg, source: Source, pool: Executor, *, made_up: bool = False) -> None:
        self.leg = leg
        self.done = False
        self.made_up = made_up
        self.last_cursor = leg.after
        self.last_id: int | None = None
        self.first_id: int | None = None
        self.count = 0
        self.ceiling: int | None = None
        self.empty_splits = 0
        self._source = source
        self._pool = pool
        self._cursors = Cursors("a list")
        self._coming: Future[ObjectPage] | None = None
        if made_up:
            self.ask()

    def ask(self) -> Future[ObjectPage]:
        """Have the next page on its way."""
        if self._coming is None:
            self._coming = self._pool.submit(self._source.fetch, self.leg.after)
        return self._coming

    def peek(self) -> ObjectPage:
        """The next page to be taken; callers look at `done` first."""
        return self.ask().result()

    def take(self, *, ordered: bool) -> ObjectPage:
        """The next page, cut at `until`."""
        page = self.peek()
        if ordered:
            self._check_order(page)
            self._cut(page)
        if page.following is not None:
            self._cursors.check(self.leg.after, page.following, empty=not page.objects)
        self._coming = None
        self.done = page.following is None
        self.made_up = False
        self.last_cursor = self.leg.after
        self.leg = Leg(page.following, self.leg.until)
        return page

    def first_seen(self, start: int) -> int | None:
        """The first record id, if the leg began at a made-up cursor; None if it cannot be used."""
        try:
            objects = self.peek().objects
        except HubSpotError as exc:
            if exc.status != BAD_REQUEST:
                raise
            return None
        if not objects or int(objects[0].id) < start:
            return None
        return int(objects[0].id)

    def stop(self) -> None:
        """Give up what is on its way."""
        self._coming = None
        self.done = True

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

    def _check_order(self, page: ObjectPage) -> None:
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

    def _cut(self, page: ObjectPage) -> None:
        since, until = self.leg.since, self.leg.until
        if since is not None:
            page.keep(lambda one: int(one.id) >= since)
        if until is None or self.last_id is None or self.last_id < until:
            return
        page.keep(lambda one: int(one.id) < until)
        page.following = None
