"""What HubSpot is asked for a plan: counts, and looks at a few records; each question once.

A type costs a handful of requests: a count, with filters another one, for an incremental run two
more; where links are read and not known from the state, up to five pages of ids and the links of
those; for archived records up to a dozen looks into the recycle bin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from hubspot_client.errors import HubSpotError

from tap_hubspot_deals.planning.probing import probe
from tap_hubspot_deals.reading.filtering import is_asked_for
from tap_hubspot_deals.reading.legs import BAD_REQUEST
from tap_hubspot_deals.reading.links import LinkReader
from tap_hubspot_deals.reading.objects import BATCH, ObjectPage
from tap_hubspot_deals.reading.searching import SEARCH_PAGE, SearchSource, count, extent
from tap_hubspot_deals.reading.sources import ListSource
from tap_hubspot_deals.settings import Filters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubspot_client.object_types import ObjectType

    from tap_hubspot_deals.reading.objects import ObjectReader
    from tap_hubspot_deals.reading.progress import Window
    from tap_hubspot_deals.reading.searching import Stretch

SAMPLES = 5
"""Pages of ids whose links are looked at: as many as one request for links takes."""

RECORDS_PER_SAMPLE = 500
DEPTH = 6
"""Pages of one record's links that are looked at, at the most."""

ANY = 10**9
"""Links on a page where even those of the record with the most stand on one."""

WIDE = 90
"""Properties of a record from which on pages may have to be cut: some records are weighed then."""


@dataclass(frozen=True)
class _Judged:
    """A list, with a note of who in it passes the filters."""

    reader: ObjectReader
    filters: Filters
    seen: dict[int, bool]
    archived: bool

    def fetch(self, position: str | None) -> ObjectPage:
        """The page at a cursor."""
        page = ListSource(self.reader, archived=self.archived).fetch(position)
        for one in page.objects:
            self.seen[int(one.id)] = is_asked_for(one, self.filters, self.reader.object_type)
        return page


class Counts:
    """Asks about one object type.

    Args:
        reader: The objects and their properties.
        filters: The user's.
        linked: The object types that links may lead to.

    Attributes:
        judged: Live and archived ones that were looked at: whether they pass the filters, by id.
    """

    def __init__(
        self, reader: ObjectReader, filters: Filters, linked: Sequence[ObjectType]
    ) -> None:
        self._full = reader
        bare = replace(reader, properties=("hs_object_id",), page_size=100, raw=False)
        self._reader = replace(bare, width=type(reader.width)())
        self._filters = filters
        self._linked = {to_type.name: to_type for to_type in linked}
        self._changed: dict[Window, int] = {}
        self._having: dict[tuple[bool, frozenset[str]], int] = {}
        self._between: dict[Stretch, int] = {}
        self._depths: dict[str, list[int]] = {}
        self.judged: dict[bool, dict[int, bool]] = {False: {}, True: {}}

    @cached_property
    def is_searchable(self) -> bool:
        """Whether HubSpot's search knows the type."""
        return self._extent is not None

    @cached_property
    def _extent(self) -> tuple[int, int] | None:
        try:
            total, highest = extent(self._reader, Filters())
        except HubSpotError as exc:
            if exc.status != BAD_REQUEST:
                raise
            return None
        return total, int(highest or 0)

    @cached_property
    def listed(self) -> list[int]:
        """About the ids of the live ones, of a type that cannot be searched."""
        return probe(self._judged(archived=False), 0)

    @property
    def total(self) -> int:
        """How many live ones there are, whatever the filters."""
        return len(self.listed) if self._extent is None else self._extent[0]

    @property
    def highest(self) -> int:
        """The highest id of a live one."""
        return max(self.listed, default=0) if self._extent is None else self._extent[1]

    @cached_property
    def asked_for(self) -> int:
        """How many of them pass the filters."""
        if not self._filters or not self.is_searchable:
            return self.total
        return count(self._reader, self._filters)

    def above(self, number: int) -> int:
        """How many of those have a higher id."""
        if not self.is_searchable or number >= self.highest:
            return 0
        return self.between((number + 1, self.highest))

    def between(self, stretch: Stretch) -> int:
        """How many of those have an id in a stretch."""
        if stretch not in self._between:
            self._between[stretch] = count(self._reader, self._filters, [stretch])
        return self._between[stretch]

    def changed(self, window: Window) -> int:
        """How many of those were modified within a window."""
        if window not in self._changed:
            self._changed[window] = count(self._reader, self._filters, window=window)
        return self._changed[window]

    def having(self, names: frozenset[str], *, filtered: bool) -> int:
        """How many have a value in one of some properties."""
        key = (filtered, names)
        if key not in self._having:
            filters = self._filters if filtered else Filters()
            self._having[key] = count(self._reader, filters, having=sorted(names))
        return self._having[key]

    @cached_property
    def archived(self) -> list[int]:
        """About the ids of the archived ones, whatever the filters."""
        return probe(self._judged(archived=True), self.highest)

    def _judged(self, *, archived: bool) -> _Judged:
        object_type = self._full.object_type
        names = ("hs_object_id", object_type.created, *(object_type.pipeline or ()))
        reader = replace(self._reader, properties=names)
        return _Judged(reader, self._filters, self.judged[archived], archived)

    def depths(self, to_type: str) -> list[int]:
        """On how many pages the links of the records of `sample` to an object type stand."""
        if to_type not in self._depths:
            ids = [str(i) for i in self.sample]
            deep, _ = self._links(to_type).depths(ids, DEPTH)
            self._depths[to_type] = [deep[i] for i in ids]
        return self._depths[to_type]

    def link_page(self, to_type: str, deepest: int) -> int:
        """How many of its links HubSpot gives at once of the record that has the most."""
        _, length = self._links(to_type).depths([str(deepest)], 1)
        return length or ANY

    def _links(self, to_type: str) -> LinkReader:
        client, object_type = self._full.client, self._full.object_type
        return LinkReader(client, object_type, self._linked[to_type])

    @cached_property
    def weights(self) -> list[int]:
        """What those of `weighed` take with all properties, in bytes as pages are measured."""
        objects = self._weighed.objects
        return [ObjectPage([one], None).weight() for one in objects]

    @cached_property
    def weighed(self) -> list[int]:
        """Ids of some records of all ages; none where pages are never so heavy as to be cut."""
        return [int(o.id) for o in self._weighed.objects]

    @cached_property
    def _weighed(self) -> ObjectPage:
        if len(self._full.properties) <= WIDE or not self.sample:
            return ObjectPage([], None)
        ids = [str(i) for i in self.sample[:: -(-len(self.sample) // BATCH)]]
        reader = replace(self._full, raw=False, width=type(self._full.width)())
        return reader.batch(ids, archived=False)

    @cached_property
    def sample(self) -> list[int]:
        """Ids of records of all ages, in ascending order."""
        if not self.is_searchable:
            return self.listed[: SAMPLES * SEARCH_PAGE]
        if not self.asked_for:
            return []
        source = SearchSource(self._reader, self._filters, fresh=False)
        found = {int(o.id) for o in source.fetch(None).objects}
        lowest = min(found, default=0)
        last = (self.highest - lowest) * (1 - SEARCH_PAGE / max(SEARCH_PAGE, self.asked_for))
        samples = min(SAMPLES, -(-self.asked_for // RECORDS_PER_SAMPLE))
        for place in range(1, samples):
            start = lowest + int(last * place / (samples - 1))
            found.update(int(o.id) for o in source.fetch(str(start)).objects)
        return sorted(found)[: SAMPLES * SEARCH_PAGE]
