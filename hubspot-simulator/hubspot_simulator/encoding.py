"""Records as JSON: the asked properties, the ones that always come, and the envelope."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from hubspot_simulator.columns import fragment
from hubspot_simulator.instants import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hubspot_simulator.object_types import ObjectType
    from hubspot_simulator.record import Record
    from hubspot_simulator.records import Records


def properties_to_return(records: Records, asked: Iterable[str]) -> list[str]:
    """Choose what comes back: unknown names are ignored, some come always (observed)."""
    names = set(asked) or set(records.type.defaults)
    known = {name for name in names if name in records.definitions}
    return sorted(known | set(records.type.always))


def _envelope(portal_id: int, object_type: ObjectType, record: Record | None = None) -> bytes:
    """Give a template of what follows the properties, to be filled with dates and id."""
    archived = b'"archived":false'
    if record is not None and record.archived_ms is not None:
        archived = b'"archived":true,"archivedAt":"%s"' % iso(record.archived_ms).encode()
    url = f"https://app.hubspot.com/contacts/{portal_id}/record/{object_type.type_id}/"
    return (
        b'},"createdAt":"%b","updatedAt":"%b",' + archived + b',"url":"' + url.encode() + b'%d"%b}'
    )


def _json(values: dict[str, str | None]) -> bytes:
    try:
        return msgspec.json.encode(values)
    except UnicodeEncodeError:  # half a character can stand in JSON only as an escape
        return json.dumps(values, separators=(",", ":")).encode()


class Encoder:
    """Writes records of one type with one set of properties."""

    def __init__(self, portal_id: int, records: Records, asked: Iterable[str]) -> None:
        self.portal_id = portal_id
        self.records = records
        self.names = properties_to_return(records, asked)
        self._live = _envelope(portal_id, records.type)

    def encode(
        self,
        ids: Sequence[int],
        extras: dict[int, dict[str, Any]] | None = None,
        written: dict[int, Record | None] | None = None,
    ) -> list[bytes]:
        """Write records by id; `extras` are further keys of the envelope.

        `written` stands in for the writes so far, for a reader that lags behind.
        """
        records = self.records
        written = records.written if written is None else written
        rows: dict[int, bytes] = {}
        fresh = [each for each in ids if each not in written]
        found = ((each, records.base.position(each)) for each in fresh)
        placed = [(each, place) for each, place in found if place is not None]
        positions = [place for _, place in placed]
        base = records.base
        for (each, place), properties in zip(placed, self._generated(positions), strict=True):
            rows[each] = self._finish(
                each, properties, base.created[place], base.updated[place], self._live, extras
            )
        for each in ids:
            record = written.get(each)
            if record is not None:
                rows[each] = self.encode_record(record, extras)
        return [rows[each] for each in ids if each in rows]

    def encode_record(
        self, record: Record, extras: dict[int, dict[str, Any]] | None = None
    ) -> bytes:
        get = record.properties.get
        properties = _json({name: get(name) for name in self.names})[1:-1]
        envelope = self._live
        if record.archived_ms is not None:
            envelope = _envelope(self.portal_id, self.records.type, record)
        return self._finish(
            record.id, properties, record.created_ms, record.updated_ms, envelope, extras
        )

    def _generated(self, positions: Sequence[int]) -> list[bytes]:
        columns = []
        for name in self.names:
            column = self.records.base.columns.get(name)
            if column is None:
                columns.append([fragment(name, None)] * len(positions))
            else:
                columns.append(column.fragments(positions))
        return [b",".join(row) for row in zip(*columns, strict=True)] if positions else []

    def _finish(
        self,
        object_id: int,
        properties: bytes,
        created_ms: int,
        updated_ms: int,
        envelope: bytes,
        extras: dict[int, dict[str, Any]] | None,
    ) -> bytes:
        more = extras.get(object_id) if extras else None
        tail = b"," + msgspec.json.encode(more)[1:-1] if more else b""
        return (
            b'{"id":"%d","properties":{' % object_id
            + properties
            + envelope
            % (
                iso(created_ms).encode(),
                iso(updated_ms).encode(),
                object_id,
                tail,
            )
        )


def with_scalars(body: bytes) -> bytes:
    """The same JSON with numbers and booleans where their texts stood; `007` stays a text."""
    number = rb':"(-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,6})?|true|false)"(?=[,}])'
    return re.sub(number, rb":\1", body)


def results(rows: Iterable[bytes], **more: Any) -> bytes:
    """Put encoded records into the envelope of a collection."""
    head = b'{"results":[' + b",".join(rows) + b"]"
    return head + (b"," + msgspec.json.encode(more)[1:] if more else b"}")
