"""Singer messages to standard output: exact numbers, few system calls, safe against signals."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.contrib.msgspec import enc_hook
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.messages import Message, RecordMessage, StateMessage

from tap_hubspot_deals.ending import TargetGoneError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import BinaryIO

FLUSH_AT = 64 * 1024
COMMA = ord(",")


class MessageWriter(GenericSingerWriter[bytearray, Message]):
    """Collects RECORD messages and writes them in large pieces; all others leave at once.

    A STATE message never overtakes the records before it, because all share one buffer.
    `writing` is true while lines are made and handed to the operating system: a signal handler must
    not interrupt that, or half a line would go out. It leaves its exception in `interrupted`, which
    is raised between two messages.

    `state_length` are the bytes of the last STATE.
    """

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder(enc_hook=enc_hook, decimal_format="number")
        self._buffer = bytearray()
        self.writing = False
        self.interrupted: BaseException | None = None
        self._flushed_since_state = 0
        self.state_length = 0

    @property
    def written_since_state(self) -> int:
        """The bytes since the last STATE."""
        return self._flushed_since_state + len(self._buffer)

    def serialize_message(self, message: Message) -> bytearray:
        """One message as a line of JSON; decimals keep every digit."""
        line = bytearray()
        if isinstance(message, RecordMessage):
            content: dict[str, Any] = message.to_dict()
        else:  # `to_dict` would copy a state, and a schema, to its last leaf
            told = ((each.name, getattr(message, each.name)) for each in fields(message))
            content = {name: value for name, value in told if value is not None}
        self._encoder.encode_into(content, line)
        line.extend(b"\n")
        return line

    def write_message(self, message: Message) -> None:
        """Write one message of any type."""
        with self._undisturbed():
            line = self.serialize_message(message)
            self._buffer += line
            if not isinstance(message, RecordMessage) or len(self._buffer) >= FLUSH_AT:
                self._flush()
            if isinstance(message, StateMessage):
                self._flushed_since_state, self.state_length = 0, len(line)

    def write_records(
        self,
        stream: str,
        records: Iterable[Any],
        *,
        common: Mapping[str, Any],
        version: int | None,
        time: str,
    ) -> None:
        """Write many records of one stream without a message object for each.

        Args:
            stream: The stream's name.
            records: What already conforms to the stream's schema: dictionaries or structs, none of
                them empty.
            common: Fields that all of them have besides; they are encoded once.
            version: The table version, when versions are used.
            time: When the records were extracted, ISO 8601.
        """
        head = b'{"type":"RECORD","stream":' + self._encoder.encode(stream) + b',"record":'
        shared = self._encoder.encode(common)[:-1] if common else b""
        head += shared
        tail = b',"version":%d' % version if version is not None else b""
        tail += b',"time_extracted":' + self._encoder.encode(time) + b"}\n"
        buffer = self._buffer
        encode_into = self._encoder.encode_into
        with self._undisturbed():
            for record in records:
                buffer += head
                begin = len(buffer)
                encode_into(record, buffer, -1)
                if shared:
                    buffer[begin] = COMMA  # in place of the brace: the object is open already
                buffer += tail
                if len(buffer) >= FLUSH_AT:
                    self._flush()

    def write_text(self, text: str) -> None:
        """Write a text that is no message, and hand it to the operating system."""
        self._buffer += f"{text}\n".encode()
        self.flush()

    def flush(self) -> None:
        """Hand all that is buffered to the operating system."""
        with self._undisturbed():
            self._flush()

    def _flush(self) -> None:
        if sys.stdout is None:
            raise TargetGoneError("Standard output is closed: nobody can read the tap's messages.")
        try:
            self._write(sys.stdout.buffer)
        except BrokenPipeError:
            raise
        except OSError as exc:
            sentence = f"The tap's messages cannot be written: {exc.strerror}."
            raise TargetGoneError(sentence) from exc

    def _write(self, out: BinaryIO) -> None:
        with memoryview(self._buffer) as whole:
            gone = 0
            while gone < len(whole):
                # With PYTHONUNBUFFERED a signal may end a write in the middle.
                with whole[gone:] as rest:
                    gone += out.write(rest) or 0
        out.flush()
        self._flushed_since_state += len(self._buffer)
        self._buffer.clear()

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        self.writing = True
        try:
            yield
        finally:
            self.writing = False
        if self.interrupted is not None:
            interrupted, self.interrupted = self.interrupted, None
            raise interrupted
