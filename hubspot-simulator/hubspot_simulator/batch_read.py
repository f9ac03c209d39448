"""Batch read: up to a hundred records by id, in no particular order."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from hubspot_simulator.encoding import Encoder, results
from hubspot_simulator.errors import Answer, invalid
from hubspot_simulator.instants import iso
from hubspot_simulator.listing import HISTORY_PAGE_LIMIT, PAGE_LIMIT, find_by, told_history

if TYPE_CHECKING:
    from hubspot_simulator.call import Call
    from hubspot_simulator.records import Records


def inputs_of(call: Call, limit: int, message: str) -> list[dict[str, Any]]:
    inputs = call.body.get("inputs")
    if not isinstance(inputs, list) or not all(
        isinstance(each, dict) and "id" in each for each in inputs
    ):
        raise invalid("Invalid input JSON: some required fields were not set: [inputs]")
    call.summary["inputs"] = len(inputs)
    if len(inputs) > limit:
        raise invalid(
            f"The maximum number of inputs supported in a batch{message} is {limit}. "
            "Please reduce the number of items and try again"
        )
    return inputs


def batch_times(call: Call) -> dict[str, str]:
    now = iso(call.portal.clock.now_ms())
    return {"startedAt": now, "completedAt": now}


def multi_status(call: Call) -> int:
    """Some inputs failed: 207; since 2026-09 the same body with 200 (OpenAPI files)."""
    return 200 if call.is_dated and call.version >= "2026-09" else 207


def batch_read(call: Call) -> Answer:
    records = call.readable()
    with_history = call.body.get("propertiesWithHistory") or []
    call.require_sensitive(records, call.body.get("properties") or [])
    call.summary["histories"] = len(with_history)
    if with_history:
        inputs = inputs_of(call, HISTORY_PAGE_LIMIT, " request for property histories")
    else:
        inputs = inputs_of(call, PAGE_LIMIT, "")
    asked = [str(each["id"]) for each in inputs]
    wanted = records.is_archived if call.flag("archived") else records.is_live
    found: dict[int, None] = {}
    missing = []
    for each in dict.fromkeys(asked):
        number = _find(call, records, each)
        if number is None or not wanted(number):
            missing.append(each)
        else:
            found[number] = None
    ids = list(found)
    if call.portal.behaviour.batch_forgets_every:
        del ids[:: call.portal.behaviour.batch_forgets_every]
    if call.portal.behaviour.shuffled_batches:
        Random(f"{call.portal.portal_id}:{asked}").shuffle(ids)
    extras = {
        each: {"propertiesWithHistory": told_history(call, records, record, with_history)}
        for each in ids
        if with_history and (record := records.get(each))
    }
    encoder = Encoder(call.portal.portal_id, records, call.body.get("properties") or [])
    more: dict[str, Any] = {"status": "COMPLETE", **batch_times(call)}
    if missing:
        kind = records.type.singular.upper()
        more["numErrors"] = 1
        more["errors"] = [
            {
                "status": "error",
                "category": "OBJECT_NOT_FOUND",
                "message": f"Could not get some {kind} objects, they may be deleted or not exist. "
                "Check that ids are valid.",
                "context": {"ids": missing},
            }
        ]
    body = results(encoder.encode(ids, extras), **more)
    return Answer(body, multi_status(call) if missing else 200)


def _find(call: Call, records: Records, asked: str) -> int | None:
    by = call.body.get("idProperty")
    if by and by != "hs_object_id":
        found = find_by(records, by, asked)
        return found.id if found else None
    if not asked.isdecimal():
        return None
    number = int(asked)
    if call.portal.behaviour.batch_resolves_merged:
        number = records.survivor(number)
    return number
