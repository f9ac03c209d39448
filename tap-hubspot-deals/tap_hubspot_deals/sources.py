"""Where records come from: HubSpot's list, its search, and batches by id.

Each source is a walk: given a position it fetches one page and says where the next one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tap_hubspot_deals.errors import HubSpotError
from tap_hubspot_deals.records import CrmObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_hubspot_deals.client import Client
    from tap_hubspot_deals.object_types import ObjectType
    from tap_hubspot_deals.settings import Filters

URL_LIMIT = 8000
"""Longest address sent. HubSpot answers 414 somewhere between 14,000 and 16,400 characters."""

SEARCH_PAGE = 200
SEARCH_BODY_LIMIT = 3000
"""HubSpot documents 400 for search bodies above 3,000 characters."""

BATCH = 100


class _Next(msgspec.Struct):
    after: str


class _Paging(msgspec.Struct):
    next: _Next | None = None


class _Objects(msgspec.Struct):
    results: list[CrmObject]
    paging: _Paging | None = None
    total: int = 0


class _RawObjects(msgspec.Struct):
    results: list[msgspec.Raw]
    paging: _Paging | None = None
    total: int = 0


@dataclass
class Page:
    """One page of a walk.

    Args:
        objects: The records, in HubSpot's order.
        following: The position after this page; None at the end.
        raws: Each object's own JSON, where raw objects are wanted.
        total: How many records the search found from here on.
    """

    objects: list[CrmObject]
    following: str | None
    raws: list[msgspec.Raw] | None = None
    total: int = 0

    def pairs(self) -> Iterable[tuple[CrmObject, msgspec.Raw | None]]:
        """Each record with its own JSON, where that is kept."""
        raws: Sequence[msgspec.Raw | None] = self.raws or [None] * len(self.objects)
        return zip(self.objects, raws, strict=True)


class Source(Protocol):
    """Anything that can be walked page by page."""

    def fetch(self, position: str | None) -> Page:
        """The page at a position; None is the beginning."""


@dataclass(frozen=True)
class Reading:
    """What all sources of one stream share.

    Args:
        client: The conversation with HubSpot.
        object_type: Which records.
        properties: The properties to read.
        page_size: Records per page of a list.
        raw: Whether each object's own JSON is kept.
    """

    client: Client
    object_type: ObjectType
    properties: tuple[str, ...]
    page_size: int
    raw: bool

    def batch(self, ids: Sequence[str], *, archived: bool) -> Page:
        """Records by id, in the order asked for; ids that are gone are left out."""
        name = self.object_type.name
        path = self.client.paths.batch_read(self.object_type.in_paths)
        path += "?archived=true" if archived else ""
        by_id: dict[str, tuple[CrmObject, msgspec.Raw | None]] = {}
        for start in range(0, len(ids), BATCH):
            body = {
                "inputs": [{"id": i} for i in ids[start : start + BATCH]],
                "properties": self.properties,
                "propertiesWithHistory": [],
            }
            page = self.decode(
                self.client.post(
                    path, body, family="batch read", what=f"{name} (batch read)", shape=self.shape
                )
            )
            by_id.update((o.id, (o, raw)) for o, raw in page.pairs())
        found = [by_id[i] for i in ids if i in by_id]
        return Page(
            [o for o, _ in found],
            None,
            [raw for _, raw in found if raw is not None] if self.raw else None,
        )

    @property
    def shape(self) -> type[_Objects | _RawObjects]:
        """How answers are decoded."""
        return _RawObjects if self.raw else _Objects

    def decode(self, answer: _Objects | _RawObjects) -> Page:
        """A page from an answer of `shape`."""
        following = answer.paging.next.after if answer.paging and answer.paging.next else None
        if isinstance(answer, _Objects):
            return Page(answer.results, following, total=answer.total)
        objects = [msgspec.json.decode(raw, type=CrmObject) for raw in answer.results]
        return Page(objects, following, answer.results, answer.total)


@dataclass(frozen=True)
class ListSource:
    """All live, or all archived, records by HubSpot's list.

    The properties stand in the address. Where that grows too long, the list gives ids only and the
    properties come by batch read, whose body has no such limit.
    """

    reading: Reading
    archived: bool = False

    def fetch(self, position: str | None) -> Page:
        """The page at a cursor.

        Raises:
            HubSpotError: Status 400 if HubSpot does not know the cursor.
        """
        reading = self.reading
        names = ",".join(reading.properties)
        wide = len(names) > URL_LIMIT - 200
        params: dict[str, str | int] = {
            "limit": reading.page_size,
            "properties": "hs_object_id" if wide else names,
            "archived": "true" if self.archived else "false",
        }
        if position is not None:
            params["after"] = position
        name = reading.object_type.name
        page = reading.decode(
            reading.client.get(
                reading.client.paths.objects(reading.object_type.in_paths),
                family="list",
                what=f"{'archived ' if self.archived else ''}{name} (list)",
                shape=reading.shape,
                **params,
            )
        )
        if wide and page.objects:
            full = reading.batch([o.id for o in page.objects], archived=self.archived)
            return Page(full.objects, page.following, full.raws)
        return page


@dataclass(frozen=True)
class IdSource:
    """Live records by id; ids that HubSpot does not know are left out.

    Args:
        reading: What to read.
        ids: Which records.
    """

    reading: Reading
    ids: tuple[str, ...]

    def fetch(self, position: str | None) -> Page:
        """The hundred records at a position in the ids."""
        start = int(position or 0)
        page = self.reading.batch(self.ids[start : start + BATCH], archived=False)
        if start + BATCH < len(self.ids):
            page.following = str(start + BATCH)
        return page


@dataclass(frozen=True)
class Window:
    """A closed interval of the modified date, in epoch milliseconds."""

    since: int
    until: int


@dataclass(frozen=True)
class SearchSource:
    """Live records by search, walked by record id.

    `hs_object_id > last` instead of an offset: neither the 10,000 results that HubSpot lets a
    search page through, nor any number of records on one millisecond is a limit then.

    Args:
        reading: What to read.
        filters: The user's filters.
        window: Only records modified within; None for all.
        fresh: Read the properties by id, not from the search index, which lags behind.
    """

    reading: Reading
    filters: Filters
    window: Window | None = None
    fresh: bool = True

    def fetch(self, position: str | None) -> Page:
        """The page after a record id."""
        reading = self.reading
        body = self._body(position, list(reading.properties))
        inline = not self.fresh and len(msgspec.json.encode(body)) <= SEARCH_BODY_LIMIT
        if not inline:
            body["properties"] = ["hs_object_id"]
        name = reading.object_type.name
        page = reading.decode(
            reading.client.post(
                reading.client.paths.search(reading.object_type.in_paths),
                body,
                family="search",
                what=f"{name} (search)",
                shape=reading.shape,
            )
        )
        ids = [o.id for o in page.objects]
        self._refuse_gaps(position, ids, page.total)
        following = ids[-1] if ids and page.total > len(ids) else None
        if inline:
            return Page(page.objects, following, page.raws)
        full = reading.batch(ids, archived=False)
        return Page(full.objects, following, full.raws)

    def _refuse_gaps(self, position: str | None, ids: list[str], total: int) -> None:
        """Walking by id rests on ascending ids and on pages that come while some are left."""
        numbers = [int(position or 0), *map(int, ids)]
        if any(b <= a for a, b in pairwise(numbers)):
            raise HubSpotError(
                f"HubSpot's search for {self.reading.object_type.name} came out of order after "
                f"record {position or 'none'}; nothing was skipped. Run again."
            )
        if total > 0 and not ids:
            raise HubSpotError(
                f"HubSpot's search says that {total} {self.reading.object_type.name} are left "
                f"after record {position or 'none'} but gives none of them. Run again."
            )

    def _body(self, position: str | None, properties: list[str]) -> dict[str, Any]:
        filters = self._filters(position)
        return {
            "filterGroups": [{"filters": filters}] if filters else [],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": properties,
            "limit": SEARCH_PAGE,
        }

    def _filters(self, position: str | None) -> list[dict[str, Any]]:
        """At most five filters; HubSpot allows six in a group."""
        wanted: list[dict[str, Any]] = []
        pipeline, stage = self.reading.object_type.pipeline or ("", "")
        if self.window:
            modified = self.reading.object_type.modified
            wanted.append(_between(modified, self.window.since, self.window.until))
        if self.filters.pipeline:
            wanted.append(_equal(pipeline, self.filters.pipeline))
        if self.filters.deal_stage:
            wanted.append(_equal(stage, self.filters.deal_stage))
        if self.filters.created_from is not None or self.filters.created_until is not None:
            wanted.append(
                _between(
                    self.reading.object_type.created,
                    self.filters.created_from,
                    self.filters.created_until,
                )
            )
        if position is not None:
            wanted.append({"propertyName": "hs_object_id", "operator": "GT", "value": position})
        return wanted


def _equal(name: str, value: str) -> dict[str, Any]:
    return {"propertyName": name, "operator": "EQ", "value": value}


def _between(name: str, low: int | None, high: int | None) -> dict[str, Any]:
    """Both ends belong to it. HubSpot answers 500 to a filter value of epoch 0, hence the 1."""
    if low is None:
        return {"propertyName": name, "operator": "LTE", "value": str(high)}
    if high is None:
        return {"propertyName": name, "operator": "GTE", "value": str(max(low, 1))}
    return {
        "propertyName": name,
        "operator": "BETWEEN",
        "value": str(max(low, 1)),
        "highValue": str(high),
    }


class _Extent(msgspec.Struct):
    total: int
    results: list[CrmObject]


def extent(reading: Reading, filters: Filters) -> tuple[int, str | None]:
    """How many records a search would find, and the highest id among them: one request."""
    source = SearchSource(reading, filters)
    body = source._body(None, ["hs_object_id"])  # noqa: SLF001 - the same module
    body["sorts"] = [{"propertyName": "hs_object_id", "direction": "DESCENDING"}]
    body["limit"] = 1
    name = reading.object_type.name
    answer = reading.client.post(
        reading.client.paths.search(reading.object_type.in_paths),
        body,
        family="search",
        what=f"{name} (count)",
        shape=_Extent,
    )
    return answer.total, answer.results[0].id if answer.results else None
