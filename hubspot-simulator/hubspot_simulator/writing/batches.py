"""Batches of records: create, update, upsert, archive."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from hubspot_simulator.batch_read import batch_times
from hubspot_simulator.encoding import Encoder, results
from hubspot_simulator.errors import Answer
from hubspot_simulator.writing.failures import Failure, duplicate_ids, not_unique, refusal
from hubspot_simulator.writing.inputs import is_multi_status, record_inputs, status_with_errors
from hubspot_simulator.writing.records import Done, Prepared, RecordWriter
from hubspot_simulator.writing.scopes import writable

if TYPE_CHECKING:
    from hubspot_simulator.call import Call
    from hubspot_simulator.records import Records

BATCH_LIMIT = 100
Input = dict[str, Any]
Prepare = Callable[[RecordWriter, Input], Prepared]


def create_batch(call: Call) -> Answer:
    records = writable(call)
    inputs = record_inputs(call, BATCH_LIMIT, "properties")

    def prepare(writer: RecordWriter, each: Input) -> Prepared:
        return writer.prepare(
            each["properties"],
            record=None,
            trace_id=each.get("objectWriteTraceId"),
            associations=each.get("associations"),
        )

    return _written(call, records, inputs, prepare, status=201)


def update_batch(call: Call) -> Answer:
    records = writable(call)
    inputs = record_inputs(call, BATCH_LIMIT, "id", "properties")
    for each in inputs:
        name = each.get("idProperty")
        # By address too: HubSpot's Node client, issue 548.
        if name and (name == "email" or not RecordWriter(call, records).is_key(name)):
            raise not_unique(records.type, name)
    _refuse_duplicates([str(each["id"]) for each in inputs])
    # Without a key's name, an address as `id` is silently passed over (the same issue).
    named = [each for each in inputs if each.get("idProperty") or "@" not in str(each["id"])]

    def prepare(writer: RecordWriter, each: Input) -> Prepared:
        name, asked = each.get("idProperty"), str(each["id"])
        record = records.find_key(name, asked) if name else writer.by_id(asked)
        if record is None:
            raise Failure(404, "OBJECT_NOT_FOUND", "resource not found", context={"ids": [asked]})
        trace_id = each.get("objectWriteTraceId")
        return writer.prepare(each["properties"], record=record, trace_id=trace_id)

    return _written(call, records, named, prepare, status=200, names_missing=True)


def upsert_batch(call: Call) -> Answer:
    records = writable(call)
    inputs = record_inputs(call, BATCH_LIMIT, "id", "properties")
    keys = RecordWriter(call, records)
    for each in inputs:
        name = str(each.get("idProperty") or "hs_object_id")
        if not keys.is_key(name):
            raise not_unique(records.type, name)
    found = [records.find_key(each["idProperty"], str(each["id"])) for each in inputs]
    _refuse_duplicates([str(each["id"]) for each in inputs])
    if call.portal.behaviour.aliases_collide:
        _refuse_aliases(inputs, [None if each is None else each.id for each in found])

    def prepare(writer: RecordWriter, each: Input) -> Prepared:
        name, asked = each["idProperty"], str(each["id"])
        record = records.find_key(name, asked)
        properties = each["properties"]
        if record is None:
            properties = writer.keyed(name, asked, properties)
        trace_id = each.get("objectWriteTraceId")
        return writer.prepare(properties, record=record, trace_id=trace_id)

    return _written(call, records, inputs, prepare, status=200, tells_new=True)


def archive_batch(call: Call) -> Answer:
    """Archive; ids without a record are passed over."""
    records = writable(call)
    writer = RecordWriter(call, records)
    for each in record_inputs(call, BATCH_LIMIT, "id"):
        object_id = str(each["id"])
        if object_id.isdecimal() and records.is_live(int(object_id)):
            writer.archive(int(object_id))
    return Answer(b"", 204)


def _refuse_duplicates(ids: list[str]) -> None:
    seen, twice = set[str](), dict[str, None]()
    for each in ids:
        if each in seen:
            twice[each] = None
        seen.add(each)
    if twice:
        raise duplicate_ids(list(twice))


def _refuse_aliases(inputs: list[Input], found: list[int | None]) -> None:
    """Refuse two keys of one record, such as two addresses of one contact (inferred)."""
    first: dict[int, str] = {}
    for each, object_id in zip(inputs, found, strict=True):
        if object_id in first:
            raise duplicate_ids([str(each["id"])])
        if object_id is not None:
            first[object_id] = str(each["id"])


def _written(
    call: Call,
    records: Records,
    inputs: list[Input],
    prepare: Prepare,
    *,
    status: int,
    tells_new: bool = False,
    names_missing: bool = False,
) -> Answer:
    """Judge all inputs, then write the good ones, or none where one refuses the call."""
    writer = RecordWriter(call, records)
    good, bad = [], []
    for each in inputs:
        try:
            good.append(prepare(writer, each))
        except Failure as failure:
            bad.append((failure, each.get("objectWriteTraceId")))
    refusing = [failure for failure, _ in bad if not (names_missing and "ids" in failure.context)]
    if refusing and not is_multi_status(inputs):
        raise refusal(refusing)
    done = [writer.write(each) for each in good]
    call.summary |= {"written": len(done), "failed": len(bad)}
    body = results(_rows(call, records, done, tells_new=tells_new), **_errors(call, bad))
    return Answer(body, status_with_errors(call, status) if bad else status)


def _errors(call: Call, bad: list[tuple[Failure, str | None]]) -> dict[str, Any]:
    more: dict[str, Any] = {"status": "COMPLETE", **batch_times(call)}
    if bad:
        errors = [failure.as_error(trace_id) for failure, trace_id in bad]
        more |= {"numErrors": len(errors), "errors": errors}
    return more


def _rows(call: Call, records: Records, done: list[Done], *, tells_new: bool) -> list[bytes]:
    behaviour = call.portal.behaviour
    rows = []
    for each in done:
        more: dict[str, Any] = {"new": each.is_new} if tells_new else {}
        if each.prepared.trace_id is not None and behaviour.echo_trace_ids:
            more["objectWriteTraceId"] = each.prepared.trace_id
        if each.prepared.warnings:
            more["warnings"] = each.prepared.warnings
        names = [*each.prepared.values, *records.type.defaults]
        if tells_new:  # described without nulls, unlike the answers of create and update
            names = [name for name in names if each.record.properties.get(name) is not None]
        encoder = Encoder(call.portal.portal_id, records, names)
        rows.append(encoder.encode_record(each.record, {each.record.id: more}))
    if behaviour.shuffled_batches:
        Random(f"{call.portal.portal_id}:{len(call.portal.writes)}").shuffle(rows)
    return rows
