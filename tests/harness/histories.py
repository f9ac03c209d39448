"""What the simulator knows of the past, told as the tap's streams of histories tell it."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hubspot_client.clock import milliseconds, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubspot_simulator import Portal

    from harness.singer import Row


def told(rows: Iterable[Row]) -> set[tuple[Any, ...]]:
    """Rows of a property history as (record, property, epoch milliseconds, place, text)."""
    return {
        (
            r["record_id"],
            r["property"],
            milliseconds(parse_time(r["timestamp"])),
            r["sequence"],
            r["value"] or "",
        )
        for r in rows
    }


def true_history(
    portal: Portal, names: Iterable[str], *, of: Iterable[str], object_type: str = "deals"
) -> set[tuple[Any, ...]]:
    """The same of some records, from the simulator's own and uncut memory."""
    records = portal.records(object_type)
    found = set()
    for record_id in of:
        end = records.histories.ends.get(int(record_id))
        record = end.record if end else records.get(int(record_id))
        assert record is not None
        for name in names:
            places: dict[int, int] = {}
            for version in records.histories.of(record, name):
                place = places[version.at] = places.get(version.at, -1) + 1
                found.add((record_id, name, version.at, place, version.value))
    return found


def stay_faults(rows: Iterable[Row], deals: dict[str, Row]) -> list[str]:
    """Which rules the stays break: they touch, add up, and the last one is the record's own."""
    by_record: dict[str, list[Row]] = {}
    for row in rows:
        by_record.setdefault(row["record_id"], []).append(row)
    found = []
    for record_id, stays in by_record.items():
        stays.sort(key=lambda row: str(row["entered_at"]))
        for before, after in itertools.pairwise(stays):
            if before["left_at"] != after["entered_at"]:
                found.append(f"{record_id}: a gap or an overlap at {after['entered_at']}")
            passed = parse_time(after["entered_at"]) - parse_time(before["entered_at"])
            if before["seconds"] != Decimal(str(passed.total_seconds())):
                found.append(f"{record_id}: {before['seconds']} seconds instead of {passed}")
        last, deal = stays[-1], deals[record_id]
        own = {(deal["pipeline"], deal["dealstage"]), (None, None)}  # no value where merged
        if last["left_at"] is not None or (last["pipeline"], last["stage"]) not in own:
            found.append(f"{record_id}: the last stay is not the record's own")
    found += [f"{deal} has no stay" for deal in deals.keys() - by_record.keys()]
    return found
