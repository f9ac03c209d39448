"""Where records come from: HubSpot's list and batches by id; `searching` has its search.

Each source is a walk: given a position it fetches one page and says where the next one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec
from hubspot_client.errors import ErrorBody, refuse_partial
from hubspot_client.paging import Paging, after

from tap_hubspot_deals.streams.records import CrmObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hubspot_client.client import Client
    from hubspot_client.object_types import ObjectType

URL_LIMIT = 8000
"""Longest address sent. HubSpot answers 414 somewhere between 14,000 and 16,400 characters."""

BATCH = 100


class _Objects(msgspec.Struct):
    results: list[CrmObject]
    paging: Paging | None = None
    total: int = 0
    errors: list[ErrorBody] = []


class _RawObjects(msgspec.Struct):
    results: list[msgspec.Raw]
    paging: Paging | None = None
    total: int = 0
    errors: list[ErrorBody] = []


@dataclass
class Page:
    """One page of a walk.

    Args:
        objects: The records, in HubSpot's order.
        following: The position after this page; None at the end.
        raws: Each object's own JSON, where raw objects are wanted.
        total: How many records the search found from here on.
    """

    objects: list[CrmObject]
    following: str | None
    raws: list[msgspec.Raw] | None = None
    total: int = 0

    def release(self) -> None:
        """Let go of the objects, once records are made of them."""
        self.objects, self.raws = [], None

    def pairs(self) -> Iterable[tuple[CrmObject, msgspec.Raw | None]]:
        """Each record with its own JSON, where that is kept."""
        raws: Sequence[msgspec.Raw | None] = self.raws or [None] * len(self.objects)
        return zip(self.objects, raws, strict=True)


class Source(Protocol):
    """Anything that can be walked page by page."""

    def fetch(self, position: str | None) -> Page:
        """The page at a position; None is the beginning."""


@dataclass(frozen=True)
class Reading:
    """What all sources of one stream share.

    Args:
        client: The conversation with HubSpot.
        object_type: Which records.
        properties: The properties to read.
        page_size: Records per page of a list.
        raw: Whether each object's own JSON is kept.
    """

    client: Client
    object_type: ObjectType
    properties: tuple[str, ...]
    page_size: int
    raw: bool

    def batch(self, ids: Sequence[str], *, archived: bool) -> Page:
        """Records by id, in the order asked for; ids that are gone are left out.

        Raises:
            HubSpotError: If some of them are there but could not be read.
        """
        name = self.object_type.name
        path = self.client.paths.batch_read(self.object_type.in_paths)
        path += "?archived=true" if archived else ""
        by_id: dict[str, tuple[CrmObject, msgspec.Raw | None]] = {}
        for start in range(0, len(ids), BATCH):
            body = {
                "inputs": [{"id": i} for i in ids[start : start + BATCH]],
                "properties": self.properties,
                "propertiesWithHistory": [],
            }
            what = f"{name} (batch read)"
            answer = self.client.post(path, body, family="batch read", what=what, shape=self.shape)
            refuse_partial(answer.errors, what=what)
            page = self.decode(answer)
            by_id.update((o.id, (o, raw)) for o, raw in page.pairs())
        found = [by_id[i] for i in ids if i in by_id]
        return Page(
            [o for o, _ in found],
            None,
            [raw for _, raw in found if raw is not None] if self.raw else None,
        )

    @property
    def shape(self) -> type[_Objects | _RawObjects]:
        """How answers are decoded."""
        return _RawObjects if self.raw else _Objects

    def decode(self, answer: _Objects | _RawObjects) -> Page:
        """A page from an answer of `shape`."""
        following = after(answer.paging)
        if isinstance(answer, _Objects):
            return Page(answer.results, following, total=answer.total)
        objects = [msgspec.json.decode(raw, type=CrmObject) for raw in answer.results]
        return Page(objects, following, answer.results, answer.total)


@dataclass(frozen=True)
class ListSource:
    """All live, or all archived, records by HubSpot's list.

    The properties stand in the address. Where that grows too long, the list gives ids only and the
    properties come by batch read, whose body has no such limit.
    """

    reading: Reading
    archived: bool = False

    def fetch(self, position: str | None) -> Page:
        """The page at a cursor.

        Raises:
            HubSpotError: Status 400 if HubSpot does not know the cursor.
        """
        reading = self.reading
        names = ",".join(reading.properties)
        wide = len(names) > URL_LIMIT - 200
        params: dict[str, str | int] = {
            "limit": reading.page_size,
            "properties": "hs_object_id" if wide else names,
            "archived": "true" if self.archived else "false",
        }
        if position is not None:
            params["after"] = position
        name = reading.object_type.name
        page = reading.decode(
            reading.client.get(
                reading.client.paths.objects(reading.object_type.in_paths),
                family="list",
                what=f"{'archived ' if self.archived else ''}{name} (list)",
                shape=reading.shape,
                **params,
            )
        )
        if wide and page.objects:
            full = reading.batch([o.id for o in page.objects], archived=self.archived)
            return Page(full.objects, page.following, full.raws)
        return page


@dataclass(frozen=True)
class IdSource:
    """Live records by id; ids that HubSpot does not know are left out.

    Args:
        reading: What to read.
        ids: Which records.
    """

    reading: Reading
    ids: tuple[str, ...]

    def fetch(self, position: str | None) -> Page:
        """The hundred records at a position in the ids."""
        start = int(position or 0)
        page = self.reading.batch(self.ids[start : start + BATCH], archived=False)
        if start + BATCH < len(self.ids):
            page.following = str(start + BATCH)
        return page
