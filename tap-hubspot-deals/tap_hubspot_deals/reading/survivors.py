"""What became of records that were merged into others: HubSpot tells it of the others alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubspot_client.clock import milliseconds, parse_time
from hubspot_client.errors import HubSpotError

from tap_hubspot_deals.reading.legs import BAD_REQUEST
from tap_hubspot_deals.reading.objects import MERGED_IDS, CrmObject, merged_ids
from tap_hubspot_deals.reading.progress import Window
from tap_hubspot_deals.reading.searching import SearchSource
from tap_hubspot_deals.settings import Filters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_hubspot_deals.reading.objects import ObjectReader

ONE_BY_ONE = 20
"""Ids that are asked for one by one where no search tells what became of them."""

NOT_FOUND = 404


class Survivors:
    """Finds the records that took others' places.

    Args:
        reader: The objects and their properties.
    """

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self._known: dict[str, CrmObject] | None = None

    def of(self, ids: Sequence[str], since: str | None) -> dict[str, CrmObject]:
        """Those of the ids that were merged into another record, with that one.

        Args:
            ids: Records that are not there.
            since: The last read, ISO 8601; None: there was none.
        """
        if not ids:
            return {}
        known = self.since(since)
        found = {i: known[i] for i in ids if i in known}
        rest = [i for i in ids if i not in found]
        for record_id in rest[:ONE_BY_ONE]:  # the index of the search lags behind
            survivor = self._read_one(record_id)
            if survivor is not None and survivor.id != record_id:
                found[record_id] = survivor
        return found

    def since(self, since: str | None) -> dict[str, CrmObject]:
        """The survivors that changed since the last read, by the ids of those that they replaced.

        Args:
            since: The last read, ISO 8601; None: there was none.
        """
        if self._known is None:
            self._known = self._search(since)
        return self._known

    def _search(self, since: str | None) -> dict[str, CrmObject]:
        window = None
        if since is not None:
            now = milliseconds(self._reader.client.clock.now())
            window = Window(milliseconds(parse_time(since)), now)
        source = SearchSource(self._reader, Filters(), window, having=(MERGED_IDS,))
        survivors: dict[str, CrmObject] = {}
        position: str | None = None
        try:
            while True:
                page = source.fetch(position)
                survivors.update((old, o) for o in page.objects for old in merged_ids(o))
                position = page.following
                if position is None:
                    return survivors
        except HubSpotError as exc:
            if exc.status != BAD_REQUEST:
                raise
            return survivors  # a type that cannot be searched

    def _read_one(self, record_id: str) -> CrmObject | None:
        """One record, or the one that took its place: HubSpot leads from the old id to the new."""
        client, object_type = self._reader.client, self._reader.object_type
        try:
            return client.get(
                f"{client.paths.objects(object_type.in_paths)}/{record_id}",
                family="list",
                what=f"{object_type.name} (one)",
                shape=CrmObject,
                properties=MERGED_IDS,
            )
        except HubSpotError as exc:
            if exc.status != NOT_FOUND:
                raise
            return None
