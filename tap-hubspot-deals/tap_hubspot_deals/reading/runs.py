"""One read over one object type: from which source, in which order, and what comes after it."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from hubspot_client.clock import parse_time
from hubspot_client.errors import HubSpotError

from tap_hubspot_deals.reading.audit import Audit
from tap_hubspot_deals.reading.backfill import has_any, is_dearer_than_all
from tap_hubspot_deals.reading.extents import SearchedExtent
from tap_hubspot_deals.reading.filtering import is_asked_for
from tap_hubspot_deals.reading.legs import BAD_REQUEST, Leg, OutOfOrder
from tap_hubspot_deals.reading.pages import LinkAsker
from tap_hubspot_deals.reading.progress import BEGINNING
from tap_hubspot_deals.reading.searching import SearchSource, names_at_once
from tap_hubspot_deals.reading.sources import IdSource, ListSource
from tap_hubspot_deals.reading.walks import Walk

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    from tap_hubspot_deals.reading.histories import HistoryReader
    from tap_hubspot_deals.reading.holdings import Holdings
    from tap_hubspot_deals.reading.links import LinkReader
    from tap_hubspot_deals.reading.objects import CrmObject, ObjectReader, Source
    from tap_hubspot_deals.reading.pages import Group, LinkedPage
    from tap_hubspot_deals.reading.progress import Progress
    from tap_hubspot_deals.settings import Settings

THREADS = 20
LINK_GROUPS_AHEAD = 1
"""Groups of pages that may wait for their links while the next one is read."""


class Run:
    """Reads what is due of one object type.

    Args:
        reader: The objects and their properties.
        links: Their links.
        settings: What is asked for.
        only_ids: Whether nothing but the settings' `association_ids` is read.
        mirrors: Whether a later run goes on from this one.
        history: Reads what the objects were; None: that is not wanted.
        logger: Where it tells what it does.
        pool: Where requests run, `THREADS` at once; closed with the run.
    """

    def __init__(
        self,
        reader: ObjectReader,
        links: Sequence[LinkReader],
        settings: Settings,
        *,
        only_ids: bool,
        mirrors: bool,
        history: HistoryReader | None,
        logger: logging.Logger,
        pool: Executor | None = None,
    ) -> None:
        self._reader = reader
        self._name = reader.object_type.name
        self._settings = settings
        self._only_ids = only_ids
        self._mirrors = mirrors
        self._logger = logger
        self._pool = pool or ThreadPoolExecutor(THREADS, thread_name_prefix="hubspot")
        only = frozenset(settings.association_ids) or None
        self._links = LinkAsker(links, only, reader.client.clock, self._pool, history)
        self._extent = SearchedExtent(reader, settings, logger)
        self._audit = Audit(reader, self._links, settings, self._pool, logger)

    def __enter__(self) -> Self:
        """Nothing to prepare: the threads are there."""
        return self

    def __exit__(self, *_: object) -> None:
        """Drop the requests that nobody waits for any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def pages(self, progress: Progress, held: Holdings) -> Iterator[LinkedPage]:
        """All that is left of a read, page by page.

        Args:
            progress: Where to begin. It is moved from phase to phase, not from page to page: each
                page brings the progress that stands behind it.
            held: What went out so far; it has to follow what these pages bring.

        Raises:
            HubSpotError: If HubSpot does not give what was asked.
        """
        if progress.mode == "properties":
            yield from self._backfill(progress, held)
            return
        if progress.mode == "full":
            self._logger.info("Reading all %s.", self._name)
        else:
            self._logger.info(
                "Reading %s changed from %s to %s.", self._name, progress.since, progress.started_at
            )
        yield from self._phase(progress, held)
        if progress.phase == "live" and progress.mode == "full" and self._settings.archived:
            progress.enter("archived")
            yield from self._phase(progress, held)
        if self._mirrors:
            yield from self._audit.pages(progress, held)

    def resolve(self, ids: Sequence[int], progress: Progress) -> Iterator[LinkedPage]:
        """What has become of some records: live, archived, merged or gone; see `Audit.resolve`."""
        return self._audit.resolve(ids, progress)

    @property
    def not_compared(self) -> dict[str, int]:
        """How many records the last read did not look at: `links_of`, and `archived` ones."""
        return self._audit.not_compared

    def is_dearer_than_all(self, names: Sequence[str]) -> bool:
        """Whether a read of all costs less than one of the records that have some properties."""
        return is_dearer_than_all(self._reader, self._settings.filters, names)

    def _backfill(self, progress: Progress, held: Holdings) -> Iterator[LinkedPage]:
        """Read the records that have properties which came after they went out."""
        self._logger.info("Reading %s that have %s.", self._name, ", ".join(progress.having))
        if progress.phase == "archived":
            yield from self._phase(progress, held)
            progress.enter("live")
        while progress.having:
            yield from self._phase(progress, held)
            progress.having = progress.having[names_at_once(self._settings.filters) :]
            progress.enter("live")

    def _phase(self, progress: Progress, held: Holdings) -> Iterator[LinkedPage]:
        try:
            yield from self._walk(progress, self._source(progress, held))
        except OutOfOrder:
            self._logger.warning(
                "HubSpot's list of %s is not in the order of record ids; "
                "reading it from the beginning with one cursor.",
                self._name,
            )
            progress.one_cursor = True
        except HubSpotError as exc:
            if exc.status != BAD_REQUEST:
                raise
            if progress.legs == BEGINNING:
                yield from self._instead(progress, held, exc)
                return
            self._logger.warning(
                "HubSpot does not know the unfinished run's cursors any more; reading %s from the "
                "beginning. (%s)",
                self._name,
                exc,
            )
        else:
            return
        progress.enter(progress.phase)
        yield from self._phase(progress, held)

    def _instead(
        self, progress: Progress, held: Holdings, refusal: HubSpotError
    ) -> Iterator[LinkedPage]:
        """Do without what HubSpot does not offer for this type.

        Raises:
            HubSpotError: The refusal, where nothing can stand in.
        """
        if progress.phase == "archived":
            self._logger.warning("%s have no recycle bin to be read: %s", self._name, refusal)
            return
        if not isinstance(self._source(progress, held), SearchSource):
            raise refusal
        self._logger.warning("Reading the list of %s instead: %s", self._name, refusal)
        since = None if progress.since is None else parse_time(progress.since)

        def is_due(found: CrmObject) -> bool:
            late = since is None or not found.updated_at or parse_time(found.updated_at) >= since
            due = not progress.having or has_any(found, progress.having)
            return late and due and self._is_asked_for(found)

        for page in self._walk(progress, ListSource(self._reader)):
            page.page.keep(is_due)
            yield page

        if progress.mode == "properties":
            progress.having = []  # all of them were looked for

    def _is_asked_for(self, found: CrmObject) -> bool:
        return is_asked_for(found, self._settings.filters, self._reader.object_type)

    def _walk(self, progress: Progress, source: Source) -> Iterator[LinkedPage]:
        ordered = isinstance(source, ListSource) and not progress.one_cursor
        walk = Walk(
            source,
            self._pool,
            [Leg.from_state(leg) for leg in progress.legs],
            ordered=ordered,
            extent=self._extent if progress.phase == "live" else None,
        )
        for group in self._groups(walk, progress):
            yield from group.pages(progress)

    def _groups(self, walk: Walk, progress: Progress) -> Iterator[Group]:
        """A walk's groups with their links asked for, one group ahead.

        What was read before the walk failed comes out first. Where the links of a group fail, the
        groups behind it must not come out: their progress would pass over it.
        """
        waiting: deque[Group] = deque()
        try:
            for steps in walk.groups():
                if progress.phase == "archived":
                    for step in steps:
                        step.page.keep(self._is_asked_for)
                        if progress.having:
                            step.page.keep(lambda found: has_any(found, progress.having))
                waiting.append(self._links.ask(steps, live=progress.phase == "live"))
                if len(waiting) > LINK_GROUPS_AHEAD or walk.is_crowded:
                    yield waiting.popleft()
        except HubSpotError:
            yield from waiting
            raise
        yield from waiting

    def _source(self, progress: Progress, held: Holdings) -> Source:
        if progress.phase == "archived":
            if progress.mode == "properties" and not self._settings.archived:
                ids = tuple(map(str, held.archived))
                return IdSource(self._reader, ids, archived=True)
            return ListSource(self._reader, archived=True)
        if progress.mode == "properties":
            filters = self._settings.filters
            names = tuple(progress.having[: names_at_once(filters)])
            return SearchSource(self._reader, filters, having=names, known=held.seen)
        if self._only_ids:
            return IdSource(self._reader, self._settings.association_ids)
        if progress.window is None and not self._settings.filters:
            return ListSource(self._reader)
        fresh = progress.window is not None
        return SearchSource(self._reader, self._settings.filters, progress.window, fresh=fresh)
