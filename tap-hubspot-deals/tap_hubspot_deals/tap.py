"""The tap: its settings, its streams, and how it starts and ends."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import singer_sdk.singerlib as singer
from hubspot_client.client import Client
from hubspot_client.errors import HubSpotError
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers._util import load_json
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from singer_sdk.plugin_base import _ConfigInput
from typing_extensions import override

from tap_hubspot_deals import settings as tap_settings
from tap_hubspot_deals.process import economize
from tap_hubspot_deals.setting_faults import validate
from tap_hubspot_deals.setting_schema import CONFIG_SCHEMA
from tap_hubspot_deals.streams.base import TenantStream
from tap_hubspot_deals.streams.discovery import Discovery
from tap_hubspot_deals.streams.objects import ObjectStream
from tap_hubspot_deals.streams.records import Identity
from tap_hubspot_deals.streams.writer import MessageWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import IO

    import click

    from tap_hubspot_deals.object_settings import ObjectSettings


GRACE = 1.5
"""Seconds from a signal to the end, at the most."""


class Terminated(BaseException):
    """A signal asked the tap to end; raised in the main thread, where it is safe."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class TapHubspotDeals(Tap):
    """Singer tap for HubSpot deals and their associations."""

    name = "tap-hubspot-deals"
    dynamic_catalog = True
    message_writer_class = MessageWriter
    config_jsonschema: ClassVar[dict[str, Any]] = CONFIG_SCHEMA
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

    def __init__(self, **kwargs: Any) -> None:
        self._client: Client | None = None
        self._settings: tap_settings.Settings | None = None
        super().__init__(**kwargs)

    @property
    def settings(self) -> tap_settings.Settings:
        """The validated settings."""
        if self._settings is None:
            self._settings = tap_settings.parse(self.config)
        return self._settings

    @property
    def client(self) -> Client:
        """The conversation with HubSpot that all streams share."""
        if self._client is None:
            self._client = Client(self.settings.access, self.logger)
        return self._client

    @property
    def identity(self) -> Identity:
        """Whose records these are."""
        return Identity(self.settings)

    @property
    def writer(self) -> MessageWriter:
        """Where messages go."""
        writer = self.message_writer
        assert isinstance(writer, MessageWriter)  # noqa: S101 - for the type checker
        return writer

    @property
    @override
    def catalog(self) -> singer.Catalog:
        """Today's schemas with the selection of the catalog that was passed in."""
        return self._singer_catalog

    @cached_property
    def object_settings(self) -> list[ObjectSettings]:
        """The object types to read, each with the settings that apply to it."""
        return tap_settings.parse_objects(self.config)

    @override
    def discover_streams(self) -> list[TenantStream]:
        """All streams of the account; see `Discovery.streams` for what may go wrong."""
        return Discovery(self).streams()

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        errors = super()._validate_config(raise_errors=False)
        only_tenant = self._config.get("tenant_id") is None and len(errors) == 1
        if not errors or only_tenant:
            errors = validate(self._config)
        if errors and raise_errors:
            raise ConfigValidationError("Config validation failed", errors=errors)
        return errors

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """End with 128 + signal: the SDK's own handler exits 0, as if all had been read."""
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        # A pipe that nobody empties blocks for ever, and no exception gets in there.
        last_resort = threading.Timer(GRACE, os._exit, (128 + signum,))
        last_resort.daemon = True
        last_resort.start()
        if self.writer.writing:
            self.writer.interrupted = Terminated(signum)
        else:
            raise Terminated(signum)

    def finish(self) -> None:
        """Tell what the run cost and where it got to."""
        client = self._client
        if client is None:
            return
        client.close()
        streams = [s for s in (self._streams or {}).values() if isinstance(s, TenantStream)]
        summary = {
            "requests": dict(client.requests),
            "answered_429": dict(client.rate_limited),
            "retries": client.retries,
            "seconds_waited": round(client.budgets.waited(), 1),
            "records": {s.name: s.emitted for s in streams if s.emitted},
            "bookmarks": {
                s.name: {"from": s.bookmarks[0], "to": s.bookmarks[1]}
                for s in streams
                if isinstance(s, ObjectStream)
            },
        }
        self.logger.info("Run summary: %s", json.dumps(summary))

    @classmethod
    @override
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> None:
        """Run the tap; arguments as the SDK's."""
        if about:
            cls.print_about(about_format)
            return
        given = config or _ConfigInput()
        with cls._speaking():
            tap = cls(
                config=given.config,
                state=None if state is None else load_json(state.read()),
                catalog=None if catalog is None else load_json(catalog.read()),
                parse_env_config=given.parse_env,
                validate_config=True,
            )
            economize()
            try:
                tap.sync_all()
            except Terminated as signal_:
                tap.logger.warning("Signal %d: state is written, ending.", signal_.signum)
                tap.writer.write_message(singer.StateMessage(value=tap.state))
                raise
            finally:
                tap.finish()

    @classmethod
    @override
    def cb_discover(cls, ctx: click.Context, param: click.Option, value: bool) -> None:
        """Discovery, with errors as sentences."""
        with cls._speaking():
            super().cb_discover(ctx, param, value)

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """The connection test, with errors as sentences."""
        with cls._speaking():
            super().cb_test(ctx, param, value)

    @classmethod
    @contextlib.contextmanager
    def _speaking(cls) -> Iterator[None]:
        """Turn what people can act on into one sentence each, and the exit code it deserves."""
        try:
            yield
        except ConfigValidationError as exc:
            for error in exc.errors:
                cls.logger.error("%s", error)  # noqa: TRY400
            _leave(1)
        except HubSpotError as exc:
            cls.logger.error("%s", exc)  # noqa: TRY400
            _leave(1)
        except BrokenPipeError:
            cls.logger.error("The target ended before the tap.")  # noqa: TRY400
            _leave(1)
        except Terminated as exc:
            _leave(128 + exc.signum)


def _leave(code: int) -> NoReturn:
    """End now, without waiting for requests that are still under way."""
    logging.shutdown()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)
