"""One read over one object type: from which source, in which order, and what comes after it."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from hubspot_client.errors import AuthenticationError, HubSpotError, StopCleanlyError

from tap_hubspot_deals.reading.archive import Sweep, is_asked_for
from tap_hubspot_deals.reading.legs import BAD_REQUEST, Leg, OutOfOrder, Step
from tap_hubspot_deals.reading.links import BATCH
from tap_hubspot_deals.reading.pages import LinkAsker
from tap_hubspot_deals.reading.progress import BEGINNING
from tap_hubspot_deals.reading.searching import SearchSource, extent
from tap_hubspot_deals.reading.sources import IdSource, ListSource
from tap_hubspot_deals.reading.walks import Walk

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Sequence

    from tap_hubspot_deals.reading.links import LinkReader
    from tap_hubspot_deals.reading.objects import ObjectReader, Source
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
        logger: Where it tells what it does.
    """

    def __init__(
        self,
        reader: ObjectReader,
        links: Sequence[LinkReader],
        settings: Settings,
        *,
        only_ids: bool,
        mirrors: bool,
        logger: logging.Logger,
    ) -> None:
        self._reader = reader
        self._name = reader.object_type.name
        self._settings = settings
        self._only_ids = only_ids
        self._mirrors = mirrors
        self._logger = logger
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="hubspot")
        only = frozenset(settings.association_ids) or None
        self._links = LinkAsker(links, only, reader.client.clock, self._pool)

    def __enter__(self) -> Self:
        """Nothing to prepare: the threads are there."""
        return self

    def __exit__(self, *_: object) -> None:
        """Drop the requests that nobody waits for any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def pages(self, progress: Progress, sweep: Sweep) -> Iterator[LinkedPage]:
        """All that is left of a read, page by page.

        Args:
            progress: Where to begin. It is moved from phase to phase, not from page to page: each
                page brings the progress that stands behind it.
            sweep: Takes in what the recycle bin shows.

        Raises:
            HubSpotError: If HubSpot does not give what was asked.
        """
        if progress.mode == "full":
            self._logger.info("Reading all %s.", self._name)
        else:
            self._logger.info(
                "Reading %s changed from %s to %s.", self._name, progress.since, progress.started_at
            )
        yield from self._phase(progress, sweep)
        if progress.phase == "live" and self._wants_sweep(progress):
            progress.enter("archived")
            yield from self._phase(progress, sweep)
        yield from self._restored(sweep, progress)

    def sweep(self, progress: Progress, known: str) -> Sweep:
        """The walk over the recycle bin that belongs to a read.

        Args:
            progress: The read.
            known: The archived records that the last complete sweep saw.
        """
        whole = progress.phase == "live" or progress.legs == BEGINNING
        return Sweep(
            self._settings.filters,
            self._reader.object_type,
            progress.archived_since,
            known,
            complete=whole and self._wants_sweep(progress),
        )

    def _wants_sweep(self, progress: Progress) -> bool:
        """A scan is read once: nobody will ask what left the recycle bin since."""
        return self._settings.archived or progress.mode == "changes" or self._mirrors

    def _phase(self, progress: Progress, sweep: Sweep) -> Iterator[LinkedPage]:
        goes_on = progress.legs != BEGINNING
        try:
            yield from self._walk(progress, sweep)
        except OutOfOrder:
            self._logger.warning(
                "HubSpot's list of %s is not in the order of record ids; "
                "reading it from the beginning with one cursor.",
                self._name,
            )
            progress.one_cursor = True
        except HubSpotError as exc:
            if not (goes_on and exc.status == BAD_REQUEST):
                raise
            self._logger.warning(
                "HubSpot does not know the unfinished run's cursors any more; reading %s from the "
                "beginning. (%s)",
                self._name,
                exc,
            )
        else:
            return
        progress.enter(progress.phase)
        sweep.begin_again(complete=self._wants_sweep(progress))
        yield from self._walk(progress, sweep)

    def _walk(self, progress: Progress, sweep: Sweep) -> Iterator[LinkedPage]:
        source = self._source(progress)
        ordered = isinstance(source, ListSource) and not progress.one_cursor
        walk = Walk(
            source,
            self._pool,
            [Leg.from_state(leg) for leg in progress.legs],
            ordered=ordered,
            extent=self._extent if progress.phase == "live" else None,
        )
        for group in self._groups(walk, progress, sweep):
            yield from group.pages(progress)

    def _groups(self, walk: Walk, progress: Progress, sweep: Sweep) -> Iterator[Group]:
        """A walk's groups with their links asked for, one group ahead.

        What was read before the walk failed comes out first. Where the links of a group fail, the
        groups behind it must not come out: their progress would pass over it.
        """
        waiting: deque[Group] = deque()
        try:
            for steps in walk.groups():
                if progress.phase == "archived":
                    for step in steps:
                        sweep.cut(step.page)
                waiting.append(self._links.ask(steps, live=progress.phase == "live"))
                if len(waiting) > LINK_GROUPS_AHEAD:
                    yield waiting.popleft()
        except HubSpotError:
            yield from waiting
            raise
        yield from waiting

    def _restored(self, sweep: Sweep, progress: Progress) -> Iterator[LinkedPage]:
        """Read what left the recycle bin by id; what was purged is not found, and no loss."""
        ids = sweep.left()
        for start in range(0, len(ids), BATCH):
            page = self._reader.batch(ids[start : start + BATCH], archived=False)
            page.keep(lambda o: is_asked_for(o, self._settings.filters, self._reader.object_type))
            if page.objects:
                yield from self._links.ask([Step(page, progress.legs)], live=True).pages(progress)

    def _source(self, progress: Progress) -> Source:
        if progress.phase == "archived":
            return ListSource(self._reader, archived=True)
        if self._only_ids:
            return IdSource(self._reader, self._settings.association_ids)
        if progress.window is None and not self._settings.filters:
            return ListSource(self._reader)
        fresh = progress.window is not None
        return SearchSource(self._reader, self._settings.filters, progress.window, fresh=fresh)

    def _extent(self) -> tuple[int, int | None]:
        """How many pages there are, and the highest id; a count that fails costs only cutting."""
        try:
            total, highest = extent(self._reader, self._settings.filters)
        except (AuthenticationError, StopCleanlyError):
            raise
        except HubSpotError as exc:
            self._logger.warning("Reading with one cursor, because: %s", exc)
            return 0, None
        pages = total // self._settings.page_size
        return pages, None if highest is None else int(highest)
