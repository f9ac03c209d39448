"""Which live record has a unique value: an index that is built when it is first asked.

An address of a contact identifies it, whether primary or one of `hs_additional_emails`. Addresses
are compared in lower case; other unique values as they are. Sources: HubSpot's guide to contacts;
secondary addresses as RudderStack's live tests and Segment's code treat them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EMAIL = "email"
ADDITIONAL = "hs_additional_emails"


def normal(name: str, value: str) -> str:
    return value.strip().lower() if name == EMAIL else value


def values_of(name: str, properties: dict[str, str | None]) -> list[str]:
    """Give the values by which a record is known under a unique property."""
    values = [properties.get(name) or ""]
    if name == EMAIL:
        values += (properties.get(ADDITIONAL) or "").split(";")
    return [normal(name, value) for value in values if value]


class Keys:
    """The unique values of one object type's live records."""

    def __init__(self) -> None:
        self._ids: dict[str, dict[str, int]] = {}

    def knows(self, name: str) -> bool:
        return name in self._ids

    def build(self, name: str, found: Iterable[tuple[int, dict[str, str | None]]]) -> None:
        ids: dict[str, int] = {}
        for object_id, properties in found:
            for value in values_of(name, properties):
                ids.setdefault(value, object_id)
        self._ids[name] = ids

    def find(self, name: str, value: str) -> int | None:
        return self._ids[name].get(normal(name, value))

    def forget(self, object_id: int, properties: dict[str, str | None]) -> None:
        for name, ids in self._ids.items():
            for value in values_of(name, properties):
                if ids.get(value) == object_id:
                    del ids[value]

    def add(self, object_id: int, properties: dict[str, str | None]) -> None:
        for name, ids in self._ids.items():
            for value in values_of(name, properties):
                ids.setdefault(value, object_id)
