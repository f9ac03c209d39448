"""One run: messages in, transactions out, and never a STATE before the rows that it speaks of."""

from __future__ import annotations

import gzip
import logging
import sys
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.exceptions import InvalidJSONSchema
from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchFileFormat, StorageTarget
from singer_sdk.singerlib.json import serialize_json

from target_deals_postgres import rejected, security, tables, versions, views
from target_deals_postgres.errors import (
    DatabaseError,
    InputError,
    KeyMissingError,
    RejectedRecordsError,
    SchemaMissingError,
    TargetError,
)
from target_deals_postgres.messages import Message, parse
from target_deals_postgres.rejected import Rejected
from target_deals_postgres.rows import MissingKeyError, UnknownFieldsError
from target_deals_postgres.streams import SCOPE, Stream
from target_deals_postgres.values import NarrowError, UnfitError, loads, storable, unescape
from target_deals_postgres.columns import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from psycopg2.extensions import cursor
    from singer_sdk.mapper import PluginMapper

    from target_deals_postgres.database import Database
    from target_deals_postgres.merge import Outcome
    from target_deals_postgres.settings import Settings

logger = logging.getLogger("target-deals-postgres")

MEGABYTE = 1 << 20


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
        self._streams: dict[str, Stream] = {}
        self._schemas: dict[str, tuple[bytes, tuple[str, ...]]] = {}
        self._rejected: list[Rejected] = []
        self._rejections = 0
        self._only_keys_missing = True
        self._has_rejected_table = False
        self._state: bytes | None = None
        self._rows = 0
        self._size = 0
        self._waiting_since: float | None = None
        self.lines: Counter[str] = Counter()

    def read(self, lines: Iterable[list[bytes]], stopped: Callable[[], bool]) -> None:
        """Read messages until the input ends or `stopped` says so.

        Raises:
            TargetError: the run cannot go on; everything before is committed when possible.
        """
        self._database.check()
        try:
            for chunk in lines:
                for line in chunk:
                    if line and not line.isspace():
                        self._accept(line)
                        if stopped():
                            return
                self._tick()
                if stopped():
                    return
        except InputError:
            self.flush()
            raise

    def finish(self) -> None:
        """Commit what waits, tell what became of the records, and judge the rejected ones.

        Raises:
            RejectedRecordsError: there are more than `max_rejected_records`.
        """
        self.flush()
        self._database.close()
        self._summarize()

    def judge(self) -> None:
        """Say whether the run may count as a success.

        Raises:
            RejectedRecordsError: more records were rejected than `max_rejected_records` allows.
        """
        most = self._settings.max_rejected_records
        if 0 <= most < self._rejections:
            kind = KeyMissingError if self._only_keys_missing else RejectedRecordsError
            raise kind(
                f"{self._rejections} records were rejected, more than max_rejected_records ({most}); see "
                f"{self._settings.default_target_schema}.{rejected.TABLE}; all others are committed"
            )

    def flush(self, *then: Callable[[cursor], Any]) -> None:
        """Commit the waiting rows of all streams in one transaction, then emit the STATE.

        Args:
            then: further work for the same transaction.

        Raises:
            DatabaseError: nothing of it is committed, and the STATE is not emitted.
        """
        waiting = [
            stream for stream in self._streams.values() if stream.ready and stream.batch.rows
        ]
        if waiting or self._rejected or then:
            if self._rejected:
                self._make_rejected_table()
            outcomes = self._database.transaction(
                partial(self._write, waiting, then),
                repeatable=all(stream.keyed for stream in waiting),
            )
            for stream, outcome in zip(waiting, outcomes, strict=True):
                self._settle(stream, outcome)
            self._rejected.clear()
        self._rows = self._size = 0
        self._waiting_since = None
        if self._state is not None:
            sys.stdout.write(self._state.decode() + "\n")
            sys.stdout.flush()
            self._state = None

    def _write(
        self, waiting: list[Stream], then: tuple[Callable[[cursor], Any], ...], cur: cursor
    ) -> list[Outcome]:
        outcomes = []
        refused: list[Rejected] = list(self._rejected)
        for stream in waiting:
            outcome = stream.merge.load(cur, stream.batch)
            refused += [self._refusal(stream, number, why) for number, why in outcome.refused]
            outcomes.append(outcome)
        if refused:
            if not self._has_rejected_table:
                tables.lock(cur, self._settings.default_target_schema)
                self._ensure_rejected(cur)
            rejected.insert(
                cur, self._settings.default_target_schema, refused, self._settings.started
            )
        for work in then:
            work(cur)
        return outcomes

    def _settle(self, stream: Stream, outcome: Outcome) -> None:
        counts = stream.counts
        counts.created += outcome.created
        counts.updated += outcome.updated
        counts.superseded += stream.batch.superseded
        counts.failed += len(outcome.refused)
        for _, why in outcome.refused:
            self._count_rejection(stream.name, why, lacks_key=False)
        stream.empty()

    # The messages

    def _accept(self, line: bytes) -> None:
        message = parse(line)
        self.lines[message.type] += 1
        match message.type:
            case "RECORD":
                plain = b"\\" not in line and b"\t" not in line and b"\r" not in line
                self._accept_record(message, plain=plain)
            case "SCHEMA":
                self._accept_schema(message)
            case "STATE":
                if not message.value:
                    raise InputError("a STATE message has no value")
                self._state = bytes(message.value)
                self._wait()
            case "ACTIVATE_VERSION":
                self._accept_version(message)
            case "BATCH":
                self._accept_files(message)
            case other:
                raise InputError(f"a message of the input has the unknown type {other[:60]}")

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
        self.flush()  # rows of the old schema come first
        self._schemas[name] = given
        if not self._settings.mapped:
            self._open(name, schema, keys)
            return
        self._mapper.register_raw_stream_schema(name, schema, list(keys))
        for stream_map in self._mapper.stream_maps[name]:
            self._open(
                stream_map.stream_alias,
                stream_map.transformed_schema,
                tuple(stream_map.transformed_key_properties or ()),
            )

    def _open(self, name: str, schema: dict[str, Any], keys: tuple[str, ...]) -> None:
        old = self._streams.get(name)
        try:
            stream = Stream(name, schema, keys, self._settings)
        except InvalidJSONSchema as error:
            raise InputError(f"the SCHEMA of stream {name} is not valid: {error}") from None
        if old is not None:
            stream.take_over(old)
        self._streams[name] = stream
        self._fit(stream)

    def _fit(self, stream: Stream) -> None:
        schema = self._settings.default_target_schema

        def work(cur: cursor) -> tables.Places:
            tables.ensure_schema(cur, schema)
            evolution = tables.Evolution(cur, schema, stream.name)
            if not stream.keyed and evolution.table.key and self._settings.load_method != "upsert":
                raise DatabaseError(
                    f"load_method append-only needs a table without a primary key, but {evolution.table} has one"
                )
            places = evolution.fit(
                stream.fields,
                stream.keys,
                comment=stream.comment,
                added=stream.added,
                extra=stream.extra,
                keyed=stream.keyed,
                wider=stream.wider,
            )
            name = places.table.name
            if self._settings.row_level_security and security.TENANT in places.table.types:
                security.protect(cur, schema, name)
            if places.table.owned and views.is_ours(name, set(places.table.types)):
                tables.lock(cur, f"{schema} views")
                views.ensure(cur, schema)
            return places

        stream.settle(self._database.transaction(work))

    def _refit(self, stream: Stream) -> None:
        self.flush()
        self._fit(stream)

    def _accept_record(self, message: Message, *, plain: bool) -> None:
        if not self._settings.mapped:
            stream = self._streams.get(message.stream)
            if stream is None:
                raise SchemaMissingError(
                    f"a record of stream {message.stream} came before its SCHEMA"
                )
            self._add(stream, message, plain=plain)
            return
        if message.stream not in self._schemas:
            raise SchemaMissingError(f"a record of stream {message.stream} came before its SCHEMA")
        record = message.parsed if message.parsed is not None else loads(bytes(message.record))
        for stream_map in self._mapper.stream_maps[message.stream]:
            mapped = stream_map.transform(dict(record))
            if mapped is not None:
                message.parsed = mapped
                self._add(self._streams[stream_map.stream_alias], message, plain=False)

    def _add(self, stream: Stream, message: Message, *, plain: bool) -> None:
        stream.tally()
        if message.version is not None and not stream.versioned:
            stream.versioned = True
            self._refit(stream)
        batch = stream.batch
        size = batch.size
        try:
            stream.add(message, plain=plain)
        except UnknownFieldsError:
            stream.extra = True
            self._refit(stream)
            self._retry(stream, message)
        except NarrowError as error:
            stream.wider |= {str(error)}
            self._refit(stream)
            self._retry(stream, message)
        except (UnfitError, RecursionError) as error:
            self._reject(stream, message, error)
        self._rows += 1
        self._size += batch.size - size
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        if (
            self._rows >= self._settings.batch_size_rows
            or self._size >= self._settings.batch_size_mb * MEGABYTE
        ):
            self.flush()

    def _retry(self, stream: Stream, message: Message) -> None:
        try:
            stream.add(message, plain=False)
        except (UnknownFieldsError, NarrowError) as error:
            stream.extra = stream.extra or isinstance(error, UnknownFieldsError)
            stream.wider |= {str(error)} if isinstance(error, NarrowError) else set()
            self._refit(stream)
            self._retry(stream, message)
        except (UnfitError, RecursionError) as error:
            self._reject(stream, message, error)

    def _accept_version(self, message: Message) -> None:
        names = [message.stream]
        if self._settings.mapped and message.stream in self._schemas:
            names = [one.stream_alias for one in self._mapper.stream_maps[message.stream]]
        for name in names:
            stream = self._streams.get(name)
            if stream is None:
                raise SchemaMissingError(
                    f"ACTIVATE_VERSION of stream {name} came before its SCHEMA"
                )
            if message.version is None:
                raise InputError(f"ACTIVATE_VERSION of stream {name} has no version")
            if not self._settings.process_activate_version_messages:
                logger.warning("ACTIVATE_VERSION of %s is ignored, as set", name)
                continue
            if not stream.versioned:
                stream.versioned = True
                self._refit(stream)
            scope = stream.scope
            written = set(stream.written)
            if scope and all(
                f"x-{name_.strip('_').replace('_', '-')}" in stream.schema for name_ in scope
            ):
                written.add(
                    tuple(
                        str(stream.schema[f"x-{name_.strip('_').replace('_', '-')}"])
                        for name_ in scope
                    )
                )
            deleted: list[int] = []

            def work(cur: cursor, stream: Stream = stream) -> None:
                deleted[:] = [
                    versions.activate(
                        cur,
                        stream.table,
                        message.version or 0,
                        scope=scope,
                        written=written,
                        hard=self._settings.hard_delete,
                    )
                ]

            self.flush(work)
            logger.info(
                "%s: version %d is active, %d older rows deleted", name, message.version, deleted[0]
            )

    def _accept_files(self, message: Message) -> None:
        if message.stream not in self._schemas:
            raise SchemaMissingError(f"a BATCH of stream {message.stream} came before its SCHEMA")
        encoding = BaseBatchFileEncoding.from_dict(dict(message.encoding or {}))
        if encoding.format != BatchFileFormat.JSONL:
            raise InputError(f"a BATCH of stream {message.stream} is not in format jsonl")
        for url in message.manifest or ():
            head, tail = StorageTarget.split_url(url)
            try:
                with StorageTarget.from_url(head).open(tail, mode="rb") as file:
                    opened = gzip.open(file) if encoding.compression == "gzip" else file
                    for line in opened:
                        if not line.isspace():
                            self._accept_record(
                                Message("RECORD", message.stream, msgspec.Raw(line)), plain=False
                            )
            except (OSError, EOFError, ValueError) as error:
                raise InputError(f"a file of a BATCH of stream {message.stream}: {error}") from None

    # Rejected records

    def _reject(self, stream: Stream, message: Message, error: Exception) -> None:
        payload = (
            bytes(message.record)
            if message.parsed is None
            else serialize_json(message.parsed).encode()
        )
        try:
            record = loads(payload) if message.parsed is None else message.parsed
        except (ValueError, RecursionError):
            record = {}
        record = record if isinstance(record, dict) else {}
        tenant = record.get(security.TENANT)
        why = str(error) or "nested too deeply"
        self._rejected.append(
            Rejected(
                stream.name,
                None if tenant is None else str(tenant),
                serialize_json({key: record.get(key) for key in stream.keys}),
                why,
                payload.decode("utf-8", "replace"),
            )
        )
        self._size += len(payload)
        stream.counts.failed += 1
        self._count_rejection(stream.name, why, lacks_key=isinstance(error, MissingKeyError))

    def _refusal(self, stream: Stream, number: int, why: str) -> Rejected:
        layout, row = stream.layout, stream.batch.rows[number]
        texts = row.decode().split("\t")
        at = layout.position(security.TENANT)
        keys = {key: layout.position(key) for key in stream.keys}
        return Rejected(
            stream.name,
            None if at is None else unescape(texts[at]),
            serialize_json(
                {key: None if at is None else unescape(texts[at]) for key, at in keys.items()}
            ),
            why,
            layout.payload(row, stream.batch.present.get(number, "")),
        )

    def _count_rejection(self, stream: str, why: str, *, lacks_key: bool) -> None:
        self._rejections += 1
        self._only_keys_missing &= lacks_key
        if self._rejections <= 10:
            logger.warning("%s: a record was rejected: %s", stream, storable(why, Kind.TEXT))

    def _make_rejected_table(self) -> None:
        if not self._has_rejected_table:
            self._database.transaction(self._ensure_rejected)
            self._has_rejected_table = True

    def _ensure_rejected(self, cur: cursor) -> None:
        schema = self._settings.default_target_schema
        tables.ensure_schema(cur, schema)
        tables.lock(cur, f"{schema}.{rejected.TABLE}")
        rejected.make_table(cur, schema)
        if self._settings.row_level_security:
            security.protect(cur, schema, rejected.TABLE)

    # Time and reports

    def _wait(self) -> None:
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()

    def _tick(self) -> None:
        for stream in self._streams.values():
            stream.report()
        waiting = self._waiting_since
        if waiting is not None and time.monotonic() - waiting >= self._settings.batch_seconds:
            self.flush()

    def _summarize(self) -> None:
        for stream in self._streams.values():
            stream.close()
            counts = stream.counts
            logger.info(
                "%s: %d processed, %d created, %d updated, %d unchanged, %d superseded, %d failed",
                stream.name,
                counts.processed,
                counts.created,
                counts.updated,
                counts.unchanged,
                counts.superseded,
                counts.failed,
            )
            if stream.replaced:
                logger.warning(
                    "%s: %d values had characters that PostgreSQL cannot store (NUL, lone surrogates); "
                    "they are U+FFFD now",
                    stream.name,
                    stream.replaced,
                )


__all__ = ["SCOPE", "Run", "TargetError"]
