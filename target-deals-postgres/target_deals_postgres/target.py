"""The Singer target: the SDK's command line and settings around one `Run`."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
from typing import IO, TYPE_CHECKING, Any, ClassVar

from singer_sdk.helpers.capabilities import PluginCapabilities, TargetCapabilities
from typing_extensions import override

from target_deals_postgres.config import settings_of
from target_deals_postgres.ending import tell
from target_deals_postgres.errors import InterruptedRunError, SettingsError
from target_deals_postgres.records.messages import Lines
from target_deals_postgres.run import Run
from target_deals_postgres.sdk import ByteTarget
from target_deals_postgres.settings import SCHEMA
from target_deals_postgres.storing.database import Database

if TYPE_CHECKING:
    from collections import Counter

    from singer_sdk.helpers.capabilities import CapabilitiesEnum

ONE_SIGNAL = 1.0  # seconds in which several signals are one
PAUSE = 0.25  # seconds between looks at the clock while no input comes
OBJECTS_BETWEEN_COLLECTIONS = 50_000
SWITCH_SECONDS = 0.0005  # the commit asks for Python between chunks: with 5 ms it mostly waits


class TargetDealsPostgres(ByteTarget):
    """Loads Singer streams into PostgreSQL: exact values, COPY and merge, STATE after commit."""

    name = "target-deals-postgres"
    config_jsonschema = SCHEMA
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.ACTIVATE_VERSION,
        PluginCapabilities.BATCH,
        PluginCapabilities.STRUCTURED_LOGGING,
        TargetCapabilities.VALIDATE_RECORDS,
        TargetCapabilities.TARGET_SCHEMA,
        TargetCapabilities.SOFT_DELETE,
        TargetCapabilities.HARD_DELETE,
    ]

    def __init__(self, **options: Any) -> None:
        """Check the settings; nothing is connected yet.

        Args:
            options: what the SDK passes.

        Raises:
            ConfigValidationError: a setting is wrong; the message names it.
        """
        self._stop_signal = 0
        self._stopped_at = 0.0
        self._woken, self._wakeup = os.pipe()
        os.set_blocking(self._wakeup, False)
        super().__init__(**options)
        settings = settings_of(self.config)
        self.run = Run(
            settings,
            Database(
                settings.database_url,
                said_by=settings.said_by,
                dry_run=settings.dry_run,
                lock_seconds=settings.lock_timeout_seconds,
            ),
            self.mapper,
        )

    def __del__(self) -> None:
        """Close the pipe of the signals."""
        for descriptor in (self._woken, self._wakeup):
            os.close(descriptor)

    @override
    def read(self, source: IO[str] | None) -> Counter[str]:
        self.run.read(Lines(source, self._woken, PAUSE), lambda: bool(self._stop_signal))
        return self.run.lines

    @override
    def process_endofpipe(self) -> None:
        self.run.finish(interrupted=bool(self._stop_signal))
        if number := self._stop_signal:
            name = signal.Signals(number).name
            error = InterruptedRunError(f"{name} ended the run after a last commit", number)
            sys.exit(tell(self.logger, error))
        self.run.judge()

    @override
    def heed(self, number: int) -> None:
        # Never drain in here: whatever runs now may be in the middle of a commit. Meltano sends a
        # signal to the group and one to the process: that counts as one.
        if not self._stop_signal:
            self._stop_signal, self._stopped_at = number, time.monotonic()
            os.write(self._wakeup, b"!")
        elif time.monotonic() - self._stopped_at > ONE_SIGNAL:
            self.run.cancel(number)

    @classmethod
    @override
    def invoke(cls, **options: Any) -> None:
        # Rows hold no cycles: collections would only walk through what was imported.
        gc.freeze()
        gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
        sys.setswitchinterval(SWITCH_SECONDS)
        # What ends the run is told below. The rest is psycopg2's, which prints an exception of a
        # connection that is cut during COPY, row and all.
        sys.excepthook = _hush
        try:
            super().invoke(**options)
        except Exception as error:  # noqa: BLE001 - each way to end is told
            sys.exit(tell(cls.logger, error))
        finally:
            # Python forgets its handlers while it ends: a late second signal must not kill it.
            for one in (signal.SIGINT, signal.SIGTERM):
                signal.signal(one, signal.SIG_IGN)

    @classmethod
    @override
    def cb_config(cls, ctx: Any, param: Any, value: tuple[str, ...]) -> Any:
        try:
            return super().cb_config(ctx, param, value)
        except (OSError, TypeError, ValueError) as error:
            sentence = f"a file of --config cannot be read as a JSON object: {error}"
            raise SettingsError(sentence) from error


def _hush(kind: type[BaseException], *_: object) -> None:
    logging.getLogger(TargetDealsPostgres.name).debug("%s inside a library", kind.__name__)
