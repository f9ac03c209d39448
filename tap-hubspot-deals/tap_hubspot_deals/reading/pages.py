"""Pages of objects with their links, which are asked for by the thousand, for a group of pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hubspot_client.clock import iso

from tap_hubspot_deals.reading.histories import BATCH as HISTORY_BATCH
from tap_hubspot_deals.reading.link_keys import link_keys
from tap_hubspot_deals.reading.links import BATCH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor, Future

    from hubspot_client.clock import Clock

    from tap_hubspot_deals.reading.histories import History, HistoryReader
    from tap_hubspot_deals.reading.legs import Step
    from tap_hubspot_deals.reading.link_keys import LinkKey
    from tap_hubspot_deals.reading.links import LinkReader, Links
    from tap_hubspot_deals.reading.objects import CrmObject, ObjectPage
    from tap_hubspot_deals.reading.progress import Progress

LinksOf = dict[str, list[dict[str, Any]]]
"""By record id, its links to one object type."""


@dataclass
class LinkedPage:
    """One page with its links.

    Args:
        page: The objects.
        links: Their links, by the object type they lead to; None: not read.
        only: The objects whose links were asked for; None: all.
        read_at: When the links were asked for, ISO 8601.
        progress: Where the read stands once this page is out.
        gone: Ids that went out and are not there any more, or not asked for.
        merged: The records that took the place of others, by the others' ids.
        unattached: Ids of records whose links are gone with them.
        histories: What the objects were, by id; empty where nobody asked.
    """

    page: ObjectPage
    links: dict[str, LinksOf] | None
    only: frozenset[str] | None
    read_at: str
    progress: Progress
    gone: Sequence[str] = ()
    merged: dict[str, CrmObject] = field(default_factory=dict)
    unattached: Sequence[str] = ()
    histories: dict[str, History] = field(default_factory=dict)

    def links_of(self, object_id: str) -> Links | None:
        """One object's complete links by object type; None where they were not read."""
        if self.links is None or (self.only is not None and object_id not in self.only):
            return None
        return {to_type: of.get(object_id, []) for to_type, of in self.links.items()}


@dataclass
class Group:
    """Pages whose links are on their way.

    Args:
        steps: The pages.
        read_at: When their links were asked for.
        asked: The links by object type, a thousand records each; None: links are not read.
        only: The records whose links were asked for; None: all.
        histories: Those of the objects, fifty each.
    """

    steps: list[Step]
    read_at: str
    asked: list[tuple[str, Future[LinksOf]]] | None
    only: frozenset[str] | None = None
    histories: Sequence[Future[dict[str, History]]] = ()

    def pages(self, progress: Progress) -> Iterator[LinkedPage]:
        """The pages, once all of their links are there."""
        links: dict[str, LinksOf] | None = None
        if self.asked is not None:
            links = {}
            for to_type, future in self.asked:
                links.setdefault(to_type, {}).update(future.result())
        histories: dict[str, History] = {}
        for asked in self.histories:
            histories.update(asked.result())
        for step in self.steps:
            yield LinkedPage(
                step.page,
                links,
                self.only,
                self.read_at,
                progress.at(step.legs),
                histories=histories,
            )
            step.page.release()


class LinkAsker:
    """Asks for the links of pages.

    Args:
        readers: One for each object type that links lead to.
        only: The records whose links are wanted; None: all.
        clock: HubSpot's.
        pool: Where requests run.
        history: Reads what the records were; None: that is not wanted.
    """

    def __init__(
        self,
        readers: Sequence[LinkReader],
        only: frozenset[str] | None,
        clock: Clock,
        pool: Executor,
        history: HistoryReader | None = None,
    ) -> None:
        self.readers = readers
        self.only = only
        self._clock = clock
        self._pool = pool
        self._history = history

    def ask(self, steps: list[Step], *, live: bool) -> Group:
        """Ask for the links of live records; archived ones have none (HubSpot hides them)."""
        read_at = iso(self._clock.now())
        ids = [o.id for step in steps for o in step.page.objects]
        histories = self._ask_histories(ids, live=live)
        if not live:
            return Group(steps, read_at, None, histories=histories)
        if self.only is not None:
            ids = [i for i in ids if i in self.only]
        asked = [
            (reader.to_type, self._pool.submit(reader.read, ids[start : start + BATCH]))
            for reader in self.readers
            for start in range(0, len(ids), BATCH)
        ]
        return Group(steps, read_at, asked, self.only, histories)

    def _ask_histories(self, ids: Sequence[str], *, live: bool) -> list[Future[dict[str, History]]]:
        if self._history is None:
            return []
        read = self._history.read
        return [
            self._pool.submit(read, ids[start : start + HISTORY_BATCH], archived=not live)
            for start in range(0, len(ids), HISTORY_BATCH)
        ]

    def histories(self, page: ObjectPage) -> dict[str, History]:
        """What archived records were, by id."""
        found: dict[str, History] = {}
        for asked in self._ask_histories([o.id for o in page.objects], live=False):
            found.update(asked.result())
        return found

    def read(self, ids: Sequence[str]) -> dict[str, set[LinkKey]]:
        """The links of at most 1,000 records, as `Holdings.links_of` tells them."""
        asked = [(r.to_type, self._pool.submit(r.read, ids)) for r in self.readers if ids]
        found: dict[str, set[LinkKey]] = {}
        for to_type, future in asked:
            for record_id, links in future.result().items():
                found.setdefault(record_id, set()).update(link_keys({to_type: links}))
        return found
