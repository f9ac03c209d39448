"""Which values a record's properties had, since when and by whom; also of records that are gone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hubspot_simulator.instants import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hubspot_simulator.record import Record

# HubSpot's knowledge base, "property history": 45 versions of a contact's property, 20 of others'.
CONTACT_VERSIONS = 45
USER = 1001


@dataclass(frozen=True)
class Source:
    """Who changed a value, in HubSpot's words."""

    type: str = "CRM_UI"
    id: str | None = f"userId:{USER}"
    user: int | None = USER


BY_HAND = Source()
CALCULATED = Source("CALCULATED", "RollupProperties", None)
MERGED = Source("MERGE_OBJECTS", "MergeObjects", None)


@dataclass(frozen=True)
class Version:
    """One value, and from when on it stood; a cleared one is an empty text."""

    value: str
    at: int
    source: Source = BY_HAND

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "value": self.value,
            "timestamp": iso(self.at),
            "sourceType": self.source.type,
        }
        if self.source.id is not None:
            found["sourceId"] = self.source.id
        if self.source.user is not None:
            found["updatedByUserId"] = self.source.user
        return found


@dataclass(frozen=True)
class End:
    """A record as it was when it was merged away or deleted."""

    record: Record
    at: int


class Histories:
    """The histories of one object type's records.

    What never changed is not kept: it stands since the record began.
    """

    def __init__(self) -> None:
        self._versions: dict[int, dict[str, list[Version]]] = {}
        self._began: dict[int, tuple[int, Source]] = {}
        self.ends: dict[int, End] = {}
        self.binned: dict[int, list[tuple[int, bool]]] = {}

    def begin(self, object_id: int, at: int, source: Source) -> None:
        """Let a record's first values stand since another time than that of its creation."""
        self._began[object_id] = (at, source)

    def note(
        self, before: Record, after: Mapping[str, str | None], at: int, source: Source
    ) -> None:
        """Note the values that a write changed."""
        of_record = self._versions.setdefault(before.id, {})
        for name, value in after.items():
            old = before.properties.get(name)
            if (value or "") == (old or ""):
                continue
            if name not in of_record:
                of_record[name] = self._first(before, old)
            versions = of_record[name]
            versions.append(Version(value or "", at, source))
            if len(versions) > 1 and versions[-2].at > at:
                versions.sort(key=lambda each: each.at)

    def bin(self, object_id: int, at: int, *, archived: bool) -> None:
        """Note that a record went into the recycle bin, or came back."""
        self.binned.setdefault(object_id, []).append((at, archived))

    def end(self, record: Record, at: int) -> None:
        self.ends[record.id] = End(record, at)

    def of(self, record: Record, name: str) -> list[Version]:
        """All versions of one property, the oldest first."""
        kept = self._versions.get(record.id, {}).get(name)
        return self._first(record, record.properties.get(name)) if kept is None else kept

    def _first(self, record: Record, value: str | None) -> list[Version]:
        if value is None:
            return []
        at, source = self._began.get(record.id, (record.created_ms, BY_HAND))
        return [Version(value, at, source)]

    def at(self, record: Record, moment: int, names: Iterable[str]) -> Record | None:
        """Some of a record's values at a moment; None where it was not there, or in the bin."""
        began, _ = self._began.get(record.id, (record.created_ms, BY_HAND))
        end = self.ends.get(record.id)
        if moment < began or (end is not None and end.at <= moment):
            return None
        past = [archived for at, archived in self.binned.get(record.id, ()) if at <= moment]
        if past and past[-1]:
            return None
        values = {
            name: next((v.value for v in reversed(self.of(record, name)) if v.at <= moment), None)
            for name in names
        }
        return replace(record, properties=values, archived_ms=None)


def history_json(
    histories: Histories, record: Record, names: Iterable[str], limit: int
) -> dict[str, list[dict[str, Any]]]:
    """The newest versions of some properties as HubSpot gives them, the newest first."""
    found = {}
    for name in names:
        versions = histories.of(record, name)
        if versions:
            found[name] = [each.as_json() for each in versions[::-1][:limit]]
    return found
