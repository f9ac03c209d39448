"""`map-limits`: `start_date` and `max_records` between a tap that lacks them and its target.

Lines that pass are passed on as they are, byte for byte. What is left out is promised nowhere: a
sample has no STATE, and a stream that is not whole has no ACTIVATE_VERSION, by which a target would
take all else for deleted.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC
from typing import IO, TYPE_CHECKING, Any, ClassVar

import msgspec
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers.capabilities import PluginCapabilities
from typing_extensions import override

from crm_taps import settings
from crm_taps.ending import speaking
from crm_taps.errors import InputError, SettingsError
from crm_taps.messages import written
from crm_taps.plugin import ConfigInput, Plugin
from crm_taps.process import SIGNALS, release_signals
from crm_taps.values import TIME, MisfitError, utc_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHUNK = 1 << 16
TIMES = {"date-time", "date"}


class Message(msgspec.Struct):
    """As much of a Singer message as limits ask about."""

    type: str
    stream: str = ""
    record: msgspec.Raw = msgspec.Raw()
    schema: msgspec.Raw = msgspec.Raw(b"{}")
    bookmark_properties: list[str] | None = None


class Limits:
    """Decides message by message.

    Args:
        config: The mapper's settings.

    Attributes:
        awaited: The streams that `time_columns` names and that have not come.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        start = settings.moment(config.get("start_date") or "")
        self._start = utc_text(start) if start else None
        self._most: int | None = config.get("max_records")
        self._named: dict[str, str] = config.get("time_columns") or {}
        self._columns: dict[str, str] = {}
        self._cut: set[str] = set()
        self._passed: dict[str, int] = {}
        self.awaited = set(self._named) if start else set()

    @property
    def any(self) -> bool:
        """Whether there is anything to leave out."""
        return self._start is not None or self._most is not None

    def pass_on(self, line: bytes) -> bool:
        """Whether a line goes to the target.

        Raises:
            InputError: It is no Singer message, or one that cannot be limited.
            SettingsError: The settings name a column that a stream does not have.
        """
        try:
            message = msgspec.json.decode(line, type=Message)
            if message.type == "RECORD":
                return self._has_room(message)
            if message.type == "SCHEMA":
                self._learn(message)
        except msgspec.MsgspecError as exc:
            raise InputError(f"The tap wrote a line that is no Singer message: {exc}.") from None
        if message.type == "BATCH":
            raise InputError(f"The tap sends {message.stream} in files, which cannot be limited.")
        if message.type == "STATE":
            return self._most is None
        if message.type == "ACTIVATE_VERSION":
            return self._most is None and message.stream not in self._cut
        return True

    def _learn(self, message: Message) -> None:
        """Which column of a stream has the time, if `start_date` asks for one."""
        if self._start is None:
            return
        self.awaited.discard(message.stream)
        schema = msgspec.json.decode(message.schema)
        known = schema.get("properties") or {}
        named = self._named.get(message.stream)
        if named is not None and named not in known:
            raise SettingsError(
                f"The setting `time_columns`: {message.stream} has no column {named}."
            )
        for column in [named] if named else message.bookmark_properties or []:
            if named or (known.get(column) or {}).get("format") in TIMES:
                self._columns[message.stream] = column
                break

    def _has_room(self, message: Message) -> bool:
        column = self._columns.get(message.stream)
        if column is not None and self._is_early(msgspec.json.decode(message.record).get(column)):
            self._cut.add(message.stream)
            return False
        if self._most is None:
            return True
        passed = self._passed.get(message.stream, 0) + 1
        self._passed[message.stream] = passed
        return passed <= self._most

    def _is_early(self, value: Any) -> bool:
        """Whether it is a time before the first one; what is no time never is."""
        try:
            at = None if value is None else TIME.convert(value, UTC)
        except MisfitError:
            return False
        return at is not None and self._start is not None and at < self._start


class MapLimits(Plugin):
    """Singer mapper that gives any tap a first date and a largest number of records."""

    name = "map-limits"
    package_name = "crm-taps"
    capabilities: ClassVar[list[Any]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            **settings.LIMITS,
            "time_columns": {
                "type": "object",
                "additionalProperties": {"type": "string", "minLength": 1},
                "default": {},
                "description": "The column by which a stream is read by time, where its tap names "
                'none: an object such as `{"Marketing Leads": "Date"}`.',
            },
        },
    }

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        # a setting that a tap does not have reaches us as an empty text
        self._config = {name: value for name, value in self._config.items() if value != ""}
        errors = list(settings.faults(self._config, self.config_jsonschema))
        if errors and raise_errors:
            raise ConfigValidationError("Config validation failed", errors=errors)
        return errors

    def run(self, lines: IO[bytes], out: IO[bytes]) -> None:
        """Pass on what is within the limits, to the tap's end.

        A signal is for tap and target: what the tap still says, its last state above all, is passed
        on, and with the tap this ends.
        """
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        release_signals()
        limits = Limits(self.config)
        passing = _limited(limits, lines) if limits.any else _chunks(lines)
        for content in passing:
            with written():
                out.write(content)
                out.flush()
        for stream in sorted(limits.awaited):
            self.logger.warning("The setting `time_columns` names %s, which did not come.", stream)

    @classmethod
    @override
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: ConfigInput | None = None,
    ) -> None:
        """Run the mapper; arguments as the SDK's."""
        if about:
            cls.print_about(about_format)
            return
        given = config or ConfigInput()
        with speaking(cls.logger, cls.source):
            mapper = cls(config=given.config, parse_env_config=given.parse_env)
            if sys.stdin is None:
                raise InputError("Standard input is closed: there is nothing to read.")
            with written():
                out = sys.stdout.buffer
            mapper.run(sys.stdin.buffer, out)


def _chunks(lines: IO[bytes]) -> Iterator[bytes]:
    while content := os.read(lines.fileno(), CHUNK):
        yield content


def _limited(limits: Limits, lines: IO[bytes]) -> Iterator[bytes]:
    """The lines that pass, many at a time, but none held back while the tap is silent."""
    rest = b""
    for content in _chunks(lines):
        *whole, rest = (rest + content).split(b"\n")
        yield b"".join(line + b"\n" for line in whole if line.strip() and limits.pass_on(line))
    if rest.strip() and limits.pass_on(rest):
        yield rest + b"\n"
