"""The tap: its settings, its streams, and how it starts."""

from __future__ import annotations

import json
import os
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import click
import singer_sdk.singerlib as singer
from hubspot_client.client import Client
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from typing_extensions import override

from tap_hubspot_deals import settings as tap_settings
from tap_hubspot_deals.ending import NotComparedError, Terminated, told
from tap_hubspot_deals.inputs import read_catalog, read_config, read_state
from tap_hubspot_deals.planning.forecast import forecast, keep_reserve
from tap_hubspot_deals.planning.telling import as_json, as_text
from tap_hubspot_deals.process import economize
from tap_hubspot_deals.sdk import METRIC_INTERVAL, ConfigInput, SingerTap
from tap_hubspot_deals.streams.base import Account, TenantStream
from tap_hubspot_deals.streams.discovery import Discovery
from tap_hubspot_deals.streams.objects import ObjectStream
from tap_hubspot_deals.streams.records import Identity
from tap_hubspot_deals.streams.states import check_state, lacking
from tap_hubspot_deals.streams.writer import MessageWriter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from tap_hubspot_deals.planning.forecast import Forecast

GRACE = 1.5
"""Seconds from a signal to the end, at the most."""


class TapHubspotDeals(SingerTap):
    """Singer tap for HubSpot deals and their associations."""

    name = "tap-hubspot-deals"
    dynamic_catalog = True
    message_writer_class = MessageWriter
    config_jsonschema: ClassVar[dict[str, Any]] = tap_settings.CONFIG_SCHEMA
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
    def account(self) -> Account:
        """What all streams share; needs valid settings."""
        settings = tap_settings.parse(self.config)
        access = tap_settings.access_of(self.config)
        client = Client(access, self.logger, telling=METRIC_INTERVAL)
        return Account(self, client, settings, Identity(settings), self.writer)

    @property
    def writer(self) -> MessageWriter:
        """Where messages go."""
        writer = self.message_writer
        assert isinstance(writer, MessageWriter)  # noqa: S101 - for the type checker
        return writer

    @override
    def discover_streams(self) -> list[TenantStream]:
        """All streams of the account; see `Discovery.streams` for what may go wrong."""
        for sentence in tap_settings.former_names(self.config):
            self.logger.warning("%s", sentence)
        return Discovery(self.account, tap_settings.parse_objects(self.config)).streams()

    @override
    def faults(self, config: Mapping[str, Any]) -> list[str]:
        return tap_settings.validate(config)

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        check_state(state)
        super().load_state(state)

    def tell_beginnings(self) -> None:
        """Tell which streams find no bookmark in the state that was given."""
        kept = [name for name, s in self.streams.items() if isinstance(s, ObjectStream)]
        for sentence in lacking(dict(self.state), kept, self.account.identity.tenant_id):
            self.logger.info("%s", sentence)

    def plan(self, form: str | None = None) -> str:
        """What the next run would cost, and one without state; nothing is read or written.

        Args:
            form: `json`, or None for people.

        Raises:
            HubSpotError: As in a run.
        """
        found = self._forecast(also_anew=bool(self.given_state))
        return f"{as_json(found)}\n" if form == "json" else as_text(found)

    def keep_reserve(self) -> None:
        """End here, where the run would leave less of the day's requests than is to be kept.

        Raises:
            DailyReserveError: If it would.
        """
        percent = self.account.settings.daily_reserve_percent
        if percent is None:
            return
        found = self._forecast(also_anew=False)
        if found.usage is None:
            self.logger.warning(
                "HubSpot does not tell how many requests of the day are left, so "
                "`daily_reserve_percent` keeps none; the run starts."
            )
        keep_reserve(found, percent)

    def _forecast(self, *, also_anew: bool) -> Forecast:
        self.streams  # noqa: B018 - discovers them
        client = self.account.client
        private = bool(self.config.get("access_token"))
        return forecast(self, client, private=private, also_anew=also_anew)

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        """The SDK's, with `--plan`."""
        command = super().get_singer_command()
        about = "Tell how many requests a run would take, and read nothing; --format json."
        command.params.append(click.Option(["--plan"], is_flag=True, help=about))
        return command

    @override
    def end_by(self, signum: int) -> None:
        # A pipe that nobody empties blocks for ever, and no exception gets in there.
        last_resort = threading.Timer(GRACE, os._exit, (128 + signum,))
        last_resort.daemon = True
        last_resort.start()
        if self.writer.writing:
            self.writer.interrupted = Terminated(signum)
        else:
            raise Terminated(signum)

    def check_compared(self) -> None:
        """See, behind the last stream, whether all is as it was asked for.

        Raises:
            NotComparedError: If everything was to be compared with HubSpot, and was not.
        """
        if self.account.settings.compare_everything and (left := self._not_compared()):
            raise NotComparedError(
                "The tables are as HubSpot, but for what could not be compared: "
                f"{json.dumps(left)}. All that was read is written, and the state is good."
            )

    def _not_compared(self) -> dict[str, dict[str, int]]:
        streams = [s for s in self.loaded_streams if isinstance(s, ObjectStream)]
        return {s.name: s.not_compared for s in streams if s.not_compared}

    def put_state(self) -> None:
        """Write how far all streams have come."""
        for stream in self.loaded_streams:
            if isinstance(stream, ObjectStream):
                stream.settle()
        self.writer.write_message(singer.StateMessage(value=self.state))

    def finish(self) -> None:
        """Tell what the run cost and where it got to."""
        if "account" not in self.__dict__:  # it ended before anything was asked
            return
        client = self.account.client
        client.tell_use()
        client.close()
        streams = [s for s in self.loaded_streams if isinstance(s, TenantStream)]
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
            "not_compared": self._not_compared(),
            "compared_since": {
                s.name: s.own_state().get("compared_since")
                for s in streams
                if isinstance(s, ObjectStream) and s.not_compared
            },
        }
        self.logger.info("Run summary: %s", json.dumps(summary), extra={"summary": summary})

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
        plan: bool = False,
    ) -> None:
        """Run the tap, or tell what a run would cost; arguments as the SDK's."""
        if about:
            cls.print_about(about_format)
            return
        given = config or ConfigInput()
        with told(cls.logger):
            tap = cls(
                config=given.config,
                state=read_state(state),
                catalog=read_catalog(catalog),
                parse_env_config=given.parse_env,
                validate_config=True,
            )
            economize()
            try:
                if plan:
                    click.echo(tap.plan(about_format), nl=False)
                    return
                tap.tell_beginnings()
                tap.keep_reserve()
                tap.sync_all()
                tap.check_compared()
            except Terminated as exc:
                tap.put_state()
                exc.began = True
                raise
            finally:
                tap.finish()

    @classmethod
    @override
    def cb_config(
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> ConfigInput:
        """The settings that the command line names."""
        return read_config(value)

    @classmethod
    @override
    def cb_discover(cls, ctx: click.Context, param: click.Option, value: bool) -> None:
        """Discovery; what is wrong with the settings is told as in a run."""
        if not value:
            return
        given: ConfigInput = ctx.params.get("config") or ConfigInput()
        tap = cls(config=given.config, parse_env_config=given.parse_env, setup_mapper=False)
        tap.writer.write_text(tap.catalog_json_text)
        ctx.exit()
