"""One record or one property definition at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hubspot_simulator.call import Call, encode
from hubspot_simulator.encoding import Encoder
from hubspot_simulator.errors import Answer, ApiError, invalid
from hubspot_simulator.listing import find
from hubspot_simulator.write_log import Write
from hubspot_simulator.writing.batches import BATCH_LIMIT
from hubspot_simulator.writing.failures import Failure, refusal
from hubspot_simulator.writing.inputs import record_inputs
from hubspot_simulator.writing.records import Prepared, RecordWriter
from hubspot_simulator.writing.scopes import schema_write_scopes, writable

if TYPE_CHECKING:
    from hubspot_simulator.record import Record
    from hubspot_simulator.records import Records


def create_record(call: Call) -> Answer:
    records = writable(call)
    return _write(call, records, None, status=201)


def update_record(call: Call) -> Answer:
    """Update by id, which a merged-away one is too, or by a unique property."""
    records = writable(call)
    record = find(call, records, call.path["object_id"], archived=False)
    return _write(call, records, record, status=200)


def archive_record(call: Call) -> Answer:
    """Archive; an id without a record is no error (observed)."""
    records = writable(call)
    object_id = call.path["object_id"]
    if object_id.isdecimal() and records.is_live(int(object_id)):
        RecordWriter(call, records).archive(int(object_id))
    return Answer(b"", 204)


def _write(call: Call, records: Records, record: Record | None, *, status: int) -> Answer:
    properties = call.body.get("properties")
    if not isinstance(properties, dict):
        raise invalid("Invalid input JSON: some required fields were not set: [properties]")
    writer = RecordWriter(call, records)
    trace_id = call.body.get("objectWriteTraceId")
    try:
        prepared: Prepared = writer.prepare(
            properties,
            record=record,
            trace_id=trace_id,
            associations=call.body.get("associations"),
        )
    except Failure as failure:
        error = refusal([failure])
        error.body.pop("context", None)  # of a conflict the id stands in the text only
        raise error from None
    done = writer.write(prepared)
    names = [*prepared.values, *records.type.defaults]
    return Answer(Encoder(call.portal.portal_id, records, names).encode_record(done.record), status)


def define_property(call: Call) -> Answer:
    return Answer(encode(_defined(call, call.body)), 201)


def define_properties(call: Call) -> Answer:
    found = [_defined(call, each) for each in record_inputs(call, BATCH_LIMIT, "name")]
    now = (
        {"startedAt": found[0]["createdAt"], "completedAt": found[0]["updatedAt"]} if found else {}
    )
    body = {"status": "COMPLETE", "results": found, **now}
    return Answer(encode(body), 200 if call.is_dated else 201)


def change_property(call: Call) -> Answer:
    """Change the options of a property: those that are sent are all that it has then."""
    object_type = call.object_type()
    call.credential.require(schema_write_scopes(object_type))
    name, definitions = call.path["name"], call.portal.definitions(object_type.name)
    if name not in definitions:
        raise ApiError(404, f"Property '{name}' does not exist.", category="OBJECT_NOT_FOUND")
    options = tuple(each["value"] for each in call.body.get("options") or [])
    if len(set(options)) < len(options):
        raise invalid("Property option values must be unique")
    if "options" in call.body:
        now = call.portal.clock.now_ms()
        definitions.put(replace(definitions[name], options=options, updated_ms=now))
    call.portal.writes.append(Write("redefined", object_type.name, name))
    return Answer(encode(definitions[name].as_json(-1)), 200)


def _defined(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """Define a property; the name of an archived one brings that one back (observed)."""
    object_type = call.object_type()
    call.credential.require(schema_write_scopes(object_type))
    missing = [each for each in ("name", "type", "fieldType", "label") if not body.get(each)]
    if missing:
        raise invalid(f"Invalid input JSON: some required fields were not set: {missing}")
    name, definitions = body["name"], call.portal.definitions(object_type.name)
    if name in definitions:
        raise ApiError(
            409,
            f"A property named '{name}' already exists.",
            category="OBJECT_ALREADY_EXISTS",
            subCategory="Properties.PROPERTY_WITH_NAME_EXISTS",
        )
    call.portal.add_property(
        object_type.name,
        name,
        body["type"],
        field_type=body["fieldType"],
        options=[each["value"] for each in body.get("options") or []],
        has_unique_value=bool(body.get("hasUniqueValue")),
    )
    call.portal.writes.append(Write("defined", object_type.name, name))
    return definitions[name].as_json(-1)
