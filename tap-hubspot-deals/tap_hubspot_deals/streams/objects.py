"""The streams of CRM records and of their links, which one run reads together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk import metrics
from typing_extensions import override

from tap_hubspot_deals.reading.runs import Run
from tap_hubspot_deals.streams.base import METRIC_INTERVAL, TenantStream
from tap_hubspot_deals.streams.records import KEY_TEXT, TEXT, TIME, RecordFields

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from hubspot_client.object_types import ObjectType
    from hubspot_client.properties import Definition
    from singer_sdk.helpers.types import Context

    from tap_hubspot_deals.settings import Settings
    from tap_hubspot_deals.tap import TapHubspotDeals


class ObjectStream(TenantStream):
    """Records of one object type, with their links.

    Args:
        tap: The tap.
        object_type: Which records.
        definitions: The properties to read.
        settings: The tap's settings as they apply to this type.
        linked: The object types whose links are read.
    """

    replication_key = "updated_at"

    def __init__(
        self,
        tap: TapHubspotDeals,
        object_type: ObjectType,
        definitions: Sequence[Definition],
        *,
        settings: Settings,
        linked: Sequence[ObjectType],
    ) -> None:
        self.object_type = object_type
        self.definitions = list(definitions)
        self.linked = list(linked)
        fields = RecordFields(self.definitions, settings, tap.identity)
        super().__init__(tap, object_type.name, key=("id",), properties=fields.schema())
        self.settings = settings
        self.bookmarks: tuple[str | None, str | None] = (None, None)

    @property
    @override
    def partitions(self) -> list[dict[str, Any]]:
        """One bookmark per tenant, so that tenants may share a state."""
        return [{"_tenant_id": self.identity.tenant_id}]

    @property
    def links_streams(self) -> dict[str, AssociationsStream]:
        """Where the links go, by the object type they lead to; deselected streams are left out."""
        selected = {
            s.name: s
            for s in self.child_streams
            if isinstance(s, AssociationsStream) and s.selected
        }
        found = {}
        for to_type in self.linked:
            stream = selected.get(f"{self.name}_{to_type.name}") or selected.get("associations")
            if stream is not None:
                found[to_type.name] = stream
        return found

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """None: the bookmark is the end of a closed window, not the highest value seen."""

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        """Nothing: `_sync_records` writes whole pages, because links are read a page at a time."""
        return ()

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        run = Run(self, self.links_streams)
        emitted = 0
        with (
            self.get_record_counter() as counter,
            self.links_counter() as links_counter,
            self.get_sync_timer(),
            run,
        ):
            for page in run.pages():
                left = self._records_left(emitted)
                records = page.records[:left]
                if write_messages:
                    run.write(page, left)
                counter.increment(len(records))
                links_counter.increment(sum(map(len, page.links.values())))
                yield from records
                if len(records) < len(page.records):
                    self._check_max_record_limit(emitted + len(records))
                emitted += len(records)
                run.keep(page)
                if emitted == self.settings.max_records:
                    break
        self.bookmarks = run.bookmarks

    def links_counter(self) -> metrics.Counter:
        """Counts the links that this type's records have."""
        return metrics.record_counter("associations", log_interval=METRIC_INTERVAL)

    def _records_left(self, emitted: int) -> int | None:
        """How many records a dry run or a sample may still give; None without a limit."""
        limits = (self.ABORT_AT_RECORD_COUNT, self.settings.max_records)
        left = [max(0, limit - emitted) for limit in limits if limit is not None]
        return min(left, default=None)

    def selected_definitions(self) -> list[Definition]:
        """The properties whose fields are selected in the catalog; none if the stream is not."""
        if not self.selected:
            return []
        fields = RecordFields(self.definitions, self.settings, self.identity)
        chosen = [f for f in fields.schema() if self.mask[("properties", f)]]
        names = set(fields.properties_of(chosen))
        return [d for d in self.definitions if d.name in names]


class AssociationsStream(TenantStream):
    """One record per typed link, written by the stream that reads its parents.

    Args:
        tap: The tap.
        name: `associations`, or that of a pair.
        parents: How many streams write here. Each reads everything in its own time, so versions
            can be activated only where there is one.
    """

    parent_stream_type = ObjectStream
    state_partitioning_keys = ()

    def __init__(self, tap: TapHubspotDeals, name: str, *, parents: int = 1) -> None:
        super().__init__(
            tap,
            name,
            key=("from_object_type", "from_id", "to_object_type", "to_id", "category", "type_id"),
            properties={
                "from_object_type": KEY_TEXT,
                "from_id": KEY_TEXT,
                "to_object_type": KEY_TEXT,
                "to_id": KEY_TEXT,
                "category": KEY_TEXT,
                "type_id": {"type": "integer"},
                "label": TEXT,
                "read_at": {**TIME, "title": "A link is current when this equals its record's"},
            },
        )
        self.parents = parents

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        """Nothing of its own: see `Run`."""
        return ()
