"""Singer messages from bytes: lines as they come, and what each line says."""

from __future__ import annotations

import io
import os
import re
import select
import sys
import time
from typing import IO, TYPE_CHECKING, Any

import msgspec
from singer_sdk.singerlib.json import serialize_json

from target_deals_postgres.errors import InputError
from target_deals_postgres.records.values import loads

if TYPE_CHECKING:
    from collections.abc import Iterator

READ_SIZE = 1 << 18
SHOWN = 60  # characters of a bad line; more might show people's data


class _Never:
    """What no JSON is: a message cannot bring it."""


class Message(msgspec.Struct, gc=False):
    """Any Singer message; what is not needed yet stays bytes."""

    type: str
    stream: str = ""
    record: msgspec.Raw = msgspec.Raw()
    version: int | None = None
    time_extracted: str | None = None
    schema: msgspec.Raw = msgspec.Raw()
    key_properties: list[str] | None = None
    value: msgspec.Raw = msgspec.Raw()
    encoding: dict[str, Any] | None = None
    manifest: list[str] | None = None
    if TYPE_CHECKING:
        parsed: Any = None
    else:
        parsed: _Never | None = None
    """The record, when only a patient parser could read it."""


_decoder = msgspec.json.Decoder(Message)
_NAMES = set(Message.__struct_fields__) - {"parsed"}
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}:,]', re.DOTALL)


def parse(line: bytes) -> Message:
    """Read one line.

    Raises:
        InputError: it is no Singer message.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _parse_patiently(line)


def _parse_patiently(line: bytes) -> Message:
    # NaN, lone surrogates and bad UTF-8 are no JSON to msgspec, but people's taps send them.
    try:
        given = loads(line)
    except RecursionError:
        return _parse_deep(line)
    except ValueError:
        raise InputError(f"a line of the input is no JSON: {_shown(line)}") from None
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        raise InputError(f"a line of the input has no message type: {_shown(line)}")
    parts = {name: value for name, value in given.items() if name in _NAMES and value is not None}
    record = parts.pop("record", None)
    for name in ("schema", "value"):
        if name in parts:
            parts[name] = msgspec.Raw(serialize_json(parts[name]).encode())
    try:
        message = msgspec.convert(parts, Message)
    except msgspec.ValidationError as error:
        raise InputError(f"a {given['type']} message is malformed: {error}") from None
    message.parsed = record
    return message


def _parse_deep(line: bytes) -> Message:
    # Too deep for any parser: the record stays bytes, and whoever reads it will refuse it alone.
    members = dict(_members(line))
    record = members.pop(b'"record"', None)
    rest = b",".join(name + b":" + value for name, value in members.items())
    try:
        message = _decoder.decode(b"{" + rest + b"}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = None
    if message is None or record is None:
        raise InputError(f"a line of the input is nested too deeply: {_shown(line)}")
    message.record = msgspec.Raw(record)
    return message


def _members(line: bytes) -> Iterator[tuple[bytes, bytes]]:
    # The members of an object, whatever their values are.
    depth, start, name = 0, 0, b""
    for token in _TOKENS.finditer(line):
        text = token[0]
        if text in b"[{":
            depth += 1
            start = token.end() if depth == 1 else start
        elif depth == 1 and text == b":":
            name, start = line[start : token.start()].strip(), token.end()
        elif depth == 1 and text in b",}":
            if name:
                yield name, line[start : token.start()].strip()
            name, start = b"", token.end()
        if text in b"]}":
            depth -= 1


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return text[:SHOWN] + ("…" if len(text) > SHOWN else "")


class Lines:
    """The lines of the input, in chunks as they arrive; time passes visibly while none does."""

    def __init__(self, source: IO[str] | IO[bytes] | None, wakeup: int, pause: float) -> None:
        """Remember where to read.

        Args:
            source: a file; None for standard input.
            wakeup: a file descriptor that becomes readable when a signal arrives.
            pause: seconds after which an empty chunk is given.
        """
        self._source = source if source is not None else sys.stdin
        self._wakeup = wakeup
        self._pause = pause

    def __iter__(self) -> Iterator[list[bytes]]:
        """Give whole lines without their ends; the last one even when its end is missing.

        Raises:
            InputError: standard input was closed before the target began.
        """
        if self._source is None:
            raise InputError("standard input is closed: there is nothing to read")
        rest: list[bytes] = []
        for data in self._chunks():
            if b"\n" not in data:
                if data:
                    rest.append(data)
                yield []
                continue
            first, *lines = data.split(b"\n")
            lines.insert(0, b"".join([*rest, first]))
            last = lines.pop()
            rest = [last] if last else []
            yield lines
        if rest:
            yield [b"".join(rest)]

    def _chunks(self) -> Iterator[bytes]:
        buffer = getattr(self._source, "buffer", self._source)
        try:
            descriptor = buffer.fileno()
        except (AttributeError, io.UnsupportedOperation, ValueError):
            for line in self._source:
                yield line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
            return
        deadline = time.monotonic() + self._pause
        while True:
            ready, _, _ = select.select(
                [descriptor, self._wakeup], [], [], max(0, deadline - time.monotonic())
            )
            if descriptor in ready and self._wakeup not in ready:
                data = os.read(descriptor, READ_SIZE)
                if not data:
                    return
                yield data
            else:
                yield b""
            deadline = time.monotonic() + self._pause
