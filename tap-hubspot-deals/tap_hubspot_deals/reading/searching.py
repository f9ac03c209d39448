"""Reading by HubSpot's search, walked by record id."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
from hubspot_client.errors import HubSpotError

from tap_hubspot_deals.reading.sources import Page, Reading
from tap_hubspot_deals.streams.records import CrmObject

if TYPE_CHECKING:
    from tap_hubspot_deals.settings import Filters

SEARCH_PAGE = 200
SEARCH_BODY_LIMIT = 3000
"""HubSpot documents 400 for search bodies above 3,000 characters."""


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
