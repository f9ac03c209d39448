"""A tap of one source: its settings, its streams, and how it starts and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from datetime import UTC
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import singer_sdk.singerlib as singer
from singer_sdk import Stream, Tap
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers._catalog import get_selected_schema
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from typing_extensions import override

from crm_taps import settings, stream_maps
from crm_taps.ending import Terminated, speaking
from crm_taps.errors import (
    ForbiddenError,
    InconsistentError,
    RefusedError,
    SourceError,
    TargetGoneError,
)
from crm_taps.inputs import read_catalog, read_state
from crm_taps.messages import MessageWriter, written
from crm_taps.pace import Limit, Pace
from crm_taps.plugin import ConfigInput, Plugin
from crm_taps.process import release_signals

if TYPE_CHECKING:
    from datetime import datetime, tzinfo
    from types import FrameType
    from typing import IO

    import click


GRACE = 3.0
"""Seconds from a signal to the end, at the most."""


class SourceTap(Plugin, Tap):
    """What the taps of all sources have in common; a source names its settings and streams.

    Attributes:
        limits: The requests that it allows; `requests_per_minute` takes their place.
        stream_types: The streams, in the order in which they are made.
    """

    limits: ClassVar[tuple[Limit, ...]] = ()
    stream_types: ClassVar[tuple[type[Stream], ...]] = ()
    dynamic_catalog = True
    message_writer_class = MessageWriter
    capabilities: ClassVar[list[Any]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        TapCapabilities.ACTIVATE_VERSION,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    @cached_property
    def tenant_id(self) -> str:
        """Whose account this is."""
        return str(self.config["tenant_id"])

    @cached_property
    def pace(self) -> Pace:
        """How fast the source may be asked; all streams share it."""
        asked = self.config.get("requests_per_minute")
        return Pace([Limit(asked, 60.0)] if asked else self.limits, self.logger)

    @cached_property
    def time_zone(self) -> tzinfo:
        """The zone of times that the source sends without one."""
        return settings.time_zone(self.config["time_zone"]) or UTC

    @cached_property
    def start_date(self) -> datetime | None:
        """The earliest moment that is asked for."""
        return settings.moment(self.config.get("start_date") or "")

    @override
    def discover_streams(self) -> list[Stream]:
        """All streams of the source."""
        return [each(self) for each in self.stream_types]

    @property
    @override
    def catalog(self) -> singer.Catalog:
        """Today's schemas with the selection of the catalog that was passed in."""
        return self._singer_catalog

    @override
    def setup_mapper(self) -> None:
        """Let the stream maps be made, each for what is selected of its stream."""
        super(Tap, self).setup_mapper()
        for stream in self.streams.values():
            mask = stream.metadata.resolve_selection()
            selected = get_selected_schema(stream.name, stream.schema, mask)
            stream_maps.register(self.mapper, stream.name, selected, stream.primary_keys)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        stream_maps.judge(self._config)
        super()._validate_config(raise_errors=False)  # fills in the defaults
        errors = list(settings.faults(self._config, self.config_jsonschema))
        if errors and raise_errors:
            raise ConfigValidationError("Config validation failed", errors=errors)
        return errors

    def read_all(self) -> None:
        """Read all selected streams; what is wrong with one of them ends the run after the others.

        The SDK's own `sync_all` ends at the first one, and is final.

        Raises:
            SourceError: Streams could not be read, or the source not at all.
        """
        faults: list[SourceError] = []
        self._reset_state_progress_markers()
        self._set_compatible_replication_methods()
        for stream in self.streams.values():
            if not stream.selected:
                self.logger.info("Skipping deselected stream '%s'.", stream.name)
                continue
            try:
                stream.sync()
                stream.finalize_state_progress_markers()
            except (ForbiddenError, InconsistentError, RefusedError) as fault:
                faults.append(fault)
            stream.log_sync_costs()
        if faults:
            raise type(faults[0])(" ".join(dict.fromkeys(str(fault) for fault in faults)))

    def run(self) -> None:
        """Read all selected streams; whatever ends that, the state of what was read is written."""
        try:
            self.read_all()
        except BaseException:
            with contextlib.suppress(BrokenPipeError, TargetGoneError):
                self.write_message(singer.StateMessage(value=self.state))
            raise

    @override
    def _setup_signal_handlers(self) -> None:
        super()._setup_signal_handlers()
        release_signals()

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """End with 128 + signal: the SDK's own handler exits 0, as if all had been read."""
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        # A pipe that nobody empties blocks for ever, and no exception gets in there.
        last_resort = threading.Timer(GRACE, os._exit, (128 + signum,))
        last_resort.daemon = True
        last_resort.start()
        writer = getattr(self, "message_writer", None)  # none yet while the tap is made
        if isinstance(writer, MessageWriter) and writer.writing:
            writer.interrupted = Terminated(signum)
        else:
            raise Terminated(signum)

    @classmethod
    @override
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: ConfigInput | None = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> None:
        """Run the tap; arguments as the SDK's."""
        if about:
            cls.print_about(about_format)
            return
        given = config or ConfigInput()
        with speaking(cls.logger, cls.source):
            tap = cls(
                config=given.config,
                state=read_state(state),
                catalog=read_catalog(catalog),
                parse_env_config=given.parse_env,
                validate_config=True,
            )
            tap.run()

    @classmethod
    @override
    def cb_discover(cls, ctx: click.Context, param: click.Option, value: bool) -> None:
        """Discovery; what is wrong with the settings is told as in a run."""
        if not value:
            return
        given: ConfigInput = ctx.params.get("config") or ConfigInput()
        tap = cls(config=given.config, parse_env_config=given.parse_env, setup_mapper=False)
        text = tap.catalog_json_text
        with written():
            print(text, flush=True)  # noqa: T201 - it is what was asked for
        ctx.exit()
