"""The fields of one type's records, and what of them is compared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from hubspot_verify.values import JSON, both, decoded, kind_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hubspot_verify.tables import Row

APART = frozenset({"read_at", "associations"})
"""When a record was read is no value of HubSpot's; links are compared one by one."""


RAW = "raw"
"""HubSpot's own object, as one field."""


class Place(NamedTuple):
    """Where a value stands: a field, or a part of one that is an object; and what it is."""

    field: str
    inner: str | None
    kind: str


class Shape:
    """What is compared.

    Args:
        schema: The JSON schemas of the fields.
        elsewhere: Fields, or parts of objects, that the copy need not have as they are now.
    """

    def __init__(self, schema: Mapping[str, Any], elsewhere: Collection[tuple[str, ...]]) -> None:
        self.kinds = {name: kind_of(each) for name, each in schema.items() if name not in APART}
        self._elsewhere = {place[-1] for place in elsewhere}
        self.places: list[Place] = []
        for name, kind in self.kinds.items():
            parts = schema[name].get("properties")
            found = [Place(name, part, JSON) for part in parts] if parts else []
            found = found or [Place(name, None, kind)]
            self.places += [place for place in found if place[: 1 + bool(parts)] not in elsewhere]
        if "associations" in schema:
            self.kinds["associations"] = JSON

    def both(
        self, record: Mapping[str, Any], row: Row
    ) -> tuple[list[str | None], list[str | None]]:
        """The values of a record and those of a row, place by place; of what neither tells, None.

        What a record does not tell - an archived one says nothing of its links - is not compared.
        """
        if RAW in record:
            record, row = self._of_both(record, row)
        ours, theirs = [], []
        for place in self.places:
            if place.field not in record:
                pair: tuple[str | None, str | None] = (None, None)
            else:
                pair = both(place.kind, _value(place, record), _value(place, row.values))
            ours.append(pair[0])
            theirs.append(pair[1])
        return ours, theirs

    def differing(self, record: Mapping[str, Any], row: Row) -> list[str]:
        """The names of the properties and fields in which a row is not as a record."""
        pairs = zip(self.places, *self.both(record, row), strict=True)
        return [place.inner or place.field for place, one, other in pairs if one != other]

    def _of_both(self, record: Mapping[str, Any], row: Row) -> tuple[dict[str, Any], Row]:
        """Leave of HubSpot's own object the properties that the copy has, and that have a value."""
        raw, there = decoded(record[RAW]), row.values.get(RAW)
        names = raw.get("properties", {}).keys() - self._elsewhere
        cut = {**record, RAW: _cut(raw, names)}
        if not isinstance(there, dict):
            return cut, row
        return cut, replace(row, values={**row.values, RAW: _cut(there, names)})


def _cut(raw: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    own = raw.get("properties")
    kept = own
    if isinstance(own, dict):
        kept = {name: own.get(name) for name in sorted(names) if own.get(name) is not None}
    return {**raw, "properties": kept}


def _value(place: Place, values: Mapping[str, Any]) -> Any:
    value = values.get(place.field)
    if place.inner is None:
        return value
    return value.get(place.inner) if isinstance(value, dict) else None
