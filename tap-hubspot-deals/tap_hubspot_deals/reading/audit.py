"""What changed without a trace: what went out is compared with what is there, and made good.

HubSpot moves no modified date when a record is archived, restored or purged, or when a link is made
or taken away, and a record that leaves a filter is in no search with that filter any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubspot_client.clock import iso, milliseconds, parse_time
from hubspot_client.errors import HubSpotError
from hubspot_client.paging import Cursors

from tap_hubspot_deals.reading.census import Census
from tap_hubspot_deals.reading.filtering import is_asked_for
from tap_hubspot_deals.reading.legs import BAD_REQUEST, Step
from tap_hubspot_deals.reading.objects import CrmObject, ObjectPage
from tap_hubspot_deals.reading.pages import LinkedPage
from tap_hubspot_deals.reading.sources import ListSource
from tap_hubspot_deals.reading.survivors import Survivors
from tap_hubspot_deals.reading.turns import Turns

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from tap_hubspot_deals.reading.holdings import Holdings
    from tap_hubspot_deals.reading.objects import ObjectReader
    from tap_hubspot_deals.reading.pages import LinkAsker
    from tap_hubspot_deals.reading.progress import Progress
    from tap_hubspot_deals.settings import Settings

CHUNK = 1000
"""Records that are looked at together: what one request for links takes."""

BIN_PAGES = 3
"""Pages of a recycle bin that an incremental run walks from its beginning."""


class Audit:
    """Makes good what a read left untrue.

    Args:
        reader: The objects and their properties.
        links: Asks for their links.
        settings: What is asked for.
        pool: Where requests run.
        logger: Where it tells what it does.
    """

    def __init__(
        self,
        reader: ObjectReader,
        links: LinkAsker,
        settings: Settings,
        pool: Executor,
        logger: logging.Logger,
    ) -> None:
        self._reader = reader
        self._links = links
        self._pool = pool
        self._settings = settings
        self._filters = settings.filters
        self._logger = logger
        self._survivors = Survivors(reader)
        reads_links = bool(links.readers) and links.only is None
        self._turns = Turns(settings, logger, reader.object_type.name, reads_links=reads_links)

    def pages(self, progress: Progress, held: Holdings) -> Iterator[LinkedPage]:
        """What has to go out besides what was read.

        Args:
            progress: The read that this one ends.
            held: What went out before and with it.
        """
        self._turns.count(progress, held)
        yield from self._merged_again(progress, held)
        if held.doubtful_since is not None:
            yield from self._unknown(progress, held, held.doubtful_since)
        if progress.mode == "full":
            unseen = held.unseen("live", "archived", "untold", "doubtful")
            yield from self.resolve(unseen, progress)
            if unattached := _texts(held.unattached()):
                read_at = iso(self._reader.client.clock.now())
                page = ObjectPage([], None)
                yield LinkedPage(page, None, None, read_at, progress, unattached=unattached)
            self._turns.tell(held)
            return
        yield from self.resolve(held.unseen("doubtful"), progress)
        census = Census(self._reader, self._filters)
        if self._settings.compare_everything:
            vanished, appeared = census.all_differences(held.live, self._pool)
        else:
            turn = milliseconds(parse_time(progress.started_at)) // 1000
            vanished, appeared = census.differences(held.live, turn)
        for start in range(0, len(appeared), CHUNK):
            page = self._reader.batch(_texts(appeared[start : start + CHUNK]), archived=False)
            page.keep(self._is_asked_for)
            yield from self._live(page, progress)
        yield from self.resolve(vanished, progress)
        if self._settings.archived:
            yield from self._bin(progress, held)
        yield from self._archived(progress, held)
        yield from self._relinked(progress, held)
        self._turns.tell(held)

    @property
    def not_compared(self) -> dict[str, int]:
        """How many records the last read did not look at, by what of them it did not."""
        return self._turns.not_compared

    def resolve(self, ids: Sequence[int], progress: Progress) -> Iterator[LinkedPage]:
        """Say what has become of some records, whatever it is.

        Args:
            ids: The records.
            progress: When the last read was, in `since`: records that were merged later are found.
        """
        for start in range(0, len(ids), CHUNK):
            wanted = _texts(ids[start : start + CHUNK])
            live = self._reader.batch(wanted, archived=False)
            wanted = _without(wanted, live)
            gone = [o.id for o in live.objects if not self._is_asked_for(o)]
            archived = self._batch_archived(wanted)
            wanted = _without(wanted, archived)
            gone += [o.id for o in archived.objects if not self._is_asked_for(o)]
            live.keep(self._is_asked_for)
            archived.keep(self._is_asked_for)
            yield from self._live(live, progress)
            merged = self._survivors.of(wanted, progress.since)
            gone += [i for i in wanted if i not in merged]
            if archived.objects or gone or merged:
                read_at = iso(self._reader.client.clock.now())
                histories = self._links.histories(archived)
                yield LinkedPage(
                    archived, None, None, read_at, progress, gone, merged, histories=histories
                )

    def _merged_again(self, progress: Progress, held: Holdings) -> Iterator[LinkedPage]:
        """Follow survivors that are not asked for: what they are merged into, no page tells."""
        merged = held.ids["merged"]
        if not self._filters or not merged:
            return
        survivors = self._survivors.since(progress.since)
        if found := {old: one for old, one in survivors.items() if int(old) in merged}:
            read_at = iso(self._reader.client.clock.now())
            yield LinkedPage(ObjectPage([], None), None, None, read_at, progress, merged=found)

    def _unknown(self, progress: Progress, held: Holdings, since: str) -> Iterator[LinkedPage]:
        """Tell of what vanished since a run began that was killed: it may have gone out unknown.

        What was deleted for good in that time nobody can tell.
        """
        began = parse_time(since)
        for page in self._binned(lambda _, following: following):
            page.keep(
                lambda o: (
                    int(o.id) not in held
                    and self._is_asked_for(o)
                    and parse_time(o.archived_at or since) >= began
                )
            )
            yield from self._archived_page(page, progress)
        found = {o: s for o, s in self._survivors.since(since).items() if int(o) not in held}
        if found:
            read_at = iso(self._reader.client.clock.now())
            yield LinkedPage(ObjectPage([], None), None, None, read_at, progress, merged=found)

    def _live(self, page: ObjectPage, progress: Progress) -> Iterator[LinkedPage]:
        if page.objects:
            yield from self._links.ask([Step(page, progress.legs)], live=True).pages(progress)

    def _is_asked_for(self, found: CrmObject) -> bool:
        return is_asked_for(found, self._filters, self._reader.object_type)

    def _batch_archived(self, ids: list[str]) -> ObjectPage:
        try:
            return self._reader.batch(ids, archived=True)
        except HubSpotError as exc:
            if exc.status != BAD_REQUEST:
                raise
            return ObjectPage([], None)  # a type without a recycle bin

    def _bin(self, progress: Progress, held: Holdings) -> Iterator[LinkedPage]:
        """Archived records that never went out: the first pages of the bin, and its newest ids."""
        newest = str(1 + max((max(ids, default=0) for ids in held.ids.values()), default=0))
        everything = self._settings.compare_everything

        def position(number: int, following: str) -> str:
            return newest if number == BIN_PAGES and not everything else following

        for page in self._binned(position):
            page.keep(lambda o: self._is_asked_for(o) and int(o.id) not in held.archived)
            yield from self._archived_page(page, progress)

    def _archived_page(self, page: ObjectPage, progress: Progress) -> Iterator[LinkedPage]:
        if page.objects:
            read_at = iso(self._reader.client.clock.now())
            histories = self._links.histories(page)
            yield LinkedPage(page, None, None, read_at, progress, histories=histories)

    def _binned(self, position: Callable[[int, str], str]) -> Iterator[ObjectPage]:
        """Pages of the recycle bin.

        Args:
            position: Says where to go on, by the number of pages so far and HubSpot's own cursor.
        """
        source = ListSource(self._reader, archived=True)
        cursors = Cursors(f"archived {self._reader.object_type.name}")
        here: str | None = None
        for number in range(1, 10**9):
            try:
                page = source.fetch(here)
            except HubSpotError as exc:
                if exc.status != BAD_REQUEST:
                    raise
                return  # no recycle bin, or no cursor that may be made up
            following, empty = page.following, not page.objects
            yield page
            if following is None:
                return
            cursors.check(here, following, empty=empty)
            here = position(number, following)

    def _archived(self, progress: Progress, held: Holdings) -> Iterator[LinkedPage]:
        """Look whether archived records are still in the recycle bin, some at each run."""
        for ids in self._turns.take("archived", held, progress):
            there = {int(o.id) for o in self._batch_archived(_texts(ids)).objects}
            yield from self.resolve([i for i in ids if i not in there], progress)

    def _relinked(self, progress: Progress, held: Holdings) -> Iterator[LinkedPage]:
        """Look for links that changed without their record, those of some records at each run."""
        if held.links is None or not self._turns.reads_links:
            return
        for chosen in self._turns.take("live", held, progress):
            ids = [i for i in chosen if i not in held.seen]
            now = self._links.read(_texts(ids))
            changed = [i for i in ids if now.get(str(i), set()) != held.links_of(i)]
            page = self._reader.batch(_texts(changed), archived=False)
            page.keep(self._is_asked_for)
            yield from self._live(page, progress)


def _texts(ids: Sequence[int]) -> list[str]:
    return [str(i) for i in ids]


def _without(ids: list[str], page: ObjectPage) -> list[str]:
    found = {o.id for o in page.objects}
    return [i for i in ids if i not in found]
