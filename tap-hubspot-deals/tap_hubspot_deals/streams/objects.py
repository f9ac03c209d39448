"""The streams of CRM records and of their links, which one run reads together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubspot_client.clock import parse_time
from singer_sdk import metrics
from typing_extensions import override

from tap_hubspot_deals.reading.links import LinkReader
from tap_hubspot_deals.reading.objects import MERGED_IDS, ObjectReader, merged_ids
from tap_hubspot_deals.reading.runs import Run
from tap_hubspot_deals.sdk import METRIC_INTERVAL
from tap_hubspot_deals.streams.base import TenantStream
from tap_hubspot_deals.streams.bookmarks import Bookmark
from tap_hubspot_deals.streams.records import KEY_TEXT, TEXT, TIME, RecordFields

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hubspot_client.object_types import ObjectType
    from hubspot_client.properties import Definition
    from singer_sdk.helpers.types import Context

    from tap_hubspot_deals.reading.objects import CrmObject
    from tap_hubspot_deals.reading.pages import LinkedPage
    from tap_hubspot_deals.reading.progress import Progress
    from tap_hubspot_deals.settings import Settings
    from tap_hubspot_deals.streams.base import Account

ALWAYS_RETURNED = (
    "hs_object_id",
    "createdate",
    "hs_createdate",
    "hs_lastmodifieddate",
    "lastmodifieddate",
)
"""Default properties that HubSpot returns whether they were asked for or not (observed)."""


class ObjectStream(TenantStream):
    """Records of one object type, with their links.

    Args:
        account: The account that is read.
        object_type: Which records.
        definitions: The properties to read.
        settings: The tap's settings as they apply to this type.
        linked: The object types whose links are read.
    """

    replication_key = "updated_at"

    def __init__(
        self,
        account: Account,
        object_type: ObjectType,
        definitions: Sequence[Definition],
        *,
        settings: Settings,
        linked: Sequence[ObjectType],
    ) -> None:
        self.object_type = object_type
        self.linked = list(linked)
        self._fields = RecordFields(definitions, settings, account.identity)
        self._links: dict[str, AssociationsStream] = {}
        super().__init__(account, object_type.name, key=("id",), properties=self._fields.schema())
        self.settings = settings
        self.bookmarks: tuple[str | None, str | None] = (None, None)

    @property
    @override
    def partitions(self) -> list[dict[str, Any]]:
        """One bookmark per tenant, so that tenants may share a state."""
        return [{"_tenant_id": self.identity.tenant_id}]

    def _links_streams(self) -> dict[str, AssociationsStream]:
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
    def read_and_write(self, *, write: bool) -> Iterator[dict[str, Any]]:
        self._links = self._links_streams()
        definitions = self._selected_definitions()
        bookmark = self._bookmark(definitions)
        self.bookmarks = (bookmark.value, bookmark.value)
        for stream in {id(s): s for s in self._links.values()}.values():
            stream.announce()  # its SCHEMA has to come before its first record
        with (
            self.get_record_counter() as counter,
            metrics.record_counter("associations", log_interval=METRIC_INTERVAL) as links_counter,
            self.get_sync_timer(),
            self._run(definitions, bookmark) as run,
        ):
            for progress in bookmark.due(self.hubspot.clock.now):
                for records, count in self._read(run, progress, bookmark, write=write):
                    counter.increment(len(records))
                    links_counter.increment(count)
                    yield from records
        self.bookmarks = (self.bookmarks[0], bookmark.value)
        self._tell_unparsed()

    def _read(
        self, run: Run, progress: Progress, bookmark: Bookmark, *, write: bool
    ) -> Iterator[tuple[list[dict[str, Any]], int]]:
        """Carry out one read; gives each page's records, and how many links were read with it."""
        sweep = run.sweep(progress, bookmark.archived_ids)
        emitted = 0
        for page in run.pages(progress, sweep):
            left = self._records_left(emitted)
            records, links = self._records(page)
            if write:
                self._write(records[:left], links, page)
            yield records[:left], sum(map(len, links.values()))
            emitted += len(records[:left])
            if len(records) > len(records[:left]):
                self.stop_at_limit(emitted)
            bookmark.save(page.progress)
            self._keep(bookmark)
            if emitted == self.settings.max_records:
                return
        self._activate(progress, bookmark)
        bookmark.finish(progress, "updated_at", sweep.now_known())
        self._keep(bookmark)

    def _bookmark(self, definitions: list[Definition]) -> Bookmark:
        # What makes older records incomplete or differently typed when it changes.
        types = sorted((d.name, d.type, d.is_multi_select, d.hubspot_defined) for d in definitions)
        selected = [self.selected, sorted(self._links), types]
        state = self.get_context_state({"_tenant_id": self.identity.tenant_id})
        # A sample says nothing about what it left out, so it must not move a bookmark.
        kept = self.settings.max_records is None and not self._only_ids
        return Bookmark(state if kept else {}, self.settings, selected=selected, kept=kept)

    @property
    def _only_ids(self) -> bool:
        return bool(self.settings.association_ids) and not self.selected

    def _run(self, definitions: list[Definition], bookmark: Bookmark) -> Run:
        reader = ObjectReader(
            self.hubspot,
            self.object_type,
            (*(d.name for d in definitions), *self._needed(definitions)),
            self.settings.page_size,
            self.settings.include_raw,
        )
        links = [LinkReader(self.hubspot, self.object_type, to_type) for to_type in self.linked]
        return Run(
            reader,
            links,
            self.settings,
            only_ids=self._only_ids,
            mirrors=self.settings.scan_id is None and bookmark.kept,
            logger=self.logger,
        )

    def _needed(self, definitions: Sequence[Definition]) -> list[str]:
        """The properties that the reading itself needs, those that records have left out."""
        pipeline = self.object_type.pipeline or ()
        named = {d.name for d in definitions}
        return [n for n in (MERGED_IDS, self.object_type.created, *pipeline) if n not in named]

    def _selected_definitions(self) -> list[Definition]:
        """The properties whose fields are selected in the catalog; none if the stream is not."""
        mask = self.mask if self.selected else dict.fromkeys(self.mask, False)
        return self._fields.select(mask, (*self._needed(()), *ALWAYS_RETURNED))

    def _records(self, page: LinkedPage) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """A page's records, markers of merged ones included, and those of its links by type."""
        records: list[dict[str, Any]] = []
        link_records: dict[str, list[dict[str, Any]]] = {t: [] for t in self._links}
        for found, raw in page.page.pairs():
            own = page.links_of(found.id)
            if own is not None:
                for to_type in self._links:
                    link_records[to_type] += self._link_records(
                        found.id, to_type, own[to_type], page.read_at
                    )
            markers = self._merged_markers(found, page.progress, page.read_at)
            records.append(self._fields.record(found, own, page.read_at, raw))
            records += markers
        return records, link_records

    def _link_records(
        self, from_id: str, to_type: str, all_linked: list[dict[str, Any]], read_at: str
    ) -> list[dict[str, Any]]:
        if not all_linked:
            return []
        head = {
            **self.identity.fields,
            "from_object_type": self.object_type.name,
            "from_id": from_id,
            "to_object_type": to_type,
        }
        return [
            {**head, "to_id": linked["id"], **link_type, "read_at": read_at}
            for linked in all_linked
            for link_type in linked["types"]
        ]

    def _merged_markers(
        self, found: CrmObject, progress: Progress, read_at: str
    ) -> list[dict[str, Any]]:
        """Markers for the records that this one took the place of.

        A first read never gave those out, unless they were merged since it began.
        """
        old_ids = merged_ids(found)
        if not old_ids:
            return []
        if progress.first and found.updated_at is not None:
            began = parse_time(progress.started_at) - self.settings.lookback
            if parse_time(found.updated_at) < began:
                return []
        return [self._fields.merged_marker(i, found, read_at) for i in old_ids]

    def _write(
        self,
        records: list[dict[str, Any]],
        links: dict[str, list[dict[str, Any]]],
        page: LinkedPage,
    ) -> None:
        """Write a page's links and, after them, its records.

        A link without its record is merely not current yet, while a record without its links would
        seem to have lost them.
        """
        version = page.progress.version if self.settings.activate_versions else None
        for to_type, of_type in links.items():
            if of_type:
                self._links[to_type].write_records(of_type, version=version, time=page.read_at)
        if self.selected and records:
            self.write_records(records, version=version, time=page.read_at)

    def _keep(self, bookmark: Bookmark) -> None:
        if bookmark.kept:
            self.put_state()

    def _activate(self, progress: Progress, bookmark: Bookmark) -> None:
        """Say that what a full read did not bring again is gone."""
        if progress.mode != "full" or not bookmark.kept:
            return
        if self.selected:
            self.activate_version(progress.version)
        for stream in self._links.values():
            if stream.parents == 1:
                stream.activate_version(progress.version)

    def _records_left(self, emitted: int) -> int | None:
        """How many records a dry run or a sample may still give; None without a limit."""
        limits = (self.record_limit, self.settings.max_records)
        left = [max(0, limit - emitted) for limit in limits if limit is not None]
        return min(left, default=None)

    def _tell_unparsed(self) -> None:
        for name, count in sorted(self._fields.unparsed.items()):
            self.logger.warning(
                "%d values of the property '%s' do not fit its type; "
                "they stand in `unparsed_properties`.",
                count,
                name,
            )


class AssociationsStream(TenantStream):
    """One record per typed link, written by the stream that reads its parents.

    Args:
        account: The account that is read.
        name: `associations`, or that of a pair.
        parents: How many streams write here. Each reads everything in its own time, so versions
            can be activated only where there is one.
    """

    parent_stream_type = ObjectStream
    state_partitioning_keys = ()

    def __init__(self, account: Account, name: str, *, parents: int = 1) -> None:
        super().__init__(
            account,
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
    def read_and_write(self, *, write: bool) -> Iterator[dict[str, Any]]:
        """Nothing of its own: see `ObjectStream`."""
        return iter(())
