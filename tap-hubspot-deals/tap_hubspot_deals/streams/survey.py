"""What HubSpot has of one object type now, beside what went out of it: for who compares a copy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from hubspot_client.clock import iso

from tap_hubspot_deals.reading.holdings import Holdings
from tap_hubspot_deals.reading.objects import ObjectPage, merged_ids
from tap_hubspot_deals.reading.pages import LinkedPage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hubspot_client.clock import Clock

    from tap_hubspot_deals.reading.link_keys import LinkKey
    from tap_hubspot_deals.reading.packing import Kind
    from tap_hubspot_deals.reading.runs import Run
    from tap_hubspot_deals.streams.bookmarks import Bookmark
    from tap_hubspot_deals.streams.outgoing import Composer, OutgoingPage
    from tap_hubspot_deals.streams.records import RecordFields

ALL_AT_ONCE = 1000
"""Records that are looked at again together."""

LinkLabels = dict[tuple[str, str, str, int], str | None]
"""One record's links: the label, by `(to object type, to id, category, type id)`."""


@dataclass
class Found:
    """What some records are now.

    Args:
        live: The records as they would go out, by id.
        archived: The same of archived ones.
        links: Those of live records by id; empty where none are read.
        merged: The id of the record that took another's place, and its modified date, by the
            other's id.
        gone: Ids of records that are not there, or not asked for.
    """

    live: dict[str, dict[str, Any]] = field(default_factory=dict)
    archived: dict[str, dict[str, Any]] = field(default_factory=dict)
    links: dict[str, LinkLabels] = field(default_factory=dict)
    merged: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)


class Survey:
    """Asks for the records of one stream without writing or remembering anything.

    Args:
        run: Reads them; one that only walks.
        bookmark: What the last run left.
        fields: Makes records.
        composer: Makes pages that can be written.
        clock: HubSpot's.
        tables: The streams of links, by the object type they lead to.
        is_snapshot: Whether no state tells what went out: the copy was read once.
    """

    def __init__(
        self,
        run: Run,
        bookmark: Bookmark,
        fields: RecordFields,
        composer: Composer,
        clock: Clock,
        *,
        tables: Mapping[str, str],
        is_snapshot: bool = False,
    ) -> None:
        self._run = run
        self._bookmark = bookmark
        self._fields = fields
        self._composer = composer
        self._clock = clock
        self.tables = tables
        self.is_snapshot = is_snapshot
        self._held: Holdings | None = None

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(self, *details: object) -> None:
        """Drop the requests that nobody waits for any more."""
        self._run.__exit__(*details)

    @property
    def finished_at(self) -> str | None:
        """Where the last run of these settings ended; None: there was none, or half of one."""
        whole = self._bookmark.is_whole and self._bookmark.mirrors
        return self._bookmark.value if whole else None

    @property
    def looked_back(self) -> str:
        """From when on the next run reads again what changed."""
        return str(self._bookmark.changes(self._clock.now()).since)

    @property
    def elsewhere(self) -> set[tuple[str, ...]]:
        """The fields, or parts of objects, that rows need not have as they are now.

        They are those that not all records have which went out, and those that are deselected.
        """
        lacking = () if self.is_snapshot else self._bookmark.lacking
        names = (*lacking, *self._fields.left_out)
        return {self._fields.place_of(name) for name in names}

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schemas of the fields."""
        return self._fields.schema()

    @property
    def calculated(self) -> frozenset[str]:
        """The properties that HubSpot works out, also anew without moving a modified date."""
        return self._fields.calculated

    @property
    def held(self) -> Holdings:
        """What went out."""
        if self._held is None:
            self._held = self._bookmark.holdings(self._bookmark.changes(self._clock.now()))
        return self._held

    def went_out_as(self, number: int) -> Kind | None:
        """What the last message of a record said it is."""
        return next((kind for kind, ids in self.held.ids.items() if number in ids), None)

    def links_out(self, number: int) -> set[LinkKey] | None:
        """The links of a record that went out; None: there are too many for the state."""
        unknown = self.is_snapshot or self.held.links is None
        return None if unknown else self.held.links_of(number)

    def all(self) -> Iterator[Found]:
        """All records that are asked for, page by page.

        Raises:
            HubSpotError: If HubSpot does not give them.
        """
        now = self._clock.now()
        for page in self._run.pages(self._bookmark.everything(now), Holdings()):
            yield self._found(page)

    def again(self, ids: Sequence[int]) -> Iterator[Found]:
        """What some records are now, a thousand at a time.

        Raises:
            HubSpotError: If HubSpot does not say.
        """
        for start in range(0, len(ids), ALL_AT_ONCE):
            whole, asked = Found(), set(map(str, ids[start : start + ALL_AT_ONCE]))
            for page in self._resolved(ids[start : start + ALL_AT_ONCE]):
                _add(whole, self._found(page))
            # A survivor tells of others too, whose turn comes or has been.
            whole.merged = {i: into for i, into in whole.merged.items() if i in asked}
            yield whole

    def outgoing(self, ids: Sequence[int], also: Sequence[str]) -> Iterator[OutgoingPage]:
        """Some records as pages to be written, and `also`, which are none, as gone."""
        for page in self._resolved(ids):
            yield self._composer.page(page, self.held)
        if also:
            now = self._clock.now()
            progress = self._bookmark.changes(now)
            nothing = LinkedPage(ObjectPage([], None), None, None, iso(now), progress)
            last = self._composer.page(nothing, self.held)
            last.records = [self._fields.tombstone(text, iso(now)) for text in also]
            yield last

    def _resolved(self, ids: Sequence[int]) -> Iterator[LinkedPage]:
        return self._run.resolve(ids, self._bookmark.changes(self._clock.now()))

    def _found(self, page: LinkedPage) -> Found:
        found = Found(gone=list(page.gone))
        found.merged = {i: (one.id, one.updated_at) for i, one in page.merged.items()}
        for one, raw in page.page.pairs():
            found.merged.update((i, (one.id, one.updated_at)) for i in merged_ids(one))
            links = page.links_of(one.id)
            record = self._fields.record(one, links, page.read_at, raw)
            if one.archived:
                found.archived[one.id] = record
                continue
            found.live[one.id] = record
            found.links[one.id] = labels_of(links or {})
        return found


def labels_of(links: Mapping[str, Iterable[Mapping[str, Any]]]) -> LinkLabels:
    """The links inside a record, each with its label."""
    return {
        (to_type, str(linked["id"]), each["category"], int(each["type_id"])): each.get("label")
        for to_type, all_linked in links.items()
        for linked in all_linked
        for each in linked["types"]
    }


def _add(whole: Found, part: Found) -> None:
    whole.live |= part.live
    whole.archived |= part.archived
    whole.links |= part.links
    whole.merged |= part.merged
    whole.gone += part.gone
