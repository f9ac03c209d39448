"""One run over one object type: what to read, in which order, and when the bookmark moves."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tap_hubspot_deals.bookmarks import Bookmark, Progress
from tap_hubspot_deals.clock import iso
from tap_hubspot_deals.errors import AuthenticationError, HubSpotError, StopCleanlyError
from tap_hubspot_deals.links import BATCH, LinkReader
from tap_hubspot_deals.records import MERGED_IDS, RecordFields, merged_ids
from tap_hubspot_deals.settings import parse_time
from tap_hubspot_deals.sources import ListSource, Reading, SearchSource, Source, extent
from tap_hubspot_deals.walks import Leg, OutOfOrder, Step, Walk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from tap_hubspot_deals.links import Links
    from tap_hubspot_deals.object_streams import AssociationsStream, ObjectStream
    from tap_hubspot_deals.records import CrmObject

THREADS = 20
LINK_GROUPS_AHEAD = 1
"""Groups of pages that may wait for their links while the next one is read."""

ALWAYS_RETURNED = ("hs_object_id", "createdate", "hs_createdate", "hs_lastmodifieddate")
"""Default properties that HubSpot returns whether they were asked for or not (observed)."""

LinksOf = dict[str, list[dict[str, Any]]]


@dataclass
class ReadPage:
    """One page as it goes out.

    Args:
        records: The records of the object type.
        links: The records of their links.
        read_at: When they were read, ISO 8601.
        version: The table version they carry, when versions are used.
        progress: Where the run stands once this page is out; None: the run is finished.
    """

    records: list[dict[str, Any]]
    links: list[dict[str, Any]]
    read_at: str
    version: int | None
    progress: Progress


@dataclass
class _Group:
    """Pages whose links are on their way."""

    steps: list[Step]
    read_at: str
    asked: list[tuple[str, Future[LinksOf]]]


class Run:
    """Reads what is due for one stream.

    Args:
        stream: The stream of the records.
        links: The stream of their links; None when it is deselected.
    """

    def __init__(self, stream: ObjectStream, links: AssociationsStream | None) -> None:
        settings = stream.settings
        self._stream = stream
        self._links = links
        self._settings = settings
        self._client = stream.hubspot
        self._clock = stream.hubspot.clock
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="hubspot")
        definitions = stream.selected_definitions()
        named = [d.name for d in definitions]
        needed = [MERGED_IDS, "pipeline", "dealstage", stream.object_type.created]
        extra = [n for n in needed if n not in named]
        self._fields = RecordFields(
            definitions,
            settings,
            stream.identity,
            unasked=[*extra, *(n for n in ALWAYS_RETURNED if n not in named)],
        )
        self._reading = Reading(
            self._client,
            stream.object_type,
            (*named, *extra),
            settings.page_size,
            settings.include_raw,
        )
        self._link_readers = [
            (to_type, LinkReader(self._client, stream.object_type.name, to_type))
            for to_type in settings.associations
        ]
        context = {"_tenant_id": stream.identity.tenant_id}
        self._bookmark = Bookmark(stream.get_context_state(context), settings)
        self.bookmarks: tuple[str | None, str | None] = (self._bookmark.value,) * 2

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

    def write(self, page: ReadPage, records: list[dict[str, Any]]) -> None:
        """Write a page's records, and its links before them.

        A link without its record is merely not current yet, while a record without its links would
        seem to have lost them.
        """
        if self._links is not None and page.links:
            self._links.write_records(page.links, version=page.version, time=page.read_at)
        if records:
            self._stream.write_records(records, version=page.version, time=page.read_at)

    def keep(self, page: ReadPage) -> None:
        """Put the page's progress into the state, and the state out."""
        self._bookmark.save(page.progress)
        self._put_state()

    def _put_state(self) -> None:
        self._stream.state_manager.is_flushed = False
        self._stream._write_state_message()  # noqa: SLF001 - the SDK's own way to emit STATE

    def _carry_out(self, progress: Progress) -> Iterator[ReadPage]:
        self._tell_start(progress)
        self._announce_links()
        yield from self._phase(progress)
        wants_archived = self._settings.archived or progress.mode == "changes"
        if progress.phase == "live" and wants_archived:
            progress.enter("archived")
            yield from self._phase(progress)
        if progress.mode == "full":
            self._stream.activate_version(progress.version)
            if self._links is not None:
                self._links.activate_version(progress.version)
        self._bookmark.finish(progress, "updated_at")
        self.bookmarks = (self.bookmarks[0], self._bookmark.value)
        self._put_state()

    def _announce_links(self) -> None:
        """The link stream's SCHEMA has to come before its first record."""
        if self._links is not None:
            self._links._write_schema_message()  # noqa: SLF001 - a sibling of the SDK's own call

    def _phase(self, progress: Progress) -> Iterator[ReadPage]:
        try:
            yield from self._walk(progress)
        except OutOfOrder:
            self._stream.logger.warning(
                "HubSpot's list of %s is not in the order of record ids; "
                "reading it from the beginning with one cursor.",
                self._stream.name,
            )
            progress.one_cursor = True
            progress.enter(progress.phase)
            yield from self._walk(progress)

    def _walk(self, progress: Progress) -> Iterator[ReadPage]:
        source = self._source(progress)
        total, highest = self._extent(source, progress)
        walk = Walk(
            source,
            self._pool,
            [Leg.from_state(leg) for leg in progress.legs],
            ordered=isinstance(source, ListSource) and not progress.one_cursor,
            highest=highest,
            pages=total // self._settings.page_size,
        )
        waiting: deque[_Group] = deque()
        for steps in walk.groups():
            waiting.append(self._ask_links(steps, progress))
            if len(waiting) > LINK_GROUPS_AHEAD:
                yield from self._finish_group(waiting.popleft(), progress)
        while waiting:
            yield from self._finish_group(waiting.popleft(), progress)

    def _source(self, progress: Progress) -> Source:
        if progress.phase == "archived":
            return ListSource(self._reading, archived=True)
        if progress.window is None and not self._settings.filters:
            return ListSource(self._reading)
        fresh = progress.window is not None
        return SearchSource(self._reading, self._settings.filters, progress.window, fresh=fresh)

    def _extent(self, source: Source, progress: Progress) -> tuple[int, int | None]:
        """How much there is to list, for cutting; a count that fails costs only the cutting."""
        if not isinstance(source, ListSource) or source.archived or progress.one_cursor:
            return 0, None
        try:
            total, highest = extent(self._reading, self._settings.filters)
        except (AuthenticationError, StopCleanlyError):
            raise
        except HubSpotError as exc:
            self._stream.logger.warning("Reading with one cursor, because: %s", exc)
            return 0, None
        return total, None if highest is None else int(highest)

    def _ask_links(self, steps: list[Step], progress: Progress) -> _Group:
        read_at = iso(self._clock.now())
        asked: list[tuple[str, Future[LinksOf]]] = []
        for step in steps:
            self._leave_out(step, progress)
        if progress.phase == "live":
            ids = [o.id for step in steps for o in step.page.objects]
            asked = [
                (to_type, self._pool.submit(reader.read, ids[start : start + BATCH]))
                for to_type, reader in self._link_readers
                for start in range(0, len(ids), BATCH)
            ]
        return _Group(steps, read_at, asked)

    def _finish_group(self, group: _Group, progress: Progress) -> Iterator[ReadPage]:
        links: dict[str, LinksOf] = {to_type: {} for to_type, _ in group.asked}
        for to_type, future in group.asked:
            links[to_type].update(future.result())
        version = progress.version if self._settings.activate_versions else None
        for step in group.steps:
            progress.legs = step.legs
            yield self._page(step, links, group.read_at, version, progress)

    def _page(
        self,
        step: Step,
        links: dict[str, LinksOf],
        read_at: str,
        version: int | None,
        progress: Progress,
    ) -> ReadPage:
        records: list[dict[str, Any]] = []
        link_records: list[dict[str, Any]] = []
        for found, raw in step.page.pairs():
            own: Links | None = None
            if progress.phase == "live":
                own = {to_type: of.get(found.id, []) for to_type, of in links.items()}
                link_records += self._link_records(found.id, own, read_at)
            markers = self._merged_markers(found, progress, read_at)
            records.append(self._fields.record(found, own, read_at, raw))
            records += markers
        return ReadPage(records, link_records, read_at, version, progress)

    def _link_records(self, from_id: str, links: Links, read_at: str) -> list[dict[str, Any]]:
        if self._links is None:
            return []
        head = {
            **self._stream.identity.fields,
            "from_object_type": self._stream.object_type.name,
            "from_id": from_id,
        }
        return [
            {
                **head,
                "to_object_type": to_type,
                "to_id": linked["id"],
                **link_type,
                "read_at": read_at,
            }
            for to_type, all_linked in links.items()
            for linked in all_linked
            for link_type in linked["types"]
        ]

    def _merged_markers(
        self, found: CrmObject, progress: Progress, read_at: str
    ) -> list[dict[str, Any]]:
        """Markers for the records that this one took the place of.

        A first read never gave those out, unless they were merged since it began.
        """
        old_ids = merged_ids(found)
        if not old_ids:
            return []
        if progress.first and found.updated_at is not None:
            began = parse_time(progress.started_at) - self._settings.lookback
            if parse_time(found.updated_at) < began:
                return []
        return [self._fields.merged_marker(i, found, read_at) for i in old_ids if i != found.id]

    def _leave_out(self, step: Step, progress: Progress) -> None:
        """Drop archived records that are not asked for: HubSpot's list knows no filter."""
        if progress.phase != "archived":
            return
        page = step.page
        kept = [i for i, o in enumerate(page.objects) if self._is_asked_for(o, progress)]
        page.objects = [page.objects[i] for i in kept]
        if page.raws is not None:
            page.raws = [page.raws[i] for i in kept]

    def _is_asked_for(self, found: CrmObject, progress: Progress) -> bool:
        since = progress.since
        if since and found.archived_at and parse_time(found.archived_at) < parse_time(since):
            return False
        filters = self._settings.filters
        if not filters:
            return True
        values = found.properties
        created = values.get(self._stream.object_type.created) or found.created_at
        stamp = int(parse_time(created).timestamp() * 1000) if created else 0
        return (
            filters.pipeline in {None, values.get("pipeline")}
            and filters.deal_stage in {None, values.get("dealstage")}
            and (filters.created_from is None or stamp >= filters.created_from)
            and (filters.created_until is None or stamp <= filters.created_until)
        )

    def _tell_start(self, progress: Progress) -> None:
        name = self._stream.name
        if progress.mode == "full":
            self._stream.logger.info("Reading all %s.", name)
        else:
            self._stream.logger.info(
                "Reading %s changed from %s to %s.", name, progress.since, progress.started_at
            )
