"""What SCHEMA messages make: streams, each with a table that fits."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import InvalidJSONSchema

from target_deals_postgres import stream_maps
from target_deals_postgres.errors import InputError, SchemaMissingError
from target_deals_postgres.records.values import loads
from target_deals_postgres.storing import replays
from target_deals_postgres.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Collection

    from psycopg2.extensions import cursor
    from singer_sdk.mapper import PluginMapper

    from target_deals_postgres.config import Settings
    from target_deals_postgres.intake import Intake
    from target_deals_postgres.records.messages import Message
    from target_deals_postgres.storing.commits import Commits
    from target_deals_postgres.storing.database import Database
    from target_deals_postgres.storing.loads import Loads
    from target_deals_postgres.storing.rejected import Rejections

logger = logging.getLogger("target-deals-postgres")


@dataclass(frozen=True)
class _Part:
    """What one stream of the tap brings into a stream of the target."""

    schema: dict[str, Any]
    keys: tuple[str, ...]


def _together(name: str, parts: Collection[_Part]) -> tuple[dict[str, Any], tuple[str, ...]]:
    # Several streams that are mapped to one name share its table.
    first, *others = parts
    schema = dict(first.schema)
    for other in others:
        if set(other.keys) != set(first.keys):
            raise InputError(
                f"the streams that are mapped to {name} have different key properties: "
                f"({', '.join(first.keys)}) and ({', '.join(other.keys)})"
            )
        both = dict(schema["properties"])
        for one, spec in other.schema["properties"].items():
            both[one] = {"anyOf": [both[one], spec]} if both.get(one, spec) != spec else spec
        schema["properties"] = both
    return schema, first.keys


class Schemas:
    """The streams of a run, as their SCHEMAs say.

    Attributes:
        streams: by the names of their tables.
        known: by the names that the tap gives, what their newest SCHEMA says.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        mapper: PluginMapper,
        *,
        commits: Commits,
        rejections: Rejections,
        loads: Loads,
        intake: Intake,
    ) -> None:
        """Prepare; no SCHEMA has come yet."""
        self._settings = settings
        self._database = database
        self._mapper = mapper
        self._commits = commits
        self._rejections = rejections
        self._loads = loads
        self._intake = intake
        self._parts: dict[str, dict[str, _Part]] = {}
        self.streams: dict[str, Stream] = {}
        self.known: dict[str, tuple[bytes, tuple[str, ...]]] = {}

    def require(self, message: Message) -> None:
        """Ask for the SCHEMA of a message's stream.

        Raises:
            SchemaMissingError: none has come.
        """
        if message.stream not in self.known:
            raise SchemaMissingError(
                f"a {message.type} of stream {message.stream} came before the stream's SCHEMA"
            )

    def accept(self, message: Message) -> None:
        """Take in a SCHEMA message: its table is made or changed now.

        Raises:
            InputError: it makes no table.
            DatabaseRefusedError: the table cannot be changed as needed.
        """
        name, keys = message.stream, tuple(message.key_properties or ())
        given = (bytes(message.schema), keys)
        if not name or not given[0]:
            raise InputError("a SCHEMA message has no stream or no schema")
        if self.known.get(name) == given:
            return
        schema = loads(given[0])
        if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
            raise InputError(f"the SCHEMA of stream {name} has no properties")
        self._commits.flush()  # rows of the old schema come first
        self.known[name] = given
        if not self._settings.mapped:
            self._open(name, name, _Part(schema, keys))
            return
        stream_maps.register(self._mapper, name, schema, list(keys))
        for stream_map in stream_maps.leading(self._mapper, name):
            part = _Part(
                stream_map.transformed_schema,
                tuple(stream_map.transformed_key_properties or ()),
            )
            self._open(stream_map.stream_alias, name, part)

    def led(self, name: str) -> list[Stream]:
        """The streams that a stream of the tap leads to.

        Args:
            name: as the tap names it; its SCHEMA has come.
        """
        if not self._settings.mapped:
            return [self.streams[name]]
        maps = stream_maps.leading(self._mapper, name)
        return [self.streams[one.stream_alias] for one in maps]

    def gathers(self, stream: Stream, source: str) -> bool:
        """Whether other streams of the tap lead to a stream, too, or may do so.

        Args:
            stream: the stream.
            source: one that leads there, as the tap names it.
        """
        return len({source} | self._parts[stream.name].keys() | self._sources(stream)) > 1

    def missing(self, stream: Stream) -> set[str]:
        """The streams of the tap that lead to a stream by name, and of which no SCHEMA has come."""
        named = {one for one in self._sources(stream) if not stream_maps.is_pattern(one)}
        return named - self.known.keys()

    def _sources(self, stream: Stream) -> set[str]:
        return stream_maps.sources(self._mapper.stream_maps_dict, stream.name)

    def _open(self, name: str, source: str, part: _Part) -> None:
        parts = self._parts.setdefault(name, {})
        parts[source] = part
        try:
            stream = Stream(name, *_together(name, parts.values()), self._settings)
        except InvalidJSONSchema as error:
            raise InputError(f"the SCHEMA of stream {name} is not valid: {error}") from None
        for other in self.streams.values():
            if other.place == stream.place and other.name != name:
                raise InputError(
                    f"the streams {other.name} and {name} would share the table "
                    f"{'.'.join(stream.place)}: rename one with a stream map (__alias__)"
                )
        if name in self.streams:
            stream.take_over(self.streams[name])
        if not self.streams:
            self._database.transaction(self._prepare)
        if stream.overwritten:
            self._commits.hold()
            stream.counts.held = True
        stream.counts.tenants |= {str(whose[0]) for whose in stream.announced}
        self._loads.follow(name, stream.counts)
        counts = self._loads.snapshot()
        is_new = name not in self.streams
        stream.fit(
            self._database,
            lambda cur: self._loads.store(cur, counts),
            # Most taps are done with a stream when the next one begins.
            *(one.remove_stage for one in self.streams.values() if is_new),
        )
        self._loads.stored = counts
        self.streams[name] = stream
        if is_new and self._settings.replay_rejected_records:
            self._replay(stream)

    def _prepare(self, cur: cursor) -> None:
        self._rejections.prepare(cur)
        self._loads.prepare(cur)

    def _replay(self, stream: Stream) -> None:
        name = stream.name
        if stream.overwritten:
            logger.info("%s: rejected records are not tried again: it is overwritten", name)
            return
        if not self._rejections.has_open(name):
            return
        page = self._page(name, 0)
        while page:
            logger.info("%s: %d rejected records are tried again", name, len(page))
            for one in page:
                self._intake.retry(stream, one)
            self._commits.flush()
            page = self._page(name, page[-1].number)
        self._database.transaction(lambda cur: replays.let_go(cur, self._settings, name))

    def _page(self, name: str, after: int) -> list[replays.Waiting]:
        # Whoever waits for the list comes between two pages.
        def alone(cur: cursor) -> None:
            if after:
                replays.let_go(cur, self._settings, name)
            replays.hold(cur, self._settings, name)

        self._database.transaction(alone)
        return self._database.transaction(
            lambda cur: replays.page(cur, self._settings, name, after)
        )
