"""The Singer SDK as this tap uses it: the one place that touches what the SDK keeps to itself.

The SDK writes record by record and lets a stream's state follow the highest value seen. This tap
writes whole pages, keeps bookmarks of its own, and ends as its exit code says. A test,
`test_sdk_members.py`, fails when an upgrade of the SDK takes away what is used here.
"""

from __future__ import annotations

import abc
import logging
import signal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from singer_sdk import Stream, Tap
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers._catalog import get_selected_schema
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.helpers._util import load_json
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.plugin_base import _ConfigInput
from singer_sdk.singerlib.catalog import Metadata
from singer_sdk.singerlib.messages import StateMessage
from typing_extensions import override

from tap_hubspot_deals import stream_maps
from tap_hubspot_deals.catalogs import FULL_TABLE, reduced
from tap_hubspot_deals.environment import refuse_malformed, refuse_odd_secrets

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from types import FrameType

    import singer_sdk.singerlib as singer
    from singer_sdk.helpers.types import Context

__all__ = ["ConfigInput", "SingerStream", "SingerTap", "load_json"]

ConfigInput = _ConfigInput
METRIC_INTERVAL = 2.0


class SingerStream(Stream):
    """A stream that writes its records itself, page by page."""

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # the streams build what the schema says

    @abc.abstractmethod
    def read_and_write(self, *, write: bool) -> Iterator[dict[str, Any]]:
        """Read all that is due, and give each record once it is written.

        Args:
            write: Whether messages go out; the SDK's connection test wants none.
        """

    wants_all = False
    """Whether the catalog wants everything at every run."""

    @property
    def automatic(self) -> set[str]:
        """The fields that go out whatever a catalog selects."""
        return set(self.primary_keys or ())

    @property
    def annotations(self) -> dict[str, str]:
        """What a SCHEMA says besides the JSON schema."""
        return {}

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        """Log a message; errors are told once, where the run ends, and not by each stream too."""
        super().log(
            message, *args, level=logging.DEBUG if level >= logging.ERROR else level, **kwargs
        )

    def announce(self) -> None:
        """Write the stream's SCHEMA."""
        self._write_schema_message()

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        yield from self.read_and_write(write=write_messages)

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        """Nothing: `read_and_write` does it."""
        return ()

    @override
    def get_record_counter(self, *, endpoint: str | None = None, log_interval: float = 0) -> Any:
        """Tell progress every two seconds: the scan service follows it."""
        return super().get_record_counter(endpoint=endpoint, log_interval=METRIC_INTERVAL)

    @override
    def apply_catalog(self, catalog: singer.Catalog) -> None:
        """Take the selection from a catalog, but not its schema: types come from HubSpot, today.

        Of its replication method, FULL_TABLE is taken: it wants more than a bookmark would give.
        """
        self._tap_input_catalog = catalog
        self._metadata = None
        self._mask = None
        entry = catalog.get_stream(self.name)
        if entry is not None:
            self.wants_all = entry.replication_method == FULL_TABLE

    @property
    @override
    def metadata(self) -> singer.MetadataMapping:
        """As the SDK's, with the automatic fields marked so, whatever an old catalog says."""
        found = super().metadata
        for name in self.automatic:
            found["properties", name].inclusion = Metadata.InclusionType.AUTOMATIC
        return found

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """None: a bookmark is the end of a closed window, not the highest value seen.

        The SDK asks for it before it writes anything of the stream, so that the first stream's turn
        is the time to find out whether all can be read.
        """
        if isinstance(self._tap, SingerTap):
            self._tap.prepare()

    def prepare(self) -> None:
        """Find out whether the stream can be read, before anything is written."""

    @override
    def _generate_schema_messages(self) -> Generator[singer.SchemaMessage, None, None]:
        for message in super()._generate_schema_messages():
            message.schema.update(self.annotations)
            yield message

    @override
    def _write_activate_version_message(self, full_table_version: int) -> None:
        """Not at the beginning, where the SDK would: `write_version` comes after the records."""

    def write_version(self, version: int) -> None:
        """Write ACTIVATE_VERSION."""
        super()._write_activate_version_message(version)

    def write_mapped(self, record: dict[str, Any], *, version: int | None) -> None:
        """Write one record, through the SDK's selection, maps and flattening.

        Raises:
            StreamMapConfigError: If a map fails on it.
        """
        self._stream_version = version
        self._write_record_message(record)

    @override
    def _generate_record_messages(
        self, record: dict[str, Any]
    ) -> Generator[singer.RecordMessage, None, None]:
        with stream_maps.applied(self.name):
            yield from super()._generate_record_messages(record)

    @cached_property
    def is_plain(self) -> bool:
        """Whether records go out as they are: nothing deselected, mapped or flattened."""
        maps = self.stream_maps
        return (
            len(maps) == 1
            and type(maps[0]) is SameRecordTransform
            and maps[0].stream_alias == self.name
            and not self.config.get("flattening_enabled")
            and all(self.mask.values())
        )

    @property
    def started_ms(self) -> int:
        """When the tap began, in epoch milliseconds."""
        return int(self._initialized_at)

    @property
    def whole_state(self) -> dict[str, Any]:
        """The state of all streams, which STATE messages carry."""
        return dict(self.tap_state)

    def records_written(self) -> None:
        """Note that the state on its way is behind the records."""
        self.state_manager.is_flushed = False

    def state_message(self) -> StateMessage:
        """The state, without the copies that the SDK makes to see whether it changed."""
        self.state_manager.is_flushed = True
        return StateMessage(value=self.whole_state)

    @property
    def record_limit(self) -> int | None:
        """How many records a connection test may read; None: no limit."""
        limit: int | None = self.ABORT_AT_RECORD_COUNT
        return limit

    def stop_at_limit(self, count: int) -> None:
        """End a connection test that has read its records.

        Raises:
            MaxRecordsLimitException: If it has.
        """
        self._check_max_record_limit(count)


