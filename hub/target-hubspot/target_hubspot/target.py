"""The Singer target: the SDK's command line and settings around one `Run`."""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from hubspot_client.errors import HubSpotError
from hubspot_client.writing.plan import PlanError
from singer_sdk.exceptions import ConfigValidationError, MapExpressionError, StreamMapConfigError
from singer_sdk.helpers.capabilities import PluginCapabilities
from typing_extensions import override

from target_hubspot.errors import (
    InterruptedRunError,
    SettingsError,
    StreamMapError,
    TargetError,
    UnexpectedError,
)
from target_hubspot.run import Run
from target_hubspot.sdk import LineTarget
from target_hubspot.settings import SCHEMA, settings_of

if TYPE_CHECKING:
    import logging
    from collections import Counter
    from collections.abc import Iterator

    from singer_sdk.helpers.capabilities import CapabilitiesEnum


NOT_OURS = {"add_record_metadata", "load_method", "batch_size_rows"}
"""Settings of the SDK that say nothing here."""


def put_out(text: str) -> None:
    """Write a STATE where the runner reads it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class _Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """A signal came while the target waited for input."""


class TargetHubSpot(LineTarget):
    """Writes Singer streams to HubSpot: one record a key, STATE once all before is settled."""

    name = "target-hubspot"
    config_jsonschema = SCHEMA
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    def __init__(self, **options: Any) -> None:
        """Check the settings; nothing is asked yet.

        Args:
            options: What the SDK passes.

        Raises:
            ConfigValidationError: A setting is wrong; the message names it.
        """
        self._stop_signal = 0
        self._is_waiting = False
        super().__init__(**options)
        self.run = Run(settings_of(self.config), self.mapper, self.logger, put_out)

    @override
    def read(self, source: Any) -> Counter[str]:
        lines = (sys.stdin if source is None else source).buffer  # --input is opened as text
        try:
            with contextlib.suppress(_Interrupted):
                self.run.read(self._lines(lines))
            self.run.finish(last=not self._stop_signal)
        finally:
            self.run.close()
        return self.run.lines

    def _lines(self, source: IO[bytes]) -> Iterator[bytes]:
        while not self._stop_signal:
            self._is_waiting = True
            line = source.readline()
            self._is_waiting = False
            if not line:
                return
            yield line

    @override
    def process_endofpipe(self) -> None:
        if self._stop_signal:
            name = signal.Signals(self._stop_signal).name
            _tell(self.logger, InterruptedRunError(f"{name} ended the run after a last batch."))
            sys.exit(128 + self._stop_signal)
        self.run.delivery.judge()

    @override
    def heed(self, number: int) -> None:
        # Whatever runs now may be in the middle of a call: only a wait for input is broken off.
        # A second signal (Meltano sends one to the group, one to the process) changes nothing.
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_IGN)
        self._stop_signal = number
        if self._is_waiting:
            self._is_waiting = False
            raise _Interrupted

    @classmethod
    @override
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        kept = set(config_jsonschema["properties"])
        super().append_builtin_config(config_jsonschema)
        for name in NOT_OURS - kept:
            config_jsonschema["properties"].pop(name, None)

    @classmethod
    @override
    def invoke(cls, **options: Any) -> None:
        try:
            super().invoke(**options)
        except Exception as error:  # noqa: BLE001 - each way to end is told
            _tell(cls.logger, error)
            sys.exit(1)

    @classmethod
    @override
    def cb_config(cls, ctx: Any, param: Any, value: tuple[str, ...]) -> Any:
        try:
            return super().cb_config(ctx, param, value)
        except (OSError, ValueError) as error:
            _tell(cls.logger, SettingsError(f"The file of --config cannot be read: {error}"))
            sys.exit(1)


def _tell(logger: logging.Logger, error: Exception) -> None:
    """Say how the run ended: a sentence for people, a code for programs, no value."""
    known: TargetError | HubSpotError
    if isinstance(error, TargetError | HubSpotError):
        known = error
    elif isinstance(error, ConfigValidationError):
        known = SettingsError("; ".join(error.errors) or str(error))
    elif isinstance(error, PlanError):
        known = SettingsError(str(error))
    elif isinstance(error, MapExpressionError | StreamMapConfigError):
        known = StreamMapError(f"`stream_maps` cannot be carried out: {error}")
    else:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.name} ({Path(place.filename).name}:{place.lineno})"
        known = UnexpectedError(f"{type(error).__name__} in {where}: a fault of the target.")
        logger.debug("Ended by:", exc_info=error)
    logger.error("%s", known, extra={"code": known.code, "retryable": known.retryable})


if __name__ == "__main__":
    TargetHubSpot.cli()
