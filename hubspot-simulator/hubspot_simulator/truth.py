"""What a portal holds, told without HTTP: the measure for everything that was read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hubspot_simulator.instants import iso

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubspot_simulator.record import Record
    from hubspot_simulator.records import Records


@dataclass(frozen=True)
class TrueRecord:
    """One record, with the raw value of every property that is defined now."""

    id: str
    properties: dict[str, str | None]
    created_at: str
    updated_at: str
    archived: bool
    archived_at: str | None


@dataclass(frozen=True)
class TrueLink:
    """One type of one link; a link with two types is two of these."""

    from_id: str
    to_id: str
    category: str
    type_id: int
    label: str | None


@dataclass(frozen=True)
class Truth:
    """All records of one object type, by id."""

    live: dict[str, TrueRecord]
    archived: dict[str, TrueRecord]
    merged: dict[str, str]
    deleted: set[str]

    def as_json(self) -> dict[str, Any]:
        return {
            "live": [asdict(record) for record in self.live.values()],
            "archived": [asdict(record) for record in self.archived.values()],
            "merged": self.merged,
            "deleted": sorted(self.deleted, key=int),
        }


def true_record(record: Record, names: list[str]) -> TrueRecord:
    return TrueRecord(
        str(record.id),
        {name: record.properties.get(name) for name in names},
        iso(record.created_ms),
        iso(record.updated_ms),
        record.archived_ms is not None,
        None if record.archived_ms is None else iso(record.archived_ms),
    )


def truth_at(
    records: Records, moment: int, only: Iterable[str] | None = None
) -> dict[str, TrueRecord]:
    """The records that were there at a moment, gone ones included, as they were then."""
    names = records.definitions.names() if only is None else list(only)
    ids = [*records.ids_from(), *records.ids_from(archived=True)]
    last = [*map(records.get, ids), *(end.record for end in records.histories.ends.values())]
    then = (records.histories.at(record, moment, names) for record in last if record is not None)
    return {str(each.id): true_record(each, names) for each in then if each is not None}


def truth_of(records: Records) -> Truth:
    names = records.definitions.names()

    def tell(*, archived: bool) -> dict[str, TrueRecord]:
        found = map(records.get, records.ids_from(archived=archived))
        return {str(each.id): true_record(each, names) for each in found if each is not None}

    return Truth(
        tell(archived=False),
        tell(archived=True),
        {str(old): str(records.survivor(old)) for old in sorted(records.merged)},
        {str(each) for each in records.deleted},
    )
