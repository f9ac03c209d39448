"""One run over one object type: what to read, in which order, and when the bookmark moves."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from hubspot_client.errors import AuthenticationError, HubSpotError, StopCleanlyError

from tap_hubspot_deals.reading.archive import Sweep, is_asked_for, keep
from tap_hubspot_deals.reading.legs import BAD_REQUEST, Leg, OutOfOrder, Step
from tap_hubspot_deals.reading.links import BATCH
from tap_hubspot_deals.reading.pages import Group, PageMaker, ReadPage
from tap_hubspot_deals.reading.searching import SearchSource, extent
from tap_hubspot_deals.reading.sources import IdSource, ListSource, Reading, Source
from tap_hubspot_deals.reading.walks import Walk
from tap_hubspot_deals.streams.bookmarks import BEGINNING, Bookmark, Progress
from tap_hubspot_deals.streams.records import MERGED_IDS, RecordFields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_client.properties import Definition

    from tap_hubspot_deals.streams.objects import AssociationsStream, ObjectStream

THREADS = 20
LINK_GROUPS_AHEAD = 1
"""Groups of pages that may wait for their links while the next one is read."""

ALWAYS_RETURNED = (
    "hs_object_id",
    "createdate",
    "hs_createdate",
    "hs_lastmodifieddate",
    "lastmodifieddate",
)
"""Default properties that HubSpot returns whether they were asked for or not (observed)."""


class Run:
    """Reads what is due for one stream.

    Args:
        stream: The stream of the records.
        links: The streams of their links, by the object type they lead to; deselected ones are
            left out.
    """

    def __init__(self, stream: ObjectStream, links: dict[str, AssociationsStream]) -> None:
        settings = stream.settings
        self._stream = stream
        self._links = links
        self._settings = settings
        self._clock = stream.hubspot.clock
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="hubspot")
        definitions = stream.selected_definitions()
        named = [d.name for d in definitions]
        object_type = stream.object_type
        needed = [MERGED_IDS, object_type.created, *(object_type.pipeline or ())]
        extra = [n for n in needed if n not in named]
        self._fields = RecordFields(
            definitions,
            settings,
            stream.identity,
            unasked=[*extra, *(n for n in ALWAYS_RETURNED if n not in named)],
        )
        self._maker = PageMaker(stream, links, self._fields, self._pool)
        self._reading = Reading(
            stream.hubspot,
            stream.object_type,
            (*named, *extra),
            settings.page_size,
            settings.include_raw,
        )
        self._only_ids = bool(settings.association_ids) and not stream.selected
        # A sample says nothing about what it left out, so it must not move a bookmark.
        self._keeps_state = settings.max_records is None and not self._only_ids
        context = {"_tenant_id": stream.identity.tenant_id}
        state = stream.get_context_state(context) if self._keeps_state else {}
        self._bookmark = Bookmark(state, settings, selected=self._selected(definitions))
        self.bookmarks: tuple[str | None, str | None] = (self._bookmark.value,) * 2

    def _selected(self, definitions: list[Definition]) -> list[object]:
        """What makes older records incomplete or differently typed when it changes."""
        types = sorted((d.name, d.type, d.is_multi_select, d.hubspot_defined) for d in definitions)
        return [self._stream.selected, sorted(self._links), types]

    def __enter__(self) -> Self:
        """Nothing to prepare: the threads are there."""
        return self

    def __exit__(self, *_: object) -> None:
        """Drop the requests that nobody waits for any more, and tell what did not fit."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for name, count in sorted(self._fields.unparsed.items()):
            self._stream.logger.warning(
                "%d values of the property '%s' do not fit its type; "
                "they stand in `unparsed_properties`.",
                count,
                name,
            )

    def pages(self) -> Iterator[ReadPage]:
        """Everything that is due, page by page; each page must be kept before the next.

        Raises:
            HubSpotError: If HubSpot does not give what was asked; the state is that of the last
                page kept.
        """
        unfinished = self._bookmark.unfinished()
        if unfinished is not None:
            self._stream.logger.info(
                "Going on with the unfinished %s read of %s that began at %s.",
                unfinished.mode,
                self._stream.name,
                unfinished.started_at,
            )
            yield from self._carry_out(unfinished)
        refresh = unfinished is None or unfinished.mode == "changes"
        yield from self._carry_out(self._bookmark.next_run(self._clock.now(), refresh=refresh))

    def write(self, page: ReadPage, count: int | None) -> None:
        """Write a page's links and, after them, its first `count` records.

        A link without its record is merely not current yet, while a record without its links would
        seem to have lost them.
        """
        for to_type, links in page.links.items():
            if links:
                stream = self._links[to_type]
                stream.write_records(links, version=page.version, time=page.read_at)
        if self._stream.selected and page.records:
            records = page.records if count is None else page.records[:count]
            self._stream.write_records(records, version=page.version, time=page.read_at)

    def keep(self, page: ReadPage) -> None:
        """Put the page's progress into the state, and the state out."""
        self._bookmark.save(page.progress)
        self._put_state()

    def _put_state(self) -> None:
        if self._keeps_state:
            self._stream.put_state()

    def _carry_out(self, progress: Progress) -> Iterator[ReadPage]:
        self._tell_start(progress)
        self._announce_links()
        sweep = self._sweep(progress)
        yield from self._phase(progress, sweep)
        if progress.phase == "live" and self._wants_sweep(progress):
            progress.enter("archived")
            yield from self._phase(progress, sweep)
        yield from self._restored(sweep, progress)
        if progress.mode == "full":
            self._activate(progress.version)
        self._bookmark.finish(progress, "updated_at", sweep.now_known())
        self.bookmarks = (self.bookmarks[0], self._bookmark.value)
        self._put_state()

    def _sweep(self, progress: Progress) -> Sweep:
        whole = progress.phase == "live" or progress.legs == BEGINNING
        return Sweep(
            self._settings.filters,
            self._stream.object_type,
            progress.archived_since,
            self._bookmark.archived_ids,
            complete=whole and self._wants_sweep(progress),
        )

    def _wants_sweep(self, progress: Progress) -> bool:
        """A scan is read once: nobody will ask what left the recycle bin since."""
        mirrors = self._settings.scan_id is None and self._keeps_state
        return self._settings.archived or progress.mode == "changes" or mirrors

    def _activate(self, version: int) -> None:
        if not self._keeps_state:
            return
        if self._stream.selected:
            self._stream.activate_version(version)
        for stream in self._links.values():
            if stream.parents == 1:
                stream.activate_version(version)

    def _announce_links(self) -> None:
        """The link stream's SCHEMA has to come before its first record."""
        for stream in {id(s): s for s in self._links.values()}.values():
            stream._write_schema_message()  # noqa: SLF001 - a sibling of the SDK's own call

    def _phase(self, progress: Progress, sweep: Sweep) -> Iterator[ReadPage]:
        goes_on = progress.legs != BEGINNING
        try:
            yield from self._walk(progress, sweep)
        except OutOfOrder:
            self._stream.logger.warning(
                "HubSpot's list of %s is not in the order of record ids; "
                "reading it from the beginning with one cursor.",
                self._stream.name,
            )
            progress.one_cursor = True
        except HubSpotError as exc:
            if not (goes_on and exc.status == BAD_REQUEST):
                raise
            self._stream.logger.warning(
                "HubSpot does not know the unfinished run's cursors any more; reading %s from the "
                "beginning. (%s)",
                self._stream.name,
                exc,
            )
        else:
            return
        progress.enter(progress.phase)
        sweep.begin_again(complete=self._wants_sweep(progress))
        yield from self._walk(progress, sweep)

    def _walk(self, progress: Progress, sweep: Sweep) -> Iterator[ReadPage]:
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
            yield from self._maker.pages(group, progress)

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
                waiting.append(self._maker.ask_links(steps, live=progress.phase == "live"))
                if len(waiting) > LINK_GROUPS_AHEAD:
                    yield waiting.popleft()
        except HubSpotError:
            yield from waiting
            raise
        yield from waiting

    def _restored(self, sweep: Sweep, progress: Progress) -> Iterator[ReadPage]:
        """Read what left the recycle bin by id; what was purged is not found, and no loss."""
        ids = sweep.left()
        for start in range(0, len(ids), BATCH):
            page = self._reading.batch(ids[start : start + BATCH], archived=False)
            keep(page, lambda o: is_asked_for(o, self._settings.filters, self._stream.object_type))
            if page.objects:
                group = self._maker.ask_links([Step(page, progress.legs)], live=True)
                yield from self._maker.pages(group, progress)

    def _source(self, progress: Progress) -> Source:
        if progress.phase == "archived":
            return ListSource(self._reading, archived=True)
        if self._only_ids:
            return IdSource(self._reading, self._settings.association_ids)
        if progress.window is None and not self._settings.filters:
            return ListSource(self._reading)
        fresh = progress.window is not None
        return SearchSource(self._reading, self._settings.filters, progress.window, fresh=fresh)

    def _extent(self) -> tuple[int, int | None]:
        """How many pages there are, and the highest id; a count that fails costs only cutting."""
        try:
            total, highest = extent(self._reading, self._settings.filters)
        except (AuthenticationError, StopCleanlyError):
            raise
        except HubSpotError as exc:
            self._stream.logger.warning("Reading with one cursor, because: %s", exc)
            return 0, None
        pages = total // self._settings.page_size
        return pages, None if highest is None else int(highest)

    def _tell_start(self, progress: Progress) -> None:
        name = self._stream.name
        if progress.mode == "full":
            self._stream.logger.info("Reading all %s.", name)
        else:
            self._stream.logger.info(
                "Reading %s changed from %s to %s.", name, progress.since, progress.started_at
            )
