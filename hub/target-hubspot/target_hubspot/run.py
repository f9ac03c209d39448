"""The messages of one run: records wait, are delivered together, and the STATE follows them.

While the calls of some are under way, those of the next ones begin and further ones are read:
HubSpot waits neither for the tap nor for the last answer of a batch.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from hubspot_client.writing.records import BATCH, IN_FLIGHT
from singer_sdk.mapper import RemoveRecordTransform

from target_hubspot import stream_maps
from target_hubspot.delivery import Delivery
from target_hubspot.errors import InputError, SchemaMissingError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable

    from singer_sdk.mapper import PluginMapper

    from target_hubspot.batches import Batch
    from target_hubspot.settings import Settings

FLUSH_ROWS = 10 * BATCH * IN_FLIGHT
FLUSH_BYTES = 5_000_000
BESIDE = 2
"""Batches under way at once."""

FLUSH_SECONDS = 30.0
NEEDS = {"SCHEMA": ("stream", "schema"), "RECORD": ("stream", "record")}
Message = dict[str, Any]


class _State(msgspec.Struct):
    """A STATE, whose value is the tap's: it goes out as it came, to the last digit."""

    value: msgspec.Raw = msgspec.Raw(b"null")


class Run:
    """Reads the messages of one tap.

    Args:
        settings: Checked.
        mapper: The SDK's, for stream maps.
        logger: For people.
        emit: Where STATEs go.
    """

    def __init__(
        self,
        settings: Settings,
        mapper: PluginMapper,
        logger: logging.Logger,
        emit: Callable[[str], None],
    ) -> None:
        self.delivery = Delivery(settings, logger)
        self.lines: Counter[str] = Counter()
        self._mapper = mapper
        self._logger = logger
        self._emit = emit
        self._dry_run = settings.dry_run
        self._weight = self._rows = self._line = 0
        self._flushed = time.monotonic()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="delivery")
        self._under_way: deque[tuple[Batch, Future[None]]] = deque()
        self._is_broken = False
        self._state: str | None = None
        self._held: str | None = None
        self._schemas: dict[str, Message] = {}
        self._told: set[str] = set()

    def read(self, source: Iterable[bytes]) -> None:
        """Handle messages until there are no more.

        Raises:
            TargetError: If one makes no sense, or what it asks for cannot be done.
            HubSpotError: If HubSpot cannot be worked with.
        """
        for line in source:
            self._line += 1
            if not line.strip():
                continue
            message = self._parse(line)
            kind = str(message["type"])
            self.lines[kind] += 1
            self._weight += len(line)
            self._handle(kind, message, line)
            if self._is_due():
                self._deliver()

    def _parse(self, line: bytes) -> Message:
        try:
            message = json.loads(line, parse_float=Decimal)
        except (ValueError, RecursionError):
            raise InputError(f"Line {self._line} is no JSON.") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise InputError(f"Line {self._line} is no Singer message: it has no type.")
        return message

    def _handle(self, kind: str, message: Message, line: bytes) -> None:
        lacking = [name for name in NEEDS.get(kind, ()) if name not in message]
        if lacking:
            raise InputError(f"Line {self._line}: a {kind} without `{lacking[0]}`.")
        if kind == "SCHEMA":
            self._take_schema(message)
        elif kind == "RECORD":
            self._take_record(message)
        elif kind == "STATE":
            self._state = _value_of(line)
            if not self._rows and all(finished.done() for _, finished in self._under_way):
                self._settle()
                self._put_out(self._take_state())
        elif kind == "ACTIVATE_VERSION":
            self._tell_once("ACTIVATE_VERSION is passed over: nothing is deleted in HubSpot.")
        else:
            raise InputError(f"Line {self._line}: the target takes no message of type {kind}.")

    def _take_schema(self, message: Message) -> None:
        name, keys = message["stream"], message.get("key_properties") or []
        _check_schema(self._line, message, keys)
        if self._schemas.get(name) == message:
            return  # some taps send it before every record
        self._schemas[name] = message
        if self._rows:
            self._deliver()
        self._settle()
        stream_maps.register(self._mapper, name, message["schema"], keys)
        for stream_map in self._mapper.stream_maps[name]:
            if isinstance(stream_map, RemoveRecordTransform):
                self._tell_once(f"Stream {name} is left out by `stream_maps`.")
                continue
            self.delivery.load(
                stream_map.stream_alias,
                stream_map.transformed_schema,
                stream_map.transformed_key_properties or (),
            )

    def _take_record(self, message: Message) -> None:
        name = str(message["stream"])
        if name not in self._mapper.stream_maps:
            raise SchemaMissingError(f"Line {self._line}: {name} has no SCHEMA yet.")
        if not isinstance(message["record"], dict):
            raise InputError(f"Line {self._line}: the record is no object.")
        for stream_map in self._mapper.stream_maps[name]:
            with stream_maps.applied(name):
                record = stream_map.transform(dict(message["record"]))
            if record is None:
                continue
            self._rows += 1
            self.delivery.add(stream_map.stream_alias, self._line, record)

    def _is_due(self) -> bool:
        late = time.monotonic() - self._flushed > FLUSH_SECONDS
        return self._rows >= FLUSH_ROWS or self._weight >= FLUSH_BYTES or (late and self._rows > 0)

    def finish(self, *, last: bool) -> None:
        """Deliver what waits, and see it settled.

        Args:
            last: Whether no more messages come.

        Raises:
            HubSpotError: If HubSpot cannot be worked with; the STATE has not moved then.
        """
        self._deliver(last=last)
        self._settle()

    def close(self) -> None:
        """Let what is under way end, and tell the sums, whatever happened."""
        self._pool.shutdown()
        self.delivery.close()

    def _deliver(self, *, last: bool = False) -> None:
        """Let what waits be delivered, and the STATE that follows it be put out."""
        batch, state = self.delivery.cut(), self._take_state()
        self._rows = self._weight = 0
        self._flushed = time.monotonic()
        self._settle(left=BESIDE - 1)
        if not all(batch.may_begin_beside(other) for other, _ in self._under_way):
            self._settle()
        self.delivery.begin(batch)
        finished = self._pool.submit(self._finish, batch, state, last=last)
        self._under_way.append((batch, finished))

    def _finish(self, batch: Batch, state: str | None, *, last: bool) -> None:
        """See a batch settled; after one that was not, no STATE may pass it."""
        if self._is_broken:
            return
        try:
            self.delivery.finish(batch, last=last)
            self._put_out(state)
        except BaseException:
            self._is_broken = True
            raise

    def _settle(self, *, left: int = 0) -> None:
        """Wait until so many batches are under way at the most, and raise what went wrong."""
        while len(self._under_way) > left:
            _, finished = self._under_way.popleft()
            finished.result()

    def _take_state(self) -> str | None:
        state, self._state = self._state, None
        return state

    def _put_out(self, state: str | None) -> None:
        """Put a STATE out, or hold it back while links wait for their other end."""
        self._held = state or self._held
        if self._held is None or self._dry_run:
            return
        if self.delivery.is_waiting or not self.delivery.is_safe:
            return
        value, self._held = self._held, None
        self._emit(value)

    def _tell_once(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            self._logger.info("%s", sentence)


def _value_of(line: bytes) -> str:
    """The value of a STATE as the tap wrote it."""
    try:
        return bytes(msgspec.json.decode(line, type=_State).value).decode()
    except (msgspec.DecodeError, RecursionError):  # what only Python takes for JSON, as NaN
        return json.dumps(json.loads(line).get("value"))


def _check_schema(line: int, message: Message, keys: Any) -> None:
    """Refuse a SCHEMA that describes nothing.

    Raises:
        InputError: Naming what is wrong.
    """
    if not isinstance(message["stream"], str):
        raise InputError(f"Line {line}: the name of the stream is no text.")
    schema = message["schema"]
    if not isinstance(schema, dict) or not isinstance(schema.get("properties", {}), dict):
        raise InputError(f"Line {line}: the schema of {message['stream']} is no JSON schema.")
    if not isinstance(keys, list) or not all(isinstance(each, str) for each in keys):
        raise InputError(f"Line {line}: the key_properties of {message['stream']} are no names.")
