"""Which records a search finds, without looking at each of a million."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from hubspot_simulator.errors import invalid
from hubspot_simulator.filters import filter_test, wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hubspot_simulator.columns import Test
    from hubspot_simulator.properties import PropertyDefinition
    from hubspot_simulator.record import Record
    from hubspot_simulator.records import Records

FOREVER = 1 << 60
RANGES: dict[str, Callable[[int], tuple[int, int]]] = {
    "EQ": lambda value: (value, value),
    "GT": lambda value: (value + 1, FOREVER),
    "GTE": lambda value: (value, FOREVER),
    "LT": lambda value: (-FOREVER, value - 1),
    "LTE": lambda value: (-FOREVER, value),
}
Filter = dict[str, Any]
Bounds = tuple[int, int]
ANY: Bounds = (-FOREVER, FOREVER)


def definition_of(records: Records, name: str) -> PropertyDefinition:
    definition = records.definitions.get(name)
    if definition is None or definition.archived:
        raise invalid(f"There was a problem with the request. Property {name!r} does not exist")
    return definition


def bounds_of(definition: PropertyDefinition, filters: Iterable[Filter]) -> Bounds:
    """Intersect range filters on an integer-valued property."""
    low, high = ANY
    for each in filters:
        first = int(wanted(definition, each["value"]))
        if each["operator"] == "BETWEEN":
            bottom, top = first, int(wanted(definition, each["highValue"]))
        else:
            bottom, top = RANGES[each["operator"]](first)
        low, high = max(low, bottom), min(high, top)
    return low, high


def is_range(each: Filter, name: str) -> bool:
    return each["propertyName"] == name and (
        each["operator"] in RANGES or each["operator"] == "BETWEEN"
    )


@dataclass
class Matches:
    """Found records: generated ones by position, less the replaced ones, and written ones by id."""

    records: Records
    positions: Sequence[int]
    replaced: list[int]
    written: list[int]

    def _spans(self, bounds: Bounds) -> tuple[range, range, range]:
        base = self.records.base
        low, high = max(bounds[0], 0), min(bounds[1], FOREVER) + 1
        first, last = base.lower_bound(low), base.lower_bound(high)
        return (
            range(bisect_left(self.positions, first), bisect_left(self.positions, last)),
            range(bisect_left(self.replaced, first), bisect_left(self.replaced, last)),
            range(bisect_left(self.written, low), bisect_left(self.written, high)),
        )

    def count(self, bounds: Bounds) -> int:
        found, replaced, written = self._spans(bounds)
        return len(found) - len(replaced) + len(written)

    def ids(self, bounds: Bounds = ANY) -> Iterator[int]:
        found, _, written = self._spans(bounds)
        indexed, id_at = self.records.indexed, self.records.base.id_at
        generated = map(id_at, islice(self.positions, found.start, max(found.start, found.stop)))
        kept = (each for each in generated if each not in indexed)
        return merge(kept, self.written[written.start : written.stop])


def match_group(records: Records, filters: list[Filter]) -> Matches:
    """Find what passes all filters."""
    key = (records.definitions.version, msgspec.json.encode(filters))
    tests = [
        (each["propertyName"], filter_test(definition_of(records, each["propertyName"]), each))
        for each in filters
    ]
    positions = records.cached(("base", *key), lambda: _generated(records, filters, tests))

    def written() -> tuple[list[int], list[int]]:
        found = [
            each
            for each, record in records.indexed.items()
            if record is not None and _passes(record, tests)
        ]
        places = (records.base.position(each) for each in records.indexed)
        replaced = [place for place in places if place is not None and _holds(positions, place)]
        return sorted(found), sorted(replaced)

    found, replaced = records.cached(("written", records.index_version, *key), written)
    return Matches(records, positions, replaced, found)


def restrict(records: Records, matches: Matches, ids: Iterable[int]) -> Matches:
    """Keep of the found records those with these ids."""
    wanted_ids = set(ids)
    return of_ids(records, [each for each in matches.ids() if each in wanted_ids])


def of_ids(records: Records, ids: Iterable[int]) -> Matches:
    """Make matches of ids that search knows to be there."""
    positions, written = [], []
    for each in sorted(set(ids)):
        place = None if each in records.indexed else records.base.position(each)
        if place is None:
            written.append(each)
        else:
            positions.append(place)
    return Matches(records, positions, [], written)


def _holds(positions: Sequence[int], place: int) -> bool:
    found = bisect_left(positions, place)
    return found < len(positions) and positions[found] == place


def _passes(record: Record, tests: list[tuple[str, Test]]) -> bool:
    get = record.properties.get
    return all(test(get(name)) for name, test in tests)


def _generated(
    records: Records, filters: list[Filter], tests: list[tuple[str, Test]]
) -> Sequence[int]:
    """Find generated records: date windows by index, the rest by column."""
    base, modified, created = records.base, records.type.modified, records.type.created
    positions: Sequence[int] = range(base.count)
    windows = [each for each in filters if is_range(each, created)]
    if windows and base.count:
        low, high = bounds_of(definition_of(records, created), windows)
        first, last = bisect_left(base.created, low), bisect_right(base.created, high)
        positions = range(first, max(first, last))
    changes = [each for each in filters if is_range(each, modified)]
    if changes and base.count:
        low, high = bounds_of(definition_of(records, modified), changes)
        within = base.updated_between(low, high)
        if len(within) < base.count:
            keep = positions
            positions = [each for each in within if each in keep] if windows else within
    for each in filters:
        if each["propertyName"] == "hs_object_id" and each["operator"] == "IN":
            asked = {str(value) for value in each["values"]}
            places = (base.position(int(value)) for value in asked if value.isdecimal())
            known = sorted(place for place in places if place is not None)
            positions = [place for place in known if _holds(positions, place)]
    for each, (name, test) in zip(filters, tests, strict=True):
        if each in windows or each in changes:
            continue
        column = base.columns.get(name)
        if column is None:
            positions = positions if test(None) else []
        elif len(positions):
            passes = column.matcher(test)
            positions = [place for place in positions if passes(place)]
    return positions
