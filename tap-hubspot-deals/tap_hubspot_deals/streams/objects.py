"""The streams of CRM records and of their links, which one run reads together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk import metrics
from typing_extensions import override

from tap_hubspot_deals.reading.links import LinkReader
from tap_hubspot_deals.reading.objects import MERGED_IDS, ObjectReader
from tap_hubspot_deals.reading.runs import Run
from tap_hubspot_deals.sdk import METRIC_INTERVAL
from tap_hubspot_deals.streams.bookmarks import Bookmark
from tap_hubspot_deals.streams.feeding import FeedingStream
from tap_hubspot_deals.streams.history import Histories
from tap_hubspot_deals.streams.outgoing import Composer
from tap_hubspot_deals.streams.records import RecordFields
from tap_hubspot_deals.streams.survey import Survey

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    from hubspot_client.client import Client
    from hubspot_client.object_types import ObjectType
    from hubspot_client.properties import Definition

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


class ObjectStream(FeedingStream):
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
        self._fields = RecordFields(definitions, settings, account.identity)
        super().__init__(account, object_type, linked, properties=self._fields.schema())
        self.settings = settings
        self.bookmarks: tuple[str | None, str | None] = (None, None)
        self.not_compared: dict[str, int] = {}

    @property
    @override
    def partitions(self) -> list[dict[str, Any]]:
        """One bookmark per tenant, so that tenants may share a state."""
        return [{"_tenant_id": self.identity.tenant_id}]

    def survey(self, since: str | None = None) -> Survey:
        """What HubSpot has now, beside what went out; nothing is written.

        Args:
            since: Of a snapshot, which has no state: when its reading began, ISO 8601.

        Raises:
            StateError: If the state cannot be used.
        """
        self.find_children()
        state = self.own_state() if since is None else {"replication_key_value": since}
        bookmark = self.find_bookmark(state)
        return Survey(
            self.run(bookmark, self.hubspot, self.logger, walks=True),
            bookmark,
            self._fields,
            self._composer(mirrors=bookmark.mirrors),
            self.hubspot.clock,
            tables={to_type: stream.name for to_type, stream in self._links.items()},
            is_snapshot=since is not None,
        )

    def reload(self, survey: Survey, ids: Sequence[int], also: Sequence[str] = ()) -> None:
        """Write some records as they are now, and of those that are not there that they are gone.

        Args:
            survey: This stream's.
            ids: The records.
            also: What stands in tables as ids and is none; it goes out as gone.
        """
        for stream in {id(s): s for s in (self, *self._links.values())}.values():
            stream.announce()
        for page in survey.outgoing(ids, also):
            self.write_page(page)

    @override
    def read_and_write(self, *, write: bool) -> Iterator[dict[str, Any]]:
        histories = self.find_children()
        if not self.is_asked_for:
            return  # the SDK asks parents for the sake of children that are fed by others
        if self.settings.nest_properties:
            self._tell_properties()
        bookmark = self._bookmark = self.find_bookmark(self.own_state())
        self.bookmarks = (bookmark.value, bookmark.value)
        if bookmark.mirrors and not bookmark.asks_for_something_else:
            self._histories = Histories(histories, bookmark.value)
        for stream in {id(s): s for s in (*self._links.values(), *histories)}.values():
            stream.announce()  # its SCHEMA has to come before its first record
        with (
            self.get_record_counter() as counter,
            metrics.record_counter("associations", log_interval=METRIC_INTERVAL) as links_counter,
            self.get_sync_timer(),
            self.run(bookmark, self.hubspot, self.logger) as run,
        ):
            due = bookmark.due(self.hubspot.clock.now, is_dear=run.is_dearer_than_all)
            for progress in due:
                composer = self._composer(mirrors=bookmark.remembers)
                for page in self.deliver(run, progress, bookmark, composer, write=write):
                    counter.increment(len(page.records))
                    links_counter.increment(page.count_of_links())
                    yield from page.records
        self.bookmarks = (self.bookmarks[0], bookmark.value)
        self.not_compared = run.not_compared
        self._tell_unparsed()
        for each in histories:
            each.tell()

    def own_state(self) -> dict[str, Any]:
        """The writable bookmark of the tenant."""
        return self.get_context_state({"_tenant_id": self.identity.tenant_id})

    def _tell_properties(self) -> None:
        """Tell which properties the nested objects may hold, for whoever follows the run."""
        schema = self._fields.schema()
        nested = {
            name: {
                each: {key: one[key] for key in ("type", "format", "title") if key in one}
                for each, one in schema[name]["properties"].items()
            }
            for name in ("properties", "custom_properties")
            if name in schema
        }
        self.logger.info(
            "Read the definitions of %s.",
            self.name,
            extra={"object_type": self.name, "nested_properties": nested},
        )

    def _composer(self, *, mirrors: bool) -> Composer:
        return Composer(
            self.object_type.name,
            self._fields,
            self.settings,
            self.identity,
            to_types=self._links,
            selected=self.selected,
            mirrors=mirrors,
        )

    def find_bookmark(
        self, state: dict[str, Any], logger: logging.Logger | None = None
    ) -> Bookmark:
        """What a state says of what was read, beside what is asked for now.

        Args:
            state: As `own_state` gives it, or a copy.
            logger: Where it tells what a run is for; None: where the stream does.
        """
        own = [name for name in self._fields.own if self.mask["properties", name]]
        selected: list[Any] = [self.selected, sorted(self._links), own]
        if histories := sorted(stream.name for stream in self._histories.streams):
            # So noted only where there are some: older bookmarks stay good.
            selected.append([histories, sorted(self.settings.history)])
        # A sample says nothing about what it left out, so it must not move the bookmark.
        kept = self.settings.max_records is None and not self.settings.association_ids
        return Bookmark(
            state,
            self.settings,
            selected=selected,
            definitions=self._selected_definitions(),
            kept=kept,
            full=self.wants_all,
            logger=logger or self.logger,
        )

    @property
    def _only_ids(self) -> bool:
        return bool(self.settings.association_ids) and not self.selected

    def reader(self, hubspot: Client) -> ObjectReader:
        """Reads the records with the properties that are selected."""
        definitions = self._selected_definitions()
        return ObjectReader(
            hubspot,
            self.object_type,
            (*(d.name for d in definitions), *self._needed(definitions)),
            self.settings.page_size,
            self.settings.include_raw,
        )

    def run(
        self,
        bookmark: Bookmark,
        hubspot: Client,
        logger: logging.Logger,
        pool: Executor | None = None,
        *,
        walks: bool = False,
    ) -> Run:
        """Reads what a bookmark says is due.

        Args:
            bookmark: From `find_bookmark`.
            hubspot: Who is asked.
            logger: Where it tells what it does.
            pool: Where requests run; None: in threads.
            walks: Whether it reads all that is there, and no past.
        """
        in_records = self.selected and self.mask["properties", "associations"]
        links = [
            LinkReader(hubspot, self.object_type, to_type)
            for to_type in self.linked
            if in_records or to_type.name in self._links
        ]
        return Run(
            self.reader(hubspot),
            links,
            self.settings,
            only_ids=self._only_ids,
            mirrors=bookmark.mirrors and not walks,
            history=None if walks else self._histories.reader(hubspot),
            logger=logger,
            pool=pool,
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

    def _tell_unparsed(self) -> None:
        for name, count in sorted(self._fields.unparsed.items()):
            self.logger.warning(
                "%d values of the property '%s' do not fit its type; "
                "they stand in `unparsed_properties`.",
                count,
                name,
            )
