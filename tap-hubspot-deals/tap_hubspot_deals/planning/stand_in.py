"""A stand-in for HubSpot: it is asked as HubSpot is, and answers from what is imagined.

It knows the requests that reading makes, and no others. Its answers have the form of HubSpot's, so
that all that decides what is asked next is the reader's own code.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
from hubspot_client.client import Client
from hubspot_client.errors import HubSpotError
from typing_extensions import override

from tap_hubspot_deals.reading.legs import BAD_REQUEST
from tap_hubspot_deals.reading.objects import PER_VALUE
from tap_hubspot_deals.reading.progress import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubspot_client.object_types import ObjectType

    from tap_hubspot_deals.planning.imagined import Imagined
    from tap_hubspot_deals.planning.timeline import Timeline
    from tap_hubspot_deals.reading.link_keys import LinkKey
    from tap_hubspot_deals.reading.objects import ObjectReader
    from tap_hubspot_deals.settings import Filters

T = TypeVar("T")
NOT_FOUND = 404
TOP = 10**18


@dataclass
class _Search:
    """What one search asks for: the ranges of ids, and how else it narrows them."""

    ranges: list[tuple[int, int]]
    having: frozenset[str]
    window: Window | None
    filtered: bool


class StandIn(Client):
    """Answers in HubSpot's place.

    Args:
        hubspot: Whose paths and clock are used; it is asked nothing from here.
        reader: What is read of the object type.
        imagined: Its records.
        filters: The user's.
        linked: The object types that links lead to.
        timeline: Where time passes.

    Attributes:
        asked: Requests by family and, those for links, by the object type that they lead to.
    """

    def __init__(
        self,
        hubspot: Client,
        reader: ObjectReader,
        imagined: Imagined,
        filters: Filters,
        linked: Sequence[ObjectType],
        timeline: Timeline,
    ) -> None:
        # Not the client's own: that would open budgets and connections.
        self.paths, self.clock = hubspot.paths, hubspot.clock
        self.asked: Counter[tuple[str, str]] = Counter()
        self._type = reader.object_type
        self._properties = len(reader.properties)
        self._imagined = imagined
        self._timeline = timeline
        self._passing = _passing(self._type, filters)
        self._failing = _failing(self._type, filters)
        self._weighed: dict[tuple[bool, int], dict[str, str]] = {}
        self._deep: dict[tuple[int, str], list[list[LinkKey]]] = {}
        own = self._type.in_paths
        self._to = {self.paths.associations(own, t.in_paths): t.name for t in linked}

    @override
    def get(self, path: str, *, family: str, what: str, shape: type[T], **params: str | int) -> T:
        self._count(family)
        if path != self.paths.objects(self._type.in_paths):
            raise HubSpotError(f"There is no {what}.", status=NOT_FOUND)
        archived = params.get("archived") == "true"
        ids = self._imagined.archived if archived else self._imagined.live
        start = bisect_left(ids, int(params.get("after", 0)))
        end = start + int(params["limit"])
        named = str(params["properties"]).count(",") + 1
        answer: dict[str, Any] = {
            "results": self._records(ids[start:end], named, archived=archived)
        }
        if end < len(ids):
            answer["paging"] = {"next": {"after": str(ids[end])}}
        return msgspec.convert(answer, shape)

    @override
    def post(
        self,
        path: str,
        body: Any,
        *,
        family: str,
        what: str,
        shape: type[T],
        repeatable: bool = True,
        method: Literal["POST", "PATCH"] = "POST",
    ) -> T:
        self._count(family, self._to.get(path, ""))
        if path in self._to:
            answer = self._links(body["inputs"], self._to[path])
        elif path == self.paths.search(self._type.in_paths):
            answer = self._found(body, what)
        else:
            answer = self._by_id(body, archived=path.endswith("archived=true"))
        return msgspec.convert(answer, shape)

    def _count(self, family: str, to_type: str = "") -> None:
        self.asked[family, to_type] += 1
        self._timeline.ask(family)

    def _found(self, body: dict[str, Any], what: str) -> dict[str, Any]:
        if not self._imagined.counts.is_searchable:
            raise HubSpotError(f"There is no {what}.", status=BAD_REQUEST)
        search = _search_of(body, self._type)
        ids = self._ids_of(search)
        spans = [(bisect_left(ids, low), bisect_right(ids, high)) for low, high in search.ranges]
        total = sum(max(0, end - start) for start, end in spans)
        limit = body["limit"]
        if body["sorts"][0]["direction"] == "DESCENDING":
            chosen = [ids[end - 1] for start, end in spans[::-1] if end > start][:1]
        else:
            chosen = []
            for start, end in spans:
                chosen += ids[start : min(end, start + limit - len(chosen))]
        return {"total": total, "results": self._records(chosen, len(body["properties"]))}

    def _ids_of(self, search: _Search) -> list[int]:
        imagined = self._imagined
        if search.having:
            return imagined.having(search.having, filtered=search.filtered)
        if search.window is not None:
            return imagined.changed(search.window)
        return imagined.asked_for if search.filtered else imagined.live

    def _by_id(self, body: dict[str, Any], *, archived: bool) -> dict[str, Any]:
        asked = [int(each["id"]) for each in body["inputs"]]
        there = [i for i in asked if self._imagined.is_there(i, archived=archived)]
        records = self._records(there, len(body["properties"]), archived=archived)
        missing = [str(i) for i in {*asked} - {*there}]
        error = {"category": "OBJECT_NOT_FOUND", "context": {"ids": missing}}
        return {"results": records, "errors": [error] if missing else []}

    def _links(self, inputs: list[dict[str, str]], to_type: str) -> dict[str, Any]:
        results = []
        for each in inputs:
            number, place = int(each["id"]), int(each.get("after", 0))
            key = (number, to_type)
            pages = self._deep[key] if place else self._imagined.links(number, to_type)
            if not pages:
                continue
            result: dict[str, Any] = {"from": {"id": each["id"]}, "to": _targets(pages[place])}
            if place + 1 < len(pages):
                self._deep[key] = pages
                result["paging"] = {"next": {"after": str(place + 1)}}
            results.append(result)
        return {"results": results}

    def _records(
        self, ids: Sequence[int], properties: int, *, archived: bool = False
    ) -> list[dict[str, Any]]:
        whole = properties >= self._properties
        found: list[dict[str, Any]] = [{"id": str(i)} for i in ids]
        for number, record in zip(ids, found, strict=True):
            record["properties"] = self._values(number, whole=whole, archived=archived)
            if archived:
                record["archived"] = True
        return found

    def _values(self, number: int, *, whole: bool, archived: bool) -> dict[str, str]:
        passes = self._imagined.passes(number, archived=archived)
        weight = self._imagined.weight(number) if whole else 0
        if (passes, weight) not in self._weighed:
            own = self._passing if passes else self._failing
            self._weighed[passes, weight] = _weighing(own, weight) if weight else own
        return self._weighed[passes, weight]


def _search_of(body: dict[str, Any], object_type: ObjectType) -> _Search:
    """What a search of ours asks for; its groups differ in ids and in HAS_PROPERTY alone."""
    ranges: dict[tuple[int, int], None] = {}
    search = _Search([], frozenset(), None, filtered=False)
    for group in body["filterGroups"] or [{"filters": []}]:
        low, high = 0, TOP
        for one in group["filters"]:
            name, value = one["propertyName"], one.get("value", "")
            if one["operator"] == "HAS_PROPERTY":
                search.having |= {name}
            elif name == "hs_object_id":
                between = one["operator"] == "BETWEEN"
                low = int(value) if between else int(value) + 1
                high = int(one["highValue"]) if between else TOP
            elif name == object_type.modified:
                search.window = Window(int(value), int(one["highValue"]))
            else:
                search.filtered = True
        ranges[low, high] = None
    search.ranges = list(ranges)
    return search


def _passing(object_type: ObjectType, filters: Filters) -> dict[str, str]:
    """Properties of a record that passes the filters."""
    pipeline, stage = object_type.pipeline or ("pipeline", "stage")
    created = filters.created_from if filters.created_from is not None else filters.created_until
    return {
        pipeline: filters.pipeline or "",
        stage: filters.stage or "",
        object_type.created: "" if created is None else str(created),
    }


def _failing(object_type: ObjectType, filters: Filters) -> dict[str, str]:
    """Properties of a record that passes none of them."""
    until = filters.created_until
    created = "" if until is None else str(until + 1)
    created = created if filters.created_from is None else "0"
    return dict.fromkeys(_passing(object_type, filters), "") | {object_type.created: created}


def _weighing(properties: dict[str, str], weight: int) -> dict[str, str]:
    """The same, with so many bytes as `ObjectPage.weight` reckons them."""
    own = sum(PER_VALUE + len(value) for value in properties.values())
    return {**properties, "": "x" * max(0, weight - own - PER_VALUE)}


def _targets(page: list[LinkKey]) -> list[dict[str, Any]]:
    """The links of a page in the form of HubSpot's answer."""
    targets: dict[str, list[dict[str, Any]]] = {}
    for _, to_id, category, type_id in page:
        targets.setdefault(to_id, []).append({"category": category, "typeId": type_id})
    return [{"toObjectId": to_id, "associationTypes": types} for to_id, types in targets.items()]
