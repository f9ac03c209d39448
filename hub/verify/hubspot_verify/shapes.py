"""The fields of one type's records, and what of them is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hubspot_verify.values import JSON, canonical, kind_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hubspot_verify.tables import Row

APART = frozenset({"read_at", "associations"})
"""When a record was read is no value of HubSpot's; links are compared one by one."""


class Place(NamedTuple):
    """Where a value stands: a field, or a part of one that is an object; and what it is."""

    field: str
    inner: str | None
    kind: str


class Shape:
    """What is compared.

    Args:
        schema: The JSON schemas of the fields.
        newer: Fields, or parts of objects, that the copy need not have yet.
    """

    def __init__(self, schema: Mapping[str, Any], newer: Collection[tuple[str, ...]]) -> None:
        self.kinds = {name: kind_of(each) for name, each in schema.items() if name not in APART}
        self.places: list[Place] = []
        for name, kind in self.kinds.items():
            parts = schema[name].get("properties")
            found = [Place(name, part, JSON) for part in parts] if parts else []
            found = found or [Place(name, None, kind)]
            self.places += [place for place in found if place[: 1 + bool(parts)] not in newer]
        if "associations" in schema:
            self.kinds["associations"] = JSON

    def of_record(self, record: Mapping[str, Any]) -> list[str | None]:
        """The values of a record, place by place."""
        return [canonical(place.kind, _value(place, record)) for place in self.places]

    def of_row(self, row: Row, record: Mapping[str, Any]) -> list[str | None]:
        """The values of a row; of what the record does not tell, nothing."""
        return [
            canonical(place.kind, _value(place, row.values)) if place.field in record else None
            for place in self.places
        ]

    def differing(self, record: Mapping[str, Any], row: Row) -> list[str]:
        """The names of the properties and fields in which a row is not as a record."""
        pairs = zip(self.places, self.of_record(record), self.of_row(row, record), strict=True)
        return [place.inner or place.field for place, one, other in pairs if one != other]


def _value(place: Place, values: Mapping[str, Any]) -> Any:
    value = values.get(place.field)
    if place.inner is None:
        return value
    return value.get(place.inner) if isinstance(value, dict) else None
