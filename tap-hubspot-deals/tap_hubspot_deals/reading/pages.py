"""From pages of objects to what goes out: records, markers of merged ones, and links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubspot_client.clock import iso, parse_time

from tap_hubspot_deals.reading.links import BATCH, LinkReader
from tap_hubspot_deals.streams.records import merged_ids

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from concurrent.futures import Executor, Future

    from tap_hubspot_deals.reading.legs import Step
    from tap_hubspot_deals.reading.links import Links
    from tap_hubspot_deals.streams.bookmarks import Progress
    from tap_hubspot_deals.streams.objects import ObjectStream
    from tap_hubspot_deals.streams.records import CrmObject, RecordFields

LinksOf = dict[str, list[dict[str, Any]]]
"""By record id, its links to one object type."""


@dataclass
class ReadPage:
    """One page as it goes out.

    Args:
        records: The records of the object type.
        links: The records of their links, by the object type they lead to.
        read_at: When they were read, ISO 8601.
        version: The table version they carry, when versions are used.
        progress: Where the run stands once this page is out.
    """

    records: list[dict[str, Any]]
    links: dict[str, list[dict[str, Any]]]
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
        only: The records whose links were asked for; None: all.
    """

    steps: list[Step]
    read_at: str
    asked: list[tuple[str, Future[LinksOf]]] | None
    only: frozenset[str] | None = None

    def links(self) -> dict[str, LinksOf] | None:
        """All links by object type and record; waits until they are there."""
        if self.asked is None:
            return None
        found: dict[str, LinksOf] = {}
        for to_type, future in self.asked:
            found.setdefault(to_type, {}).update(future.result())
        return found


class PageMaker:
    """Asks for the links of pages and makes their records.

    Args:
        stream: The stream of the records.
        links: The object types whose links have a selected stream.
        fields: Makes the single records.
        pool: Where requests run.
    """

    def __init__(
        self,
        stream: ObjectStream,
        links: Collection[str],
        fields: RecordFields,
        pool: Executor,
    ) -> None:
        self._pool = pool
        self._clock = stream.hubspot.clock
        self._readers = [
            (to_type.name, LinkReader(stream.hubspot, stream.object_type, to_type))
            for to_type in stream.linked
        ]
        self._only = frozenset(stream.settings.association_ids) or None
        self._settings = stream.settings
        self._identity = stream.identity
        self._from_type = stream.object_type.name
        self._links = links
        self._fields = fields

    def ask_links(self, steps: list[Step], *, live: bool) -> Group:
        """Ask for the links of live records; archived ones have none (HubSpot hides them)."""
        read_at = iso(self._clock.now())
        if not live:
            return Group(steps, read_at, None)
        ids = [o.id for step in steps for o in step.page.objects]
        if self._only is not None:
            ids = [i for i in ids if i in self._only]
        asked = [
            (to_type, self._pool.submit(reader.read, ids[start : start + BATCH]))
            for to_type, reader in self._readers
            for start in range(0, len(ids), BATCH)
        ]
        return Group(steps, read_at, asked, self._only)

    def pages(self, group: Group, progress: Progress) -> Iterator[ReadPage]:
        """The pages of a group; taking one moves the progress behind it."""
        links = group.links()
        version = progress.version if self._settings.activate_versions else None
        for step in group.steps:
            progress.legs = step.legs
            records: list[dict[str, Any]] = []
            link_records: dict[str, list[dict[str, Any]]] = {t: [] for t in self._links}
            for found, raw in step.page.pairs():
                own: Links | None = None
                if links is not None and (group.only is None or found.id in group.only):
                    own = {to_type: of.get(found.id, []) for to_type, of in links.items()}
                    for to_type, of_type in link_records.items():
                        of_type.extend(
                            self._link_records(found.id, to_type, own[to_type], group.read_at)
                        )
                markers = self._merged_markers(found, progress, group.read_at)
                records.append(self._fields.record(found, own, group.read_at, raw))
                records += markers
            step.page.release()
            yield ReadPage(records, link_records, group.read_at, version, progress)

    def _link_records(
        self, from_id: str, to_type: str, all_linked: list[dict[str, Any]], read_at: str
    ) -> list[dict[str, Any]]:
        if not all_linked:
            return []
        head = {
            **self._identity.fields,
            "from_object_type": self._from_type,
            "from_id": from_id,
            "to_object_type": to_type,
        }
        return [
            {**head, "to_id": linked["id"], **link_type, "read_at": read_at}
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
