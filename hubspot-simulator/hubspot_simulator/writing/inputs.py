"""The inputs of a batch that writes: how many, in which shape, with which trace ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubspot_simulator.batch_read import multi_status
from hubspot_simulator.errors import invalid

if TYPE_CHECKING:
    from hubspot_simulator.call import Call


def many(call: Call, limit: int) -> list[dict[str, Any]]:
    """Read `inputs`, no more than HubSpot takes in one call."""
    inputs = call.body.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
        raise invalid("Invalid input JSON: some required fields were not set: [inputs]")
    call.summary["inputs"] = len(inputs)
    if len(inputs) > limit:
        raise invalid(
            f"The maximum number of inputs supported in a batch is {limit}. "
            "Please reduce the number of items and try again"
        )
    return inputs


def record_inputs(call: Call, limit: int, *required: str) -> list[dict[str, Any]]:
    inputs = many(call, limit)
    for each in inputs:
        missing = [name for name in required if each.get(name) is None]
        if missing:
            told = ", ".join(f'"{name}"' for name in missing)
            raise invalid(f"Invalid input JSON: some required fields were not set: [{told}]")
        if not isinstance(each.get("properties", {}), dict):
            raise invalid("Invalid input JSON: properties must be an object")
    return inputs


def is_multi_status(inputs: list[dict[str, Any]]) -> bool:
    """Whether one bad input leaves the others alone: every one has a trace id of its own."""
    ids = [each.get("objectWriteTraceId") for each in inputs]
    return all(isinstance(each, str) and each for each in ids) and len(set(ids)) == len(ids)


def status_with_errors(call: Call, ordinary: int) -> int:
    """Some inputs failed: 207, or the ordinary status since 2026-09, or what the portal says."""
    chosen = call.portal.behaviour.multi_status
    if chosen:
        return chosen
    return ordinary if multi_status(call) == 200 else 207
