"""The Singer target: the SDK's command line and settings around one `Run`."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from typing import IO, TYPE_CHECKING, Any, ClassVar

from singer_sdk.helpers.capabilities import PluginCapabilities
from typing_extensions import override

from target_hubspot.ending import tell
from target_hubspot.errors import InputError, InterruptedRunError, SettingsError, StateUnreadError
from target_hubspot.run import Run
from target_hubspot.sdk import LineTarget
from target_hubspot.settings import SCHEMA, settings_of

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from singer_sdk.helpers.capabilities import CapabilitiesEnum


NOT_OURS = {"add_record_metadata", "load_method", "batch_size_rows"}
"""Settings of the SDK that say nothing here."""


def put_out(text: str) -> None:
    """Write a STATE where the runner reads it.

    Raises:
        StateUnreadError: If nobody can read it there.
    """
    if sys.stdout is None:
        raise StateUnreadError("Standard output is closed: nobody can read the STATEs.")
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError as error:
        # Python would try once more at its end, and say so in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sentence = "Whoever read the STATEs is gone."
        if error.errno != errno.EPIPE:
            sentence = f"The STATEs cannot be written ({error.strerror})."
        raise StateUnreadError(sentence) from None


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
        opened = sys.stdin if source is None else source
        if opened is None:
            raise InputError("Standard input is closed: there is nothing to read.")
        lines = opened.buffer  # --input is opened as text
        try:
            with contextlib.suppress(_Interrupted):
                self.run.read(self._lines(lines))
            self.run.finish(last=not self._stop_signal)
        finally:
            self.run.close()
        return self.run.lines

    def _lines(self, source: IO[bytes]) -> Iterator[bytes]:
        while True:
            self._is_waiting = True  # first: a signal that comes from now on is raised here
            line = b"" if self._stop_signal else source.readline()
            self._is_waiting = False
            if not line:
                return
            yield line

    @override
    def process_endofpipe(self) -> None:
        if self._stop_signal:
            name = signal.Signals(self._stop_signal).name
            sentence = f"{name} ended the run after a last batch."
            sys.exit(tell(self.logger, InterruptedRunError(sentence, self._stop_signal)))
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
            sys.exit(tell(cls.logger, error))

    @classmethod
    @override
    def cb_config(cls, ctx: Any, param: Any, value: tuple[str, ...]) -> Any:
        try:
            return super().cb_config(ctx, param, value)
        except (OSError, TypeError, ValueError) as error:
            sentence = f"A file of --config cannot be read as a JSON object: {error}"
            raise SettingsError(sentence) from error
