"""A page as it goes out: records, those of their links, and markers of what is gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tap_hubspot_deals.reading.holdings import Mark
from tap_hubspot_deals.reading.objects import merged_ids
from tap_hubspot_deals.reading.pages import link_keys
from tap_hubspot_deals.streams.records import PRESENT, removed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tap_hubspot_deals.reading.holdings import Holdings, Kind, LinkKey
    from tap_hubspot_deals.reading.links import Links
    from tap_hubspot_deals.reading.objects import CrmObject
    from tap_hubspot_deals.reading.pages import LinkedPage
    from tap_hubspot_deals.reading.progress import Progress
    from tap_hubspot_deals.settings import Settings
    from tap_hubspot_deals.streams.records import Identity, RecordFields


@dataclass
class OutgoingPage:
    """One page as it goes out.

    Args:
        records: The records of the object type, markers included.
        links: The records of their links, by the object type they lead to.
        marks: What of it the next run has to know.
        read_at: When it was read, ISO 8601.
        version: The table version, when versions are used.
        progress: Where the read stands once the page is out.
        histories: The records of what the records were, by stream.
    """

    records: list[dict[str, Any]]
    links: dict[str, list[dict[str, Any]]]
    marks: list[Mark]
    read_at: str
    version: int | None
    progress: Progress
    histories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


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
        links: dict[str, list[dict[str, Any]]] = {to_type: [] for to_type in self._to_types}
        version = found.progress.version if self._versions else None
        page = OutgoingPage([], links, [], found.read_at, version, found.progress)
        for one, raw in found.page.pairs():
            for old in (i for i in merged_ids(one) if int(i) in held):
                self._add_merged(page, old, one, held)
            own = found.links_of(one.id)
            keys = None
            if self._mirrors and (own is not None or one.archived):
                keys = link_keys(own or {})
            known = self._add_links(page, one.id, own, held, keys)
            if self._mirrors:
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
            Mark(int(i), kind, self._add_links(page, i, {}, held, []))
            for kind, ids in ends
            for i in ids
        ]
        if not self._selected:
            page.records = []
        return page

    def _add_merged(
        self, page: OutgoingPage, old: str, survivor: CrmObject, held: Holdings
    ) -> None:
        """Say that a record is gone, because another took its place."""
        known = self._add_links(page, old, {}, held, [])
        page.marks.append(Mark(int(old), "merged", known))
        page.records.append(self._fields.merged_marker(old, survivor, page.read_at))

    def _add_links(
        self,
        page: OutgoingPage,
        from_id: str,
        links: Links | None,
        held: Holdings,
        now: list[LinkKey] | None,
    ) -> list[LinkKey] | None:
        """The records of one record's links, those that it had and has no more included.

        Args:
            page: Where they go.
            from_id: Whose links.
            links: All it has; empty where the record is gone; None where they were not read.
            held: What went out before.
            now: What tells the links apart; None where nobody will ask.

        Returns:
            What the next run has to know of this record's links; None where that stays as it was.
        """
        head = {**self._head, "from_id": from_id}
        tail = {"read_at": page.read_at, **self._present}
        for to_type, of_type in page.links.items() if links else ():
            of_pair = {**head, "to_object_type": to_type}
            of_type += [
                {**of_pair, "to_id": linked["id"], **link_type, **tail}
                for linked in (links or {}).get(to_type, ())
                for link_type in linked["types"]
            ]
        if now is None:
            return None
        known = [key for key in now if key[0] in page.links]
        if before := held.links_of(int(from_id)):
            for to_type, to_id, category, type_id in sorted(before.difference(now)):
                if to_type in page.links:
                    key = {"to_object_type": to_type, "to_id": to_id}
                    kind = {"category": category, "type_id": type_id}
                    page.links[to_type].append({**head, **key, **kind, **removed(page.read_at)})
            known += [key for key in before if key[0] not in page.links]
        return known
