"""Where objects come from without a search: HubSpot's list, and ids that were named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_hubspot_deals.reading.objects import BATCH, ObjectPage

if TYPE_CHECKING:
    from tap_hubspot_deals.reading.objects import ObjectReader

URL_LIMIT = 8000
"""Longest address sent. HubSpot answers 414 somewhere between 14,000 and 16,400 characters."""


@dataclass(frozen=True)
class ListSource:
    """All live, or all archived, objects by HubSpot's list.

    The properties stand in the address. Where that grows too long, the list gives ids only and the
    properties come by batch read, whose body has no such limit.
    """

    reader: ObjectReader
    archived: bool = False

    def fetch(self, position: str | None) -> ObjectPage:
        """The page at a cursor.

        Raises:
            HubSpotError: Status 400 if HubSpot does not know the cursor.
        """
        reader = self.reader
        names = ",".join(reader.properties)
        wide = len(names) > URL_LIMIT - 200
        params: dict[str, str | int] = {
            "limit": reader.width.page(reader.page_size, len(reader.properties)),
            "properties": "hs_object_id" if wide else names,
            "archived": "true" if self.archived else "false",
        }
        if position is not None:
            params["after"] = position
        name = reader.object_type.name
        page = reader.decode(
            reader.client.get(
                reader.client.paths.objects(reader.object_type.in_paths),
                family="list",
                what=f"{'archived ' if self.archived else ''}{name} (list)",
                shape=reader.shape,
                **params,
            )
        )
        if wide and page.objects:
            full = reader.batch([o.id for o in page.objects], archived=self.archived)
            return ObjectPage(full.objects, page.following, full.raws)
        return page


@dataclass(frozen=True)
class IdSource:
    """Objects by id; ids that HubSpot does not know are left out.

    Args:
        reader: What to read.
        ids: Which objects.
        archived: Whether they are looked for in the recycle bin, or among the live ones.
    """

    reader: ObjectReader
    ids: tuple[str, ...]
    archived: bool = False

    def fetch(self, position: str | None) -> ObjectPage:
        """The hundred objects at a position in the ids."""
        start = int(position or 0)
        page = self.reader.batch(self.ids[start : start + BATCH], archived=self.archived)
        if start + BATCH < len(self.ids):
            page.following = str(start + BATCH)
        return page
