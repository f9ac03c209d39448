"""What becomes of a record: a row that waits for the next commit, or a rejected record."""

from __future__ import annotations

from dataclasses import replace
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.singerlib.json import serialize_json

from target_deals_postgres import stream_maps
from target_deals_postgres.errors import InputError
from target_deals_postgres.records.columns import TENANT, Kind
from target_deals_postgres.records.messages import Message
from target_deals_postgres.records.rows import (
    GoneBeforeError,
    MissingKeyError,
    UnknownFieldsError,
    UnknownMarkError,
)
from target_deals_postgres.records.values import (
    NarrowError,
    UnfitError,
    as_payload,
    loads,
    storable,
)
from target_deals_postgres.storing.rejected import Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from singer_sdk.mapper import PluginMapper

    from target_deals_postgres.storing.commits import Commits
    from target_deals_postgres.storing.database import Database
    from target_deals_postgres.storing.replays import Waiting
    from target_deals_postgres.streams import Stream


class Intake:
    """Takes in the records of a run."""

    def __init__(self, database: Database, commits: Commits) -> None:
        """Prepare; nothing waits yet."""
        self._database = database
        self._commits = commits

    def accept(self, stream: Stream, message: Message, *, plain: bool) -> None:
        """Take in a RECORD as it came.

        Args:
            stream: its stream.
            message: the message.
            plain: see `Layout.row`.

        Raises:
            InputError: it has no record.
        """
        try:
            self.add(stream, message, plain=plain)
        except JSONDecodeError:  # of a whole message it was seen before
            raise _no_record(message) from None

    def accept_mapped(
        self, mapper: PluginMapper, streams: Mapping[str, Stream], message: Message
    ) -> None:
        """Take in what the stream maps make of a RECORD.

        Args:
            mapper: the stream maps.
            streams: the streams that they lead to.
            message: the message.

        Raises:
            InputError: it has no record.
        """
        try:
            record = message.parsed if message.parsed is not None else loads(bytes(message.record))
        except RecursionError:
            record = None
        except JSONDecodeError:
            raise _no_record(message) from None
        why = UnfitError("the record is no object, or nested too deeply")
        for stream_map in stream_maps.leading(mapper, message.stream):
            stream = streams[stream_map.stream_alias]
            mapped = None
            if isinstance(record, dict):
                try:
                    mapped = stream_map.transform(dict(record))
                except Exception as error:  # noqa: BLE001 - an expression may raise anything
                    cause = type(error.__cause__ or error).__name__  # its sentence may quote values
                    why = UnfitError(f"the stream map failed ({cause})")
                else:
                    if mapped is None:
                        continue
            if mapped is None:
                stream.counts.processed += 1
                self._reject(stream, message, why)
                continue
            one = Message(
                message.type,
                message.stream,
                version=message.version,
                time_extracted=message.time_extracted,
            )
            one.parsed = mapped
            self.add(stream, one, plain=False)

    def add(
        self, stream: Stream, message: Message, *, plain: bool, again: int | None = None
    ) -> None:
        """Let a record's row wait, whatever its table needs for it; or list it as rejected.

        Args:
            stream: its stream.
            message: the message.
            plain: see `Layout.row`.
            again: its number in the list of rejected records, where it stands there: it says
                nothing of what the run itself brings.
        """
        stream.counts.processed += 1
        if again is None:
            stream.note_version(message.version)
        if message.version is not None and not stream.versioned and not stream.overwritten:
            stream.versioned = True
            self.refit(stream)
        while True:
            try:
                size, line, unfit = stream.add(message, plain=plain, again=again)
            except UnknownFieldsError:
                stream.extra = True
                self.refit(stream)
            except UnknownMarkError:
                stream.marks = True
                self.refit(stream)
            except GoneBeforeError:
                self._commits.flush()
            except NarrowError as error:
                stream.wider |= {str(error)}
                self.refit(stream)
            except (UnfitError, RecursionError) as error:
                self._reject(stream, message, error, again)
                return
            else:
                noted = (line, self._nulled(stream, message, unfit, again)) if unfit else None
                self._commits.grow(stream.destination, size, noted)
                return

    def retry(self, stream: Stream, one: Waiting) -> None:
        """Let a record of the list of rejected ones wait again, or leave it there."""
        message = Message("RECORD", stream.name, msgspec.Raw(one.record), one.version)
        try:
            self.add(stream, message, plain=False, again=one.number)
        except JSONDecodeError:
            self._reject(stream, message, UnfitError("the payload is no JSON"), one.number)

    def refit(self, stream: Stream) -> None:
        """Change a stream's table after all rows that wait for it as it is."""
        self._commits.flush()
        stream.fit(self._database)

    def _reject(
        self, stream: Stream, message: Message, error: Exception, again: int | None = None
    ) -> None:
        why = str(error) if isinstance(error, UnfitError) else "the record is nested too deeply"
        described = self._rejected(stream, message, why)
        lacks_key = isinstance(error, MissingKeyError)
        rejected = replace(described, lacks_key=lacks_key, number=again)
        stream.counts.failed += 1
        if rejected.tenant is not None:
            stream.counts.tenants.add(rejected.tenant)
        if stream.destination.waits(rejected.key):
            self._commits.submit()  # it comes after that row, and no later one has overtaken it
        self._commits.reject(rejected)

    def _nulled(
        self, stream: Stream, message: Message, unfit: Mapping[str, str], again: int | None
    ) -> Rejected:
        why = "; ".join(f"{name}: {one}" for name, one in unfit.items())
        return replace(self._rejected(stream, message, why), nulled=tuple(unfit), number=again)

    @staticmethod
    def _rejected(stream: Stream, message: Message, why: str) -> Rejected:
        payload = bytes(message.record)
        record = message.parsed
        values: dict[str, Any] = {}
        key = serialize_json(dict.fromkeys(stream.keys))
        try:
            record = loads(payload) if record is None else record
            payload = payload or as_payload(record).encode()
            values = record if isinstance(record, dict) else {}
            key = serialize_json({name: values.get(name) for name in stream.keys})
        except (ValueError, RecursionError):
            pass
        tenant = values.get(TENANT)
        return Rejected(
            stream.name,
            None if tenant is None else storable(str(tenant), Kind.TEXT),  # as rows have it
            key,
            why,
            payload.decode("utf-8", "replace"),
            version=None if stream.overwritten else message.version,
        )


def _no_record(message: Message) -> InputError:
    return InputError(
        f"a RECORD of stream {message.stream} has no record, or a line of its BATCH is no JSON"
    )
