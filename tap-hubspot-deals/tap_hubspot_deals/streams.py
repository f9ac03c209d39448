"""The tap's streams: records with their links, and the small ones that describe them."""

from __future__ import annotations

import abc
import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from singer_sdk import Stream
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib.messages import StateMessage
from typing_extensions import override

from tap_hubspot_deals.clock import iso
from tap_hubspot_deals.paging import Paging, after
from tap_hubspot_deals.records import KEY_TEXT, TEXT, TIME

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    import singer_sdk.singerlib as singer
    from singer_sdk.helpers.types import Context

    from tap_hubspot_deals.object_types import ObjectType
    from tap_hubspot_deals.properties import Definition
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
            self.state_manager.is_flushed = False
            self._write_state_message()


class _Stage(msgspec.Struct, rename="camel"):
    id: str
    label: str = ""
    display_order: int | None = None
    archived: bool = False
    created_at: str | None = None
    updated_at: str | None = None
    metadata: dict[str, Any] = {}


class _Pipeline(msgspec.Struct, rename="camel"):
    id: str
    label: str = ""
    display_order: int | None = None
    archived: bool = False
    archived_at: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    stages: list[_Stage] = []


class _Pipelines(msgspec.Struct):
    results: list[_Pipeline]


class PipelinesStream(MetadataStream):
    """Pipelines of one object type with their stages."""

    FIELDS: ClassVar[dict[str, Any]] = {
        "id": {**KEY_TEXT, "title": "Pipeline ID"},
        "label": TEXT,
        "display_order": {"type": ["integer", "null"]},
        "archived": {"type": ["boolean", "null"]},
        "archived_at": TIME,
        "created_at": TIME,
        "updated_at": TIME,
        "stages": {"type": ["array", "null"], "items": {"type": "object"}},
    }

    def __init__(self, tap: TapHubspotDeals, name: str, object_type: ObjectType) -> None:
        self._object_type = object_type
        super().__init__(tap, name, key=("id",), properties=self.FIELDS)

    @override
    def read(self) -> Iterable[dict[str, Any]]:
        for pipeline in read_pipelines(self._tap, self._object_type):
            stages = [msgspec.structs.asdict(stage) for stage in pipeline.stages]
            yield {**msgspec.structs.asdict(pipeline), "stages": stages}


def read_pipelines(tap: Any, object_type: ObjectType) -> list[_Pipeline]:
    """All pipelines of an object type; HubSpot gives them in one answer."""
    client = tap.client
    return client.get(  # type: ignore[no-any-return]
        client.paths.pipelines(object_type.in_paths),
        family="pipelines",
        what=f"pipelines of {object_type.name}",
        shape=_Pipelines,
    ).results


class _Team(msgspec.Struct):
    id: str
    name: str = ""
    primary: bool = False


class _Owner(msgspec.Struct, rename="camel"):
    id: str
    email: str | None = None
    type: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    user_id: int | None = None
    user_id_including_inactive: int | None = None
    archived: bool = False
    created_at: str | None = None
    updated_at: str | None = None
    teams: list[_Team] = []


class _Owners(msgspec.Struct):
    results: list[_Owner]
    paging: Paging | None = None


class OwnersStream(MetadataStream):
    """Owners, those who left included: old deals still name them."""

    FIELDS: ClassVar[dict[str, Any]] = {
        "id": {**KEY_TEXT, "title": "Owner ID"},
        "email": TEXT,
        "type": TEXT,
        "first_name": TEXT,
        "last_name": TEXT,
        "user_id": {"type": ["integer", "null"]},
        "user_id_including_inactive": {"type": ["integer", "null"]},
        "archived": {"type": ["boolean", "null"]},
        "created_at": TIME,
        "updated_at": TIME,
        "teams": {"type": ["array", "null"], "items": {"type": "object"}},
    }

    def __init__(self, tap: TapHubspotDeals, name: str = "owners") -> None:
        super().__init__(tap, name, key=("id",), properties=self.FIELDS)

    @override
    def read(self) -> Iterable[dict[str, Any]]:
        for archived in ("false", "true"):
            for owner in self._owners(archived):
                teams = [msgspec.structs.asdict(team) for team in owner.teams]
                yield {**msgspec.structs.asdict(owner), "teams": teams}

    def _owners(self, archived: str) -> Iterator[_Owner]:
        cursor: dict[str, str | int] = {}
        while True:
            page = self.hubspot.get(
                self.hubspot.paths.owners(),
                family="owners",
                what="owners",
                shape=_Owners,
                limit=100,
                archived=archived,
                **cursor,
            )
            yield from page.results
            following = after(page.paging)
            if following is None:
                return
            cursor = {"after": following}


class PropertiesStream(MetadataStream):
    """Property definitions of one object type."""

    FIELDS: ClassVar[dict[str, Any]] = {
        "name": {**KEY_TEXT, "title": "Property name"},
        "label": TEXT,
        "description": TEXT,
        "group_name": TEXT,
        "type": TEXT,
        "field_type": TEXT,
        "hubspot_defined": {"type": ["boolean", "null"]},
        "calculated": {"type": ["boolean", "null"]},
        "external_options": {"type": ["boolean", "null"]},
        "has_unique_value": {"type": ["boolean", "null"]},
        "hidden": {"type": ["boolean", "null"]},
        "archived": {"type": ["boolean", "null"]},
        "referenced_object_type": TEXT,
        "created_at": TIME,
        "updated_at": TIME,
        "options": {"type": ["array", "null"], "items": {"type": "object"}},
    }

    def __init__(self, tap: TapHubspotDeals, name: str, definitions: Sequence[Definition]) -> None:
        self._definitions = definitions
        super().__init__(tap, name, key=("name",), properties=self.FIELDS)

    @override
    def read(self) -> Iterable[dict[str, Any]]:
        return map(msgspec.structs.asdict, self._definitions)
