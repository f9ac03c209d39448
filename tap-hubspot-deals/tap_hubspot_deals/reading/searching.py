"""Reading by HubSpot's search, walked by record id."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
from hubspot_client.errors import HubSpotError, InconsistentError

from tap_hubspot_deals.reading.legs import BAD_REQUEST
from tap_hubspot_deals.reading.objects import CrmObject, ObjectPage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_hubspot_deals.reading.idsets import IdSet
    from tap_hubspot_deals.reading.objects import ObjectReader
    from tap_hubspot_deals.reading.progress import Window
    from tap_hubspot_deals.settings import Filters

Stretch = tuple[int, int]
"""The first and the last of some ids."""

SEARCH_PAGE = 200
TRIES = 3
SEARCH_BODY_LIMIT = 3000
"""HubSpot documents 400 for search bodies above 3,000 characters."""

GROUPS = 5
ALL_FILTERS = 18
"""Groups of filters that HubSpot allows in a search, and filters in all of them together."""


@dataclass(frozen=True)
class SearchSource:
    """Live records by search, walked by record id.

    `hs_object_id > last` instead of an offset: neither the 10,000 results that HubSpot lets a
    search page through, nor any number of records on one millisecond is a limit then.

    Args:
        reader: What to read.
        filters: The user's filters.
        window: Only records modified within; None for all.
        fresh: Read the properties by id, not from the search index, which lags behind.
        stretches: Only these ids, each the first and the last of some, in ascending order; at most
            `stretches_at_once`; none for all.
        having: Only records that have a value in one of these properties, at most `names_at_once`.
        known: Ids whose records need not be read again; nothing comes of them.
    """

    reader: ObjectReader
    filters: Filters
    window: Window | None = None
    fresh: bool = True
    stretches: tuple[Stretch, ...] = ()
    having: tuple[str, ...] = ()
    known: IdSet | None = None

    def fetch(self, position: str | None) -> ObjectPage:
        """The page after a record id; with `known`, the next one that brings something.

        An answer that contradicts itself is asked for again: the index may have moved under it.

        Raises:
            InconsistentError: If it does so every time.
        """
        page = self._tried(position)
        while self.known is not None and not page.objects and page.following is not None:
            page = self._tried(page.following)
        return page

    def _tried(self, position: str | None) -> ObjectPage:
        for left in reversed(range(TRIES)):
            try:
                return self._fetch(position)
            except InconsistentError:
                if not left:
                    raise
        raise AssertionError  # the last try returns or raises

    def _fetch(self, position: str | None) -> ObjectPage:
        reader = self.reader
        body = self._body(position, list(reader.properties))
        inline = not self.fresh and len(msgspec.json.encode(body)) <= SEARCH_BODY_LIMIT
        if not inline:
            body["properties"] = ["hs_object_id"]
        name = reader.object_type.name
        page = reader.decode(
            reader.client.post(
                reader.client.paths.search(reader.object_type.in_paths),
                body,
                family="search",
                what=f"{name} (search)",
                shape=reader.shape,
            )
        )
        ids = [o.id for o in page.objects]
        self._refuse_gaps(position, ids, page.total)
        # Without a total (observed), only an empty page says that there is no more: what a whole
        # one is follows the width of records, and HubSpot may give less.
        more = page.total is None or page.total > len(ids)
        following = ids[-1] if ids and more else None
        if inline:
            return ObjectPage(page.objects, following, page.raws)
        wanted = [i for i in ids if self.known is None or int(i) not in self.known]
        full = reader.batch(wanted, archived=False)
        return ObjectPage(full.objects, following, full.raws)

    def _refuse_gaps(self, position: str | None, ids: list[str], total: int | None) -> None:
        """Walking by id rests on ascending ids and on pages that come while some are left."""
        numbers = [int(position or 0), *map(int, ids)]
        if any(b <= a for a, b in pairwise(numbers)):
            raise InconsistentError(
                f"HubSpot's search for {self.reader.object_type.name} came out of order after "
                f"record {position or 'none'}; nothing was skipped. Run again."
            )
        if total and not ids:
            raise InconsistentError(
                f"HubSpot's search says that {total} {self.reader.object_type.name} are left "
                f"after record {position or 'none'} but gives none of them. Run again."
            )

    def _body(self, position: str | None, properties: list[str]) -> dict[str, Any]:
        filters = self._filters()
        groups = [[*filters, *each] for each in self._ids(position)]
        if self.having:
            groups = [[*group, _has(name)] for group in groups for name in self.having]
        return {
            "filterGroups": [{"filters": group} for group in groups if group],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": properties,
            "limit": self.reader.width.page(SEARCH_PAGE, len(self.reader.properties)),
        }

    def _ids(self, position: str | None) -> list[list[dict[str, Any]]]:
        """The filters of each group that choose ids."""
        after = int(position or 0)
        if self.stretches:
            return [
                [_between("hs_object_id", max(low, after + 1), high)]
                for low, high in self.stretches
                if high > after
            ]
        if position is None:
            return [[]]
        return [[{"propertyName": "hs_object_id", "operator": "GT", "value": position}]]

    def _filters(self) -> list[dict[str, Any]]:
        """At most four filters: with those of id and property as many as HubSpot allows a group."""
        wanted: list[dict[str, Any]] = []
        pipeline, stage = self.reader.object_type.pipeline or ("", "")
        if self.window:
            modified = self.reader.object_type.modified
            wanted.append(_between(modified, self.window.since, self.window.until))
        if self.filters.pipeline:
            wanted.append(_equal(pipeline, self.filters.pipeline))
        if self.filters.stage:
            wanted.append(_equal(stage, self.filters.stage))
        if self.filters.created_from is not None or self.filters.created_until is not None:
            wanted.append(
                _between(
                    self.reader.object_type.created,
                    self.filters.created_from,
                    self.filters.created_until,
                )
            )
        return wanted


def _equal(name: str, value: str) -> dict[str, Any]:
    return {"propertyName": name, "operator": "EQ", "value": value}


def _has(name: str) -> dict[str, Any]:
    return {"propertyName": name, "operator": "HAS_PROPERTY"}


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
    results: list[CrmObject]
    total: int | None = None


def extent(reader: ObjectReader, filters: Filters) -> tuple[int, str | None]:
    """How many records a search would find, and the highest id among them: one request."""
    total, found = _count(reader, SearchSource(reader, filters))
    return total, found[0].id if found else None


def count(
    reader: ObjectReader,
    filters: Filters,
    stretches: Sequence[Stretch] = (),
    *,
    having: Sequence[str] = (),
    window: Window | None = None,
) -> int:
    """How many records a search would find: one request.

    Args:
        reader: Which objects.
        filters: The user's filters.
        stretches: Only among these ids, at most `stretches_at_once`.
        having: Only those with a value in one of these properties, at most `names_at_once`.
        window: Only those modified within.
    """
    source = SearchSource(reader, filters, window, stretches=tuple(stretches), having=tuple(having))
    total, _ = _count(reader, source)
    return total


def names_at_once(filters: Filters) -> int:
    """How many properties one search can look for, each in a group with filters and an id."""
    return min(GROUPS, ALL_FILTERS // (_of_user(filters) + 2))


def stretches_at_once(filters: Filters) -> int:
    """How many stretches of ids one search can look at, each in a group with the filters."""
    return min(GROUPS, ALL_FILTERS // (_of_user(filters) + 1))


def _of_user(filters: Filters) -> int:
    created = {filters.created_from, filters.created_until} != {None}
    return bool(filters.pipeline) + bool(filters.stage) + created


def _count(reader: ObjectReader, source: SearchSource) -> tuple[int, list[CrmObject]]:
    body = source._body(None, ["hs_object_id"])  # noqa: SLF001 - the same module
    body["sorts"] = [{"propertyName": "hs_object_id", "direction": "DESCENDING"}]
    body["limit"] = 1
    name = reader.object_type.name
    found = reader.client.post(
        reader.client.paths.search(reader.object_type.in_paths),
        body,
        family="search",
        what=f"{name} (count)",
        shape=_Extent,
    )
    if found.total is None:  # observed; who counts does then what it does without a search
        raise HubSpotError(f"HubSpot's search does not count {name}.", status=BAD_REQUEST)
    return found.total, found.results
