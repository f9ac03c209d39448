"""One run: what each message does."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.exceptions import InvalidJSONSchema
from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.singerlib.json import serialize_json

from target_deals_postgres.errors import (
    DatabaseUnreachableError,
    InputError,
    InterruptedRunError,
    SchemaMissingError,
    TargetError,
    UnexpectedError,
)
from target_deals_postgres.records import batch_files
from target_deals_postgres.records.columns import TENANT
from target_deals_postgres.records.messages import Message, parse
from target_deals_postgres.records.rows import (
    GoneBeforeError,
    MissingKeyError,
    UnknownFieldsError,
    UnknownMarkError,
)
from target_deals_postgres.records.values import NarrowError, UnfitError, loads
from target_deals_postgres.storing.commits import Commits
from target_deals_postgres.storing.loads import Loads
from target_deals_postgres.storing.rejected import Rejected, Rejections
from target_deals_postgres.streams import Stream
from target_deals_postgres.tables import sdc_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from psycopg2.extensions import cursor
    from singer_sdk.mapper import PluginMapper

    from target_deals_postgres.settings import Settings
    from target_deals_postgres.storing.database import Database

logger = logging.getLogger("target-deals-postgres")


@dataclass(frozen=True)
class _Part:
    """What one stream of the tap brings into a stream of the target."""

    schema: dict[str, Any]
    keys: tuple[str, ...]


def _together(name: str, parts: Collection[_Part]) -> tuple[dict[str, Any], tuple[str, ...]]:
    # Several streams that are mapped to one name share its table.
    first, *others = parts
    schema = dict(first.schema)
    for other in others:
        if set(other.keys) != set(first.keys):
            raise InputError(
                f"the streams that are mapped to {name} have different key properties: "
                f"({', '.join(first.keys)}) and ({', '.join(other.keys)})"
            )
        both = dict(schema["properties"])
        for one, spec in other.schema["properties"].items():
            both[one] = {"anyOf": [both[one], spec]} if both.get(one, spec) != spec else spec
        schema["properties"] = both
    return schema, first.keys


class Run:
    """Everything between the first message and the last commit.

    Attributes:
        lines: how many messages of each type were read.
    """

    def __init__(self, settings: Settings, database: Database, mapper: PluginMapper) -> None:
        """Prepare a run; nothing is connected yet."""
        self._settings = settings
        self._database = database
        self._mapper = mapper
        self._rejections = Rejections(settings)
        self._loads = Loads(settings)
        self._commits = Commits(settings, database, self._rejections, self._loads)
        self._streams: dict[str, Stream] = {}
        self._parts: dict[str, dict[str, _Part]] = {}
        self._stopped: Callable[[], bool] = lambda: False
        self._schemas: dict[str, tuple[bytes, tuple[str, ...]]] = {}
        self.lines: Counter[str] = Counter()

    def read(self, lines: Iterable[list[bytes]], stopped: Callable[[], bool]) -> None:
        """Read messages until the input ends or `stopped` says so.

        Raises:
            TargetError: the run cannot go on; everything before is committed when possible.
        """
        self._database.check()
        self._stopped = stopped
        try:
            for chunk in lines:
                for line in chunk:
                    if line and not line.isspace() and not self._accept(line):
                        return
                for stream in self._streams.values():
                    stream.report()
                self._commits.tick()
                if stopped():
                    return
        except Exception as error:
            if isinstance(error, InputError):
                self._commits.flush()
            self._fail(error)
            raise

    def finish(self, *, interrupted: bool = False) -> None:
        """Commit what waits and tell what became of the records.

        Args:
            interrupted: whether a signal ended the input.

        Raises:
            DatabaseError: the last commit failed; its STATE was not emitted.
        """
        try:
            self._flush_and_account(interrupted=interrupted)
        finally:
            self._commits.close()
        for stream in self._streams.values():
            stream.summarize()
        if self._settings.dry_run:
            logger.info("Dry run: everything was counted and nothing was written.")

    def _flush_and_account(self, *, interrupted: bool) -> None:
        try:
            self._commits.flush()
        except Exception as error:
            self._fail(error)
            raise
        if interrupted:
            self._account("interrupted", InterruptedRunError.code)
            return
        try:
            self.judge()
        except TargetError as error:
            self._account("failed", error.code)
        else:
            self._account("completed")

    def cancel(self, number: int) -> None:
        """End what is being stored now, which is rolled back, because of a signal."""
        self._database.cancel(number)

    def _fail(self, error: Exception) -> None:
        # Not where the database is away: that would be waited for. Its session is gone as well.
        if not isinstance(error, DatabaseUnreachableError):
            code = error.code if isinstance(error, TargetError) else UnexpectedError.code
            is_signal = isinstance(error, InterruptedRunError)
            self._account("interrupted" if is_signal else "failed", code)

    def _account(self, state: str, code: str = "") -> None:
        self._commits.settle()
        if not self._streams:
            return
        try:
            self._database.transaction(lambda cur: self._loads.end(cur, state, code))
        except TargetError as error:
            logger.warning("the end of the run is not in _loads: %s", error)

    def abandon(self) -> None:
        """Let go of the connection and of what waits; what is being committed ends before."""
        self._commits.close()

    def judge(self) -> None:
        """Say whether the run may count as a success.

        Raises:
            RejectedRecordsError: more records were rejected than `max_rejected_records` allows.
        """
        self._rejections.judge()

    def _accept(self, line: bytes) -> bool:
        # Whether to go on; what follows a BATCH that was not read to its end must not be read.
        message = parse(line)
        self.lines[message.type] += 1
        match message.type:
            case "RECORD":
                plain = b"\\" not in line and b"\t" not in line and b"\r" not in line
                self._accept_record(message, plain=plain)
            case "SCHEMA":
                self._accept_schema(message)
            case "STATE":
                state = bytes(message.value)
                if not state:
                    raise InputError("a STATE message has no value")
                self._commits.keep_state(state)
            case "ACTIVATE_VERSION":
                self._accept_version(message)
            case "BATCH":
                self._known(message)
                for record in batch_files.records(message):
                    if self._stopped():
                        return False
                    one = Message("RECORD", message.stream, msgspec.Raw(record))
                    self._accept_record(one, plain=False)
            case other:
                raise InputError(f"a message of the input has the unknown type {other[:60]}")
        return True

    def _known(self, message: Message) -> None:
        if message.stream not in self._schemas:
            raise SchemaMissingError(
                f"a {message.type} of stream {message.stream} came before the stream's SCHEMA"
            )

    # SCHEMA

    def _accept_schema(self, message: Message) -> None:
        name, keys = message.stream, tuple(message.key_properties or ())
        given = (bytes(message.schema), keys)
        if not name or not given[0]:
            raise InputError("a SCHEMA message has no stream or no schema")
        if self._schemas.get(name) == given:
            return
        schema = loads(given[0])
        if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
            raise InputError(f"the SCHEMA of stream {name} has no properties")
        self._commits.flush()  # rows of the old schema come first
        self._schemas[name] = given
        if not self._settings.mapped:
            self._open(name, name, _Part(schema, keys))
            return
        self._mapper.register_raw_stream_schema(name, schema, list(keys))
        for stream_map in self._mapper.stream_maps[name]:
            if not isinstance(stream_map, RemoveRecordTransform):
                part = _Part(
                    stream_map.transformed_schema,
                    tuple(stream_map.transformed_key_properties or ()),
                )
                self._open(stream_map.stream_alias, name, part)

    def _open(self, name: str, source: str, part: _Part) -> None:
        parts = self._parts.setdefault(name, {})
        parts[source] = part
        try:
            stream = Stream(name, *_together(name, parts.values()), self._settings)
        except InvalidJSONSchema as error:
            raise InputError(f"the SCHEMA of stream {name} is not valid: {error}") from None
        if name in self._streams:
            stream.take_over(self._streams[name])
        if not self._streams:
            self._database.transaction(self._rejections.prepare)
            self._database.transaction(self._loads.prepare)
        stream.fit(self._database)
        is_new = name not in self._streams
        self._streams[name] = stream
        stream.counts.tenants |= {str(whose[0]) for whose in stream.announced}
        self._loads.follow(name, stream.counts)
        counts = self._loads.snapshot()
        self._database.transaction(lambda cur: self._loads.store(cur, counts))
        if is_new and self._settings.replay_rejected_records:
            self._replay(stream)

    def _replay(self, stream: Stream) -> None:
        name = stream.name
        waiting = self._database.transaction(lambda cur: self._rejections.waiting(cur, name))
        if not waiting:
            return
        logger.info("%s: %d rejected records are tried again", name, len(waiting))
        for _, record, version in waiting:
            self._add(stream, Message("RECORD", name, msgspec.Raw(record), version), plain=False)
        numbers = [number for number, _, _ in waiting]

        def strike(cur: cursor) -> dict[str, int]:
            self._rejections.strike(cur, numbers)
            return {}

        self._commits.flush(strike)

    def _refit(self, stream: Stream) -> None:
        self._commits.flush()
        stream.fit(self._database)

    # RECORD

    def _accept_record(self, message: Message, *, plain: bool) -> None:
        if message.stream not in self._schemas:
            self._known(message)
        try:
            if self._settings.mapped:
                self._add_mapped(message)
            else:
                self._add(self._streams[message.stream], message, plain=plain)
        except JSONDecodeError:  # of a whole message it was seen before
            raise InputError(
                f"a RECORD of stream {message.stream} has no record, "
                "or a line of its BATCH is no JSON"
            ) from None

    def _add_mapped(self, message: Message) -> None:
        try:
            record = message.parsed if message.parsed is not None else loads(bytes(message.record))
        except RecursionError:
            record = None
        why = UnfitError("the record is no object, or nested too deeply")
        for stream_map in self._mapper.stream_maps[message.stream]:
            stream = self._streams.get(stream_map.stream_alias)
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
            if stream is None:
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
            self._add(stream, one, plain=False)

    def _add(self, stream: Stream, message: Message, *, plain: bool) -> None:
        stream.counts.processed += 1
        if message.version is None:
            stream.versionless = True
        else:
            stream.begun.add(message.version)
            if not stream.versioned:
                stream.versioned = True
                self._refit(stream)
        while True:
            try:
                size = stream.add(message, plain=plain)
            except UnknownFieldsError:
                stream.extra = True
                self._refit(stream)
            except UnknownMarkError:
                stream.marks = True
                self._refit(stream)
            except GoneBeforeError:
                self._commits.flush()
            except NarrowError as error:
                stream.wider |= {str(error)}
                self._refit(stream)
            except (UnfitError, RecursionError) as error:
                self._reject(stream, message, error)
                return
            else:
                self._commits.grow(stream.destination, size)
                return

    def _reject(self, stream: Stream, message: Message, error: Exception) -> None:
        payload = bytes(message.record)
        record = message.parsed
        try:
            record = loads(payload) if record is None else record
            payload = payload or serialize_json(record).encode()
        except (ValueError, RecursionError):
            record = None
        values = record if isinstance(record, dict) else {}
        tenant = values.get(TENANT)
        rejected = Rejected(
            stream.name,
            None if tenant is None else str(tenant),
            serialize_json({key: values.get(key) for key in stream.keys}),
            str(error) if isinstance(error, UnfitError) else "the record is nested too deeply",
            payload.decode("utf-8", "replace"),
            version=message.version,
            lacks_key=isinstance(error, MissingKeyError),
        )
        stream.counts.failed += 1
        if rejected.tenant is not None:
            stream.counts.tenants.add(rejected.tenant)
        self._commits.reject(rejected)

    # ACTIVATE_VERSION

    def _accept_version(self, message: Message) -> None:
        self._known(message)
        names = [message.stream]
        if self._settings.mapped:
            names = [one.stream_alias for one in self._mapper.stream_maps[message.stream]]
        if message.version is None:
            raise InputError(f"ACTIVATE_VERSION of stream {message.stream} has no version")
        for name in names:
            if not self._settings.process_activate_version_messages:
                logger.warning("%s: ACTIVATE_VERSION is ignored, as set", name)
                continue
            if name in self._streams:  # a stream map may have removed it
                self._activate(self._streams[name], message.version)

    def _activate(self, stream: Stream, version: int) -> None:
        if stream.versionless:
            logger.warning(
                "%s: version %d is not activated, since records without a version came before it, "
                "so it is not known which rows are gone",
                stream.name,
                version,
            )
            return
        if version in stream.leading or not (version in stream.begun or stream.announced):
            stream.leading.add(version)
            logger.warning(
                "%s: version %d is not activated, since its ACTIVATE_VERSION came before its "
                "records, so it is not known whether they are complete",
                stream.name,
                version,
            )
            return
        if not stream.versioned:
            stream.versioned = True
            self._refit(stream)
        deleted = 0
        spared: set[str | None] = set()

        def work(cur: cursor) -> dict[str, int]:
            nonlocal deleted, spared
            spared = self._rejections.tenants_of(cur, stream.name, version)
            deleted = sdc_columns.activate(
                cur,
                stream.table,
                version,
                scope=stream.scope,
                written=stream.written | stream.announced,
                spared=spared,
                hard=self._settings.hard_delete,
            )
            return {stream.name: deleted}

        self._commits.flush(work)
        stream.counts.deleted += deleted
        if spared:
            logger.warning(
                "%s: version %d deletes nothing%s, since records of it were rejected",
                stream.name,
                version,
                "" if None in spared or not stream.scope else f" of {len(spared)} tenants",
            )
        logger.info("%s: version %d is active, %d rows deleted", stream.name, version, deleted)
