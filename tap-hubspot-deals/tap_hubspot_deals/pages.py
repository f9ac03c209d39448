"""From pages of objects to what goes out: records, markers of merged ones, and links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_hubspot_deals.clock import parse_time
from tap_hubspot_deals.records import merged_ids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from tap_hubspot_deals.bookmarks import Progress
    from tap_hubspot_deals.links import Links
    from tap_hubspot_deals.object_streams import AssociationsStream, ObjectStream
    from tap_hubspot_deals.records import CrmObject, RecordFields
    from tap_hubspot_deals.walks import Step

LinksOf = dict[str, list[dict[str, Any]]]
"""By record id, its links to one object type."""


@dataclass
class ReadPage:
    """One page as it goes out.

    Args:
        records: The records of the object type.
        links: The records of their links.
        read_at: When they were read, ISO 8601.
        version: The table version they carry, when versions are used.
        progress: Where the run stands once this page is out.
    """

    records: list[dict[str, Any]]
    links: list[dict[str, Any]]
    read_at: str
    version: int | None
    progress: Progress


@dataclass
class Group:
    """Pages whose links are on their way.

    Args:
        steps: The pages.
        read_at: When their links were asked for.
        asked: The links by object type, a thousand records each; None: links are not read.
    """

    steps: list[Step]
    read_at: str
    asked: list[tuple[str, Future[LinksOf]]] | None

    def links(self) -> dict[str, LinksOf] | None:
        """All links by object type and record; waits until they are there."""
        if self.asked is None:
            return None
        found: dict[str, LinksOf] = {}
        for to_type, future in self.asked:
            found.setdefault(to_type, {}).update(future.result())
        return found


class PageMaker:
    """Makes the records of pages.

    Args:
        stream: The stream of the records.
        links: The stream of their links; None when it is deselected.
        fields: Makes the single records.
    """

    def __init__(
        self, stream: ObjectStream, links: AssociationsStream | None, fields: RecordFields
    ) -> None:
        self._settings = stream.settings
        self._identity = stream.identity
        self._from_type = stream.object_type.name
        self._links = links
        self._fields = fields

    def pages(self, group: Group, progress: Progress) -> Iterator[ReadPage]:
        """The pages of a group; taking one moves the progress behind it."""
        links = group.links()
        version = progress.version if self._settings.activate_versions else None
        for step in group.steps:
            progress.legs = step.legs
            records: list[dict[str, Any]] = []
            link_records: list[dict[str, Any]] = []
            for found, raw in step.page.pairs():
                own: Links | None = None
                if links is not None:
                    own = {to_type: of.get(found.id, []) for to_type, of in links.items()}
                    link_records += self._link_records(found.id, own, group.read_at)
                markers = self._merged_markers(found, progress, group.read_at)
                records.append(self._fields.record(found, own, group.read_at, raw))
                records += markers
            yield ReadPage(records, link_records, group.read_at, version, progress)

    def _link_records(self, from_id: str, links: Links, read_at: str) -> list[dict[str, Any]]:
        if self._links is None:
            return []
        head = {
            **self._identity.fields,
            "from_object_type": self._from_type,
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
