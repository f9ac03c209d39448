"""A page as it goes out: records, those of their links, and markers of what is gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from tap_hubspot_deals.reading.objects import merged_ids
from tap_hubspot_deals.reading.packing import Mark
from tap_hubspot_deals.streams.records import PRESENT, removed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tap_hubspot_deals.reading.holdings import Holdings
    from tap_hubspot_deals.reading.links import Links
    from tap_hubspot_deals.reading.objects import CrmObject
    from tap_hubspot_deals.reading.packing import Kind
    from tap_hubspot_deals.reading.pages import LinkedPage
    from tap_hubspot_deals.reading.progress import Progress
    from tap_hubspot_deals.settings import Settings
    from tap_hubspot_deals.streams.records import Identity, RecordFields


@dataclass
class OutgoingPage:
    """One page as it goes out.

    Args:
        records: The records of the object type, markers included; none where it is not selected.
        ids: Whose page it is, markers included, in the order of the records.
        links: Their links, by the object type they lead to, without what all of a page have.
        of_links: What all links of the page have; each besides the type that it leads to.
        marks: What of it the next run has to know.
        read_at: When it was read, ISO 8601.
        version: The table version, when versions are used.
        progress: Where the read stands once the page is out.
        histories: The records of what the records were, by stream.
        unlinked: The records that say which links are gone, by the object type they led to.
    """

    records: list[dict[str, Any]]
    ids: list[str]
    links: dict[str, list[LinkRecord]]
    of_links: dict[str, Any]
    marks: list[Mark]
    read_at: str
    version: int | None
    progress: Progress
    histories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    unlinked: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def common_of(self, to_type: str) -> dict[str, Any]:
        """What all links to an object type have in common."""
        return {**self.of_links, "to_object_type": to_type}

    def count_of_links(self) -> int:
        """How many records of links there are, those of links that are gone included."""
        return sum(map(len, self.links.values())) + sum(map(len, self.unlinked.values()))

    def release(self) -> None:
        """Let go of the records, once they are out: those of the next page take their memory.

        It is in the processor's cache still, which is worth a twentieth of the run's CPU.
        """
        self.records, self.links, self.unlinked, self.histories = [], {}, {}, {}


class LinkRecord(msgspec.Struct, gc=False):
    """The fields of a link that its page's others do not share."""

    from_id: str
    to_id: str
    category: str
    type_id: int
    label: str | None


class Composer:
    """Makes pages as they go out of those that were read.

    Args:
        object_type: The name of the records' type.
        fields: Make a record.
        settings: Say whether versions are used, and whether this is a scan.
        identity: Whose records these are.
        to_types: The object types whose links go out.
        selected: Whether the records themselves go out.
        mirrors: Whether a later run goes on from this one.
    """

    def __init__(
        self,
        object_type: str,
        fields: RecordFields,
        settings: Settings,
        identity: Identity,
        *,
        to_types: Collection[str],
        selected: bool,
        mirrors: bool,
    ) -> None:
        self._fields = fields
        self._to_types = to_types
        self._selected = selected
        self._mirrors = mirrors
        self._versions = settings.activate_versions
        self._head = {**identity.fields, "from_object_type": object_type}
        self._present = PRESENT if settings.scan_id is None else {}

    def page(self, found: LinkedPage, held: Holdings) -> OutgoingPage:
        """The records of a page: its own, those of its links, and markers of what is gone.

        Args:
            found: The page as it was read.
            held: What went out before.
        """
        page = OutgoingPage(
            records=[],
            ids=[],
            links={to_type: [] for to_type in self._to_types},
            of_links={**self._head, "read_at": found.read_at, **self._present},
            marks=[],
            read_at=found.read_at,
            version=found.progress.version if self._versions else None,
            progress=found.progress,
        )
        for one, raw in found.page.pairs():
            for old in (i for i in merged_ids(one) if int(i) in held):
                self._add_merged(page, old, one, held)
            own = found.links_of(one.id)
            if own:
                _add_links(page, one.id, own)
            if self._mirrors:
                known = None
                if own is not None or one.archived:
                    known = self._compare_links(page, one.id, own or {}, held)
                page.marks.append(Mark(int(one.id), "archived" if one.archived else "live", known))
            record = self._fields.record(one, own, found.read_at, raw)
            if own is None and found.only is not None:
                del record["read_at"]  # its links, which went out earlier, are current still
            page.records.append(record)
        for old, survivor in found.merged.items():
            self._add_merged(page, old, survivor, held)
        page.records += [self._fields.tombstone(i, found.read_at) for i in found.gone]
        ends: list[tuple[Kind | None, Sequence[str]]] = [
            ("gone", found.gone),
            (None, found.unattached),
        ]
        page.marks += [
            Mark(int(i), kind, self._compare_links(page, i, {}, held))
            for kind, ids in ends
            for i in ids
        ]
        page.ids = [record["id"] for record in page.records]
        if not self._selected:
            page.records = []
            page.marks = [
                Mark(mark.id, "untold", mark.links) if mark.kind in {"merged", "gone"} else mark
                for mark in page.marks
            ]
        return page

    def _add_merged(
        self, page: OutgoingPage, old: str, survivor: CrmObject, held: Holdings
    ) -> None:
        """Say that a record is gone, because another took its place."""
        known = self._compare_links(page, old, {}, held)
        page.marks.append(Mark(int(old), "merged", known))
        page.records.append(self._fields.merged_marker(old, survivor, page.read_at))

    def _compare_links(
        self, page: OutgoingPage, from_id: str, links: Links, held: Holdings
    ) -> bytes | None:
        """Say which links a record had and has no more; gives what the next run has to know."""
        known, gone = held.relink(int(from_id), links, self._to_types)
        for to_type, to_id, category, type_id in gone:
            record = {
                **self._head,
                "from_id": from_id,
                "to_object_type": to_type,
                "to_id": to_id,
                "category": category,
                "type_id": type_id,
                **removed(page.read_at),
            }
            page.unlinked.setdefault(to_type, []).append(record)
        return known


def _add_links(page: OutgoingPage, from_id: str, links: Links) -> None:
    for to_type, of_type in page.links.items():
        of_type += [
            LinkRecord(from_id, linked["id"], each["category"], each["type_id"], each["label"])
            for linked in links.get(to_type, ())
            for each in linked["types"]
        ]
