"""Search: filters, sorting and offset paging over what the index knows."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from hubspot_simulator.call import encode
from hubspot_simulator.encoding import Encoder, results
from hubspot_simulator.errors import invalid
from hubspot_simulator.filters import check_filter, comparable
from hubspot_simulator.matching import (
    ANY,
    Bounds,
    Filter,
    Matches,
    bounds_of,
    definition_of,
    is_range,
    match_group,
    of_ids,
    restrict,
)

if TYPE_CHECKING:
    from hubspot_simulator.call import Call
    from hubspot_simulator.records import Records

# HubSpot docs: "Search the CRM".
PAGE_LIMIT = 200
REACHABLE = 10_000
GROUP_LIMIT = 5
GROUP_FILTER_LIMIT = 6
FILTER_LIMIT = 18


class FilterGroup(msgspec.Struct):
    """Filters that must all be passed."""

    filters: list[Filter] = []


class SearchRequest(msgspec.Struct, rename="camel"):
    """The body of a search; `after` comes as a text or a number (observed)."""

    filter_groups: list[FilterGroup] | None = None
    filters: list[Filter] | None = None
    sorts: list[str | dict[str, str]] | None = None
    properties: list[str] | None = None
    limit: int | str = 10
    after: int | str | None = None
    query: str | None = None


def search(call: Call) -> bytes:
    records = call.readable()
    allowed = call.portal.behaviour.search_body_limit
    if allowed is not None and len(call.raw_body) > allowed:
        raise invalid(f"The request body is too long. The maximum is {allowed} characters")
    try:
        body = msgspec.json.decode(call.raw_body, type=SearchRequest)
    except msgspec.DecodeError as error:
        raise invalid(f"Invalid input JSON: {error}") from None
    limit = _whole(body.limit, "limit")
    if not 1 <= limit <= PAGE_LIMIT:
        raise invalid(f"limit must be between 1 and {PAGE_LIMIT}, but was {limit}")
    offset = _whole(body.after or 0, "after")
    if not 0 <= offset < REACHABLE:
        raise invalid(f"after must be below {REACHABLE}, but was {offset}")
    groups = _groups(body)
    name, descending = _sort(body.sorts or [])
    call.summary |= {"filters": sum(map(len, groups)), "after": offset, "limit": limit}
    records.refresh_index()
    query = body.query or ""
    matches, bounds = _matches(call, records, groups, query)
    total = matches.count(bounds)
    end = min(offset + limit, REACHABLE)
    if name in {"", "hs_object_id"} and not descending:
        ids = list(islice(matches.ids(bounds), offset, end))
    else:
        names = {each["propertyName"] for group in groups for each in group}
        # Links change without the index.
        moving = object() if any(each.startswith("associations.") for each in names) else None
        asked = encode([groups, query, name, descending])
        key = ("sorted", records.index_version, records.definitions.version, asked, moving)
        order = records.cached(
            key, lambda: _sorted(records, matches, bounds, name, descending=descending)
        )
        ids = order[offset:end]
    if call.portal.behaviour.unordered_searches and len(ids) > 1:
        call.portal.behaviour.unordered_searches -= 1
        ids.reverse()
    encoder = Encoder(call.portal.portal_id, records, body.properties or [])
    rows = encoder.encode(ids, written=records.indexed)
    more: dict[str, Any] = {"total": total} if call.portal.behaviour.search_totals else {}
    if end < total:
        more["paging"] = {"next": {"after": str(end)}}
    call.summary["results"] = len(rows)
    return results(rows, **more)


def _whole(value: int | str, name: str) -> int:
    if isinstance(value, int) or value.isdecimal():
        return int(value)
    raise invalid(f"{name} must be a number, but was {value!r}")


def _groups(body: SearchRequest) -> list[list[Filter]]:
    """Read the filter groups; bare `filters` are one group (observed)."""
    groups = [group.filters for group in body.filter_groups or []]
    if body.filters:
        groups.append(body.filters)
    if len(groups) > GROUP_LIMIT:
        raise invalid(f"The maximum number of filterGroups is {GROUP_LIMIT}")
    if any(len(group) > GROUP_FILTER_LIMIT for group in groups):
        raise invalid(f"The maximum number of filters per group is {GROUP_FILTER_LIMIT}")
    if sum(map(len, groups)) > FILTER_LIMIT:
        raise invalid(f"The maximum number of filters is {FILTER_LIMIT}")
    for group in groups:
        for each in group:
            check_filter(each)
    return groups


def _sort(sorts: list[str | dict[str, str]]) -> tuple[str, bool]:
    if len(sorts) > 1:
        raise invalid("Only one sort is supported")
    if not sorts:
        return "", False
    (sort,) = sorts
    if isinstance(sort, str):
        return sort.removeprefix("-"), sort.startswith("-")
    return sort.get("propertyName", ""), sort.get("direction") == "DESCENDING"


def _matches(
    call: Call, records: Records, groups: list[list[Filter]], query: str
) -> tuple[Matches, Bounds]:
    """Find what any group finds; one group alone keeps its bounds on the id, to page by."""
    if len(groups) == 1 and not query:
        return _group(call, records, groups[0])
    found: list[int] = []
    for group in groups or [[]]:
        matches, bounds = _group(call, records, group)
        if len(groups) <= 1 and not query:
            return matches, bounds
        found.extend(matches.ids(bounds))
    if query:
        found = [each for each in found if _mentions(records, each, query.casefold())]
    return of_ids(records, found), ANY


def _group(call: Call, records: Records, group: list[Filter]) -> tuple[Matches, Bounds]:
    keyset = [each for each in group if is_range(each, "hs_object_id")]
    links = [each for each in group if each["propertyName"].startswith("associations.")]
    rest = [each for each in group if each not in keyset and each not in links]
    bounds = bounds_of(definition_of(records, "hs_object_id"), keyset)
    matches = match_group(records, rest)
    for each in links:
        partner = call.portal.types.resolve(each["propertyName"].partition(".")[2]).name
        linked = call.portal.live_links(
            partner, _whole(str(each.get("value")), "value"), records.type.name
        )
        matches = restrict(records, matches, linked)
    return matches, bounds


def _indexed_value(records: Records, object_id: int, name: str) -> str | None:
    record = records.indexed.get(object_id)
    if record is not None:
        return record.properties.get(name)
    place, column = records.base.position(object_id), records.base.columns.get(name)
    return None if place is None or column is None else column.value(place)


def _mentions(records: Records, object_id: int, query: str) -> bool:
    """Look for the text in the properties that come by default (HubSpot docs lists them)."""
    values = (_indexed_value(records, object_id, name) for name in records.type.defaults)
    return any(query in (value or "").casefold() for value in values)


def _sorted(
    records: Records, matches: Matches, bounds: Bounds, name: str, *, descending: bool
) -> list[int]:
    """Order by one property, without a value last and ties by id."""
    ids = list(matches.ids(bounds))
    if name in {"", "hs_object_id"}:
        return ids[::-1]
    definition = definition_of(records, name)
    keys: dict[int, Any] = {}
    for each in ids:
        place = None if each in records.indexed else records.base.position(each)
        if place is not None and name == records.type.modified:
            keys[each] = records.base.updated[place]
            continue
        value = comparable(definition, _indexed_value(records, each, name))
        if value is not None:
            keys[each] = value
    valued = sorted(
        (each for each in ids if each in keys), key=keys.__getitem__, reverse=descending
    )
    return valued + [each for each in ids if each not in keys]
