"""What all streams of the tap share: the tenant, how records are written, and when versions end."""

from __future__ import annotations

import abc
import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hubspot_client.clock import iso
from singer_sdk import Stream
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib.messages import StateMessage
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    import singer_sdk.singerlib as singer
    from singer_sdk.helpers.types import Context

    from tap_hubspot_deals.tap import TapHubspotDeals

METRIC_INTERVAL = 2.0


class TenantStream(Stream):
    """A stream whose records and keys begin with the tenant.

    Args:
        tap: The tap.
        name: The stream's name.
        key: The fields that identify a record within the tenant.
        properties: The fields' JSON schemas, the identity's left out.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # the streams build what the schema says

    def __init__(
        self, tap: TapHubspotDeals, name: str, *, key: Sequence[str], properties: dict[str, Any]
    ) -> None:
        self.hubspot = tap.client
        self.settings = tap.settings
        self._writer = tap.writer
        self.identity = tap.identity
        self.emitted = 0
        super().__init__(tap, schema=tap.identity.schema(properties), name=name)
        self.primary_keys = (*tap.identity.keys, *key)

    @override
    def get_record_counter(self, *, endpoint: str | None = None, log_interval: float = 0) -> Any:
        """Tell progress every two seconds: the scan service follows it."""
        return super().get_record_counter(endpoint=endpoint, log_interval=METRIC_INTERVAL)

    @override
    def apply_catalog(self, catalog: singer.Catalog) -> None:
        """Take the selection from a catalog, but not its schema: types come from HubSpot, today."""
        self._tap_input_catalog = catalog
        self._metadata = None
        self._mask = None

    @override
    def _generate_schema_messages(self) -> Generator[singer.SchemaMessage, None, None]:
        for message in super()._generate_schema_messages():
            message.schema.update(self.identity.annotations)
            yield message

    @override
    def _write_activate_version_message(self, full_table_version: int) -> None:
        """Not at the beginning, where the SDK would: `activate_version` comes after the records."""

    def write_records(
        self, records: list[dict[str, Any]], *, version: int | None, time: str
    ) -> None:
        """Write RECORD messages, the short way where nothing is deselected, mapped or flattened.

        Args:
            records: Records that conform to the stream's schema.
            version: The table version, when versions are used.
            time: When they were extracted, ISO 8601.
        """
        self.emitted += len(records)
        if self._is_plain:
            self._writer.write_records(self.name, records, version=version, time=time)
            self.state_manager.is_flushed = False
            return
        self._stream_version = version
        for record in records:
            self._write_record_message(record)

    @cached_property
    def _is_plain(self) -> bool:
        maps = self.stream_maps
        return (
            len(maps) == 1
            and type(maps[0]) is SameRecordTransform
            and maps[0].stream_alias == self.name
            and not self.config.get("flattening_enabled")
            and all(self.mask.values())
        )

    def put_state(self) -> None:
        """Write the state, without the copies that the SDK makes to see whether it changed."""
        self._writer.write_message(StateMessage(value=dict(self.tap_state)))
        self.state_manager.is_flushed = True

    def activate_version(self, version: int) -> None:
        """Say that rows of an older version are gone."""
        if self.settings.activate_versions:
            super()._write_activate_version_message(version)


class MetadataStream(TenantStream):
    """A small stream that is read whole at every run.

    Its table version stays while no record has gone, so that unchanged rows are not written again.
    """

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        return [{**self.identity.fields, **record} for record in self.read()]

    @abc.abstractmethod
    def read(self) -> Iterable[dict[str, Any]]:
        """All records, the identity's fields left out."""

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        key = self.primary_keys[-1]
        state = self.get_context_state({"_tenant_id": self.identity.tenant_id})
        ids: list[str] = []
        with self.get_record_counter() as counter, self.get_sync_timer():
            records = list(self.get_records(context))[: self.ABORT_AT_RECORD_COUNT]
            ids = sorted(record[key] for record in records)
            digest = hashlib.sha256("\0".join(ids).encode()).hexdigest()[:16]
            if state.get("keys") != digest:
                state["version"] = self._initialized_at
            version = state["version"] if self.settings.activate_versions else None
            if write_messages:
                self.write_records(records, version=version, time=iso(self.hubspot.clock.now()))
            counter.increment(len(records))
            yield from records
        if write_messages:
            self.activate_version(state["version"])
            state["keys"] = digest
            self.put_state()
