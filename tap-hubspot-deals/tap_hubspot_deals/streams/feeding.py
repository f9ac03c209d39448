"""How pages leave, and for which streams: their state first, where it is small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_hubspot_deals.reading.packing import Mark
from tap_hubspot_deals.streams.base import FedStream, TenantStream
from tap_hubspot_deals.streams.history import Histories, HistoryStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from hubspot_client.object_types import ObjectType

    from tap_hubspot_deals.reading.holdings import Holdings
    from tap_hubspot_deals.reading.progress import Progress
    from tap_hubspot_deals.reading.runs import Run
    from tap_hubspot_deals.streams.base import Account
    from tap_hubspot_deals.streams.bookmarks import Bookmark
    from tap_hubspot_deals.streams.outgoing import Composer, OutgoingPage

SMALL_STATE = 32_000
"""Bytes of a state that is written before each page: that of some thousand records."""

DATA_PER_STATE = 16
"""So many times a larger state's own length goes out before the next one."""


class FeedingStream(TenantStream):
    """A stream of records that brings links and histories to the streams of these.

    Args:
        account: The account that is read.
        object_type: Which records.
        linked: The object types whose links are read.
        properties: The fields' JSON schemas, the identity's left out.
    """

    def __init__(
        self,
        account: Account,
        object_type: ObjectType,
        linked: Sequence[ObjectType],
        *,
        properties: dict[str, Any],
    ) -> None:
        self.object_type = object_type
        self.linked = list(linked)
        self._links: dict[str, FedStream] = {}
        self._histories = Histories((), None)
        self._bookmark: Bookmark | None = None
        super().__init__(account, object_type.name, key=("id",), properties=properties)

    @property
    def is_asked_for(self) -> bool:
        """Whether anything of it goes out: its records, their links or their histories."""
        return self.selected or bool(self._links) or bool(self._histories.streams)

    def find_children(self) -> list[HistoryStream]:
        """Find the streams that this one feeds; gives those of histories."""
        self._links = self._links_streams()
        histories = self._history_streams()
        self._histories = Histories(histories, None)
        return histories

    def _links_streams(self) -> dict[str, FedStream]:
        """Where the links go, by the object type they lead to; deselected streams are left out."""
        selected = {
            s.name: s for s in self.child_streams if isinstance(s, FedStream) and s.selected
        }
        found = {}
        for to_type in self.linked:
            stream = selected.get(f"{self.name}_{to_type.name}") or selected.get("associations")
            if stream is not None:
                found[to_type.name] = stream
        return found

    def _history_streams(self) -> list[HistoryStream]:
        return [
            s
            for s in self.child_streams
            if isinstance(s, HistoryStream) and s.object_type == self.object_type and s.selected
        ]

    def settle(self) -> None:
        """Bring the state up to date, to be written."""
        if self._bookmark is not None:
            self._bookmark.settle()

    @override
    def put_state(self) -> None:
        self.settle()
        super().put_state()

    def deliver(
        self,
        run: Run,
        progress: Progress,
        bookmark: Bookmark,
        composer: Composer,
        *,
        write: bool,
    ) -> Iterator[OutgoingPage]:
        """Carry out one read; gives each page that was written.

        Args:
            run: What reads.
            progress: Where the read begins.
            bookmark: What went out before, and will have.
            composer: What makes pages of what is found.
            write: Whether messages are written, or the pages are only given.
        """
        held = bookmark.holdings(progress)
        pages = self._pages(run, progress, held, composer)
        reached, emitted = progress, 0
        page, failure = _next(pages)
        while page is not None:
            whole = self._cut(page, emitted)
            self._tell_beforehand(page, reached, bookmark)
            if write:
                self.write_page(page)
            yield page
            emitted += len(page.ids)
            if not whole:
                self.stop_at_limit(emitted)
            reached = page.progress
            bookmark.save(reached)
            if emitted == self.settings.max_records:
                break
            page.release()
            page, failure = _next(pages)
        if failure is not None:
            if bookmark.tells and reached is not progress:
                self.put_state()
            raise failure
        self._activate(progress, bookmark, held)
        bookmark.finish(progress, "updated_at", held)
        if bookmark.tells:
            self.put_state()

    def _tell_beforehand(self, page: OutgoingPage, progress: Progress, bookmark: Bookmark) -> None:
        """Let the state say what is about to go out: a killed run's successor has to know it.

        It is not written where it would be more than a small part of all that goes out.
        """
        if bookmark.remembers:
            bookmark.intend(page.marks, progress)
        length = self.writer.state_length
        enough = self.writer.written_since_state >= DATA_PER_STATE * length
        small = length <= SMALL_STATE and (page.records or page.count_of_links())
        if bookmark.tells and (enough or small):
            bookmark.leave_open(is_open=length > SMALL_STATE)
            self.put_state()
            bookmark.leave_open(is_open=False)

    def _pages(
        self, run: Run, progress: Progress, held: Holdings, composer: Composer
    ) -> Iterator[OutgoingPage]:
        for found in run.pages(progress, held):
            histories = self._histories.records(found, held) if self._histories.streams else {}
            page = composer.page(found, held)
            page.histories = histories
            held.take(page.marks)
            yield page

    def write_page(self, page: OutgoingPage) -> None:
        """Write a page's links and histories and, after them, its records.

        A link without its record is merely not current yet, while a record without its links would
        seem to have lost them.
        """
        for to_type, of_type in page.links.items():
            stream = self._links[to_type]
            if of_type:
                common = page.common_of(to_type)
                stream.write_records(
                    of_type, common=common, version=page.version, time=page.read_at
                )
            if gone := page.unlinked.get(to_type):
                stream.write_records(gone, version=page.version, time=page.read_at)
        if page.histories:
            self._histories.write(page.histories, time=page.read_at)
        if page.records:
            self.write_records(page.records, version=page.version, time=page.read_at)

    def _activate(self, progress: Progress, bookmark: Bookmark, held: Holdings) -> None:
        """Say that what a full read did not bring again is gone; only where it was read whole."""
        if progress.mode != "full" or not bookmark.kept or not self.settings.activate_versions:
            return
        if self.selected:
            self.activate_version(progress.version)
            held.take([Mark(i, "gone", b"") for i in held.unseen("merged")])
        for stream in self._links.values():
            if stream.whole:
                stream.activate_version(progress.version)

    def _cut(self, page: OutgoingPage, emitted: int) -> bool:
        """Leave of a page what may still go out; whether that is all of it."""
        ids = page.ids[: self.records_left(emitted)]
        if len(ids) == len(page.ids):
            return True
        kept = set(ids)
        page.ids, page.records = ids, page.records[: len(ids)]
        page.marks = [mark for mark in page.marks if str(mark.id) in kept]
        for to_type, links in page.links.items():
            page.links[to_type] = [link for link in links if link.from_id in kept]
        for to_type, gone in page.unlinked.items():
            page.unlinked[to_type] = [link for link in gone if link["from_id"] in kept]
        for stream, records in page.histories.items():
            page.histories[stream] = [one for one in records if one["record_id"] in kept]
        return False

    def records_left(self, emitted: int) -> int | None:
        """How many records a dry run or a sample may still give; None without a limit."""
        limits = (self.record_limit, self.settings.max_records)
        left = [max(0, limit - emitted) for limit in limits if limit is not None]
        return min(left, default=None)


def _next(pages: Iterator[OutgoingPage]) -> tuple[OutgoingPage | None, Exception | None]:
    """The next page, or what kept it from coming: the state is to be written first."""
    try:
        return next(pages, None), None
    except Exception as exc:  # noqa: BLE001 - it is raised again, by the caller
        return None, exc