class SingerTap(Tap):
    """A tap that tells faults of its settings itself and ends by signals as programs do.

    `given_state` is the state that was passed in; the SDK's own is not there yet at discovery.
    """

    def __init__(self, **kwargs: Any) -> None:
        given = kwargs.get("state")
        self.given_state: dict[str, Any] = given if isinstance(given, dict) else {}
        super().__init__(**{**kwargs, "catalog": reduced(kwargs.get("catalog"))})

    @abc.abstractmethod
    def faults(self, config: Mapping[str, Any]) -> list[str]:
        """What is wrong with settings of the right type, one sentence a fault."""

    @abc.abstractmethod
    def end_by(self, signum: int) -> None:
        """End, because a signal asked for it; called once, inside its handler."""

    def selects(self, name: str, field: str | None = None) -> bool:
        """Whether the catalog that was passed in, if any, wants a stream, and a field of it."""
        if self.input_catalog is None:
            return True
        entry = self.input_catalog.get_stream(name)
        mask = entry.metadata.resolve_selection() if entry else None
        return mask is not None and mask[()] and mask[("properties", field) if field else ()]

    @cached_property
    def prepared(self) -> None:
        """Every stream that is selected has found out whether it can be read."""
        for stream in self.loaded_streams:
            if isinstance(stream, SingerStream) and stream.selected:
                stream.prepare()

    def prepare(self) -> None:
        """Let all streams find out whether they can be read, once and before anything is written.

        Raises:
            HubSpotError: If one of them cannot.
        """
        self.prepared  # noqa: B018 - the first one to ask does it

    @property
    def loaded_streams(self) -> list[Stream]:
        """The streams that discovery found; none before it."""
        return list((self._streams or {}).values())

    @override
    def setup_mapper(self) -> None:
        """Map today's schemas by the selection of the catalog that was passed in.

        The SDK takes its schemas from a catalog, and copies each of them five times on the way.
        """
        super(Tap, self).setup_mapper()
        for stream in self.streams.values():
            mask = stream.metadata.resolve_selection()
            selected = get_selected_schema(stream.name, stream.schema, mask)
            stream_maps.register(self.mapper, stream.name, selected, stream.primary_keys)

    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805
        """Settings from the environment; what has the wrong form is named.

        Raises:
            ConfigValidationError: If something has.
        """
        cls.append_builtin_config(cls.config_jsonschema)
        refuse_malformed(cls.config_jsonschema["properties"], cls._env_var_prefix)
        return parse_environment_config(cls.config_jsonschema, cls._env_var_prefix)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        stream_maps.judge(self._config)
        refuse_odd_secrets(self.config_jsonschema["properties"], self._config)
        errors = super()._validate_config(raise_errors=False)
        only_tenant = self._config.get("tenant_id") is None and len(errors) == 1
        if not errors or only_tenant:
            errors = self.faults(self._config)
        if errors and raise_errors:
            raise ConfigValidationError("Config validation failed", errors=errors)
        return errors

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """End with 128 + signal: the SDK's own handler exits 0, as if all had been read."""
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        self.end_by(signum)
