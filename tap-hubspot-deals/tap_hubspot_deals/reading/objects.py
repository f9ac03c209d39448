"""HubSpot's objects as they come: one page of them, and the ways to ask for them by id."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec
from hubspot_client.decoding import decode
from hubspot_client.errors import ErrorBody, InconsistentError, refuse_partial
from hubspot_client.paging import Paging, after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hubspot_client.client import Client
    from hubspot_client.object_types import ObjectType

BATCH = 100
PAGE_ROOM = 6_000_000
"""Bytes of one page, at the most. A page of usual records takes a few hundred thousand."""

SAMPLE = 4
PER_VALUE = 80
"""Bytes of a value besides its characters: its place in a dictionary, and what each text has."""

MERGED_IDS = "hs_merged_object_ids"


class CrmObject(msgspec.Struct, rename="camel", gc=False):  # it holds texts alone
    """One object of a list, search or batch answer."""

    id: str
    properties: dict[str, str | None]
    created_at: str | None = None
    updated_at: str | None = None
    archived: bool = False
    archived_at: str | None = None


def merged_ids(found: CrmObject) -> list[str]:
    """The ids of objects that were merged into this one; empty for most."""
    text = found.properties.get(MERGED_IDS)
    return [i for i in text.split(";") if i and i != found.id] if text else []


class _Objects(msgspec.Struct):
    results: list[CrmObject]
    paging: Paging | None = None
    total: int | None = None
    errors: list[ErrorBody] = []


class _RawObjects(msgspec.Struct):
    results: list[msgspec.Raw]
    paging: Paging | None = None
    total: int | None = None
    errors: list[ErrorBody] = []


@dataclass
class ObjectPage:
    """One page of a walk.

    Args:
        objects: In HubSpot's order.
        following: The position after this page; None at the end.
        raws: Each object's own JSON, where that is wanted.
        total: How many objects the search found from here on, where it says so.
    """

    objects: list[CrmObject]
    following: str | None
    raws: list[msgspec.Raw] | None = None
    total: int | None = None

    def pairs(self) -> Iterable[tuple[CrmObject, msgspec.Raw | None]]:
        """Each object with its own JSON, where that is kept."""
        raws: Sequence[msgspec.Raw | None] = self.raws or [None] * len(self.objects)
        return zip(self.objects, raws, strict=True)

    def weight(self) -> int:
        """About how many bytes it takes in memory, told by a few of its objects."""
        count = len(self.objects)
        sample = self.objects[:: max(1, count // SAMPLE)]
        heavy = sum(
            PER_VALUE * len(o.properties) + sum(len(v) for v in o.properties.values() if v)
            for o in sample
        )
        return heavy * count // len(sample) if sample else 0

    def keep(self, wanted: Callable[[CrmObject], bool]) -> None:
        """Leave only the wanted objects."""
        kept = [i for i, found in enumerate(self.objects) if wanted(found)]
        self.objects = [self.objects[i] for i in kept]
        if self.raws is not None:
            self.raws = [self.raws[i] for i in kept]

    def release(self) -> None:
        """Let go of the objects, once records are made of them."""
        self.objects, self.raws = [], None


def refuse_silence(
    ids: Sequence[str], found: Sequence[CrmObject], errors: list[ErrorBody], *, what: str
) -> None:
    """Each id has to be in the answer, among its errors, or merged into one that is there.

    Raises:
        InconsistentError: If one of them is not.
    """
    accounted = {o.id for o in found}
    accounted.update(old for o in found for old in merged_ids(o))
    accounted.update(str(i) for error in errors for i in error.context.get("ids") or ())
    silent = [i for i in ids if i not in accounted]
    if silent:
        raise InconsistentError(
            f"HubSpot's answer for {what} does not say what became of {len(silent)} of "
            f"{len(ids)} records (the first is {silent[0]}); nothing was skipped. Run again."
        )


class Source(Protocol):
    """Anything that can be walked page by page."""

    def fetch(self, position: str | None) -> ObjectPage:
        """The page at a position; None is the beginning."""


@dataclass
class Width:
    """How much room objects take, as far as they were seen.

    Args:
        heaviest: Bytes of one object, by the heaviest page; 0: none was seen yet.
    """

    heaviest: int = 0

    def see(self, page: ObjectPage) -> None:
        """Take in a page."""
        if page.objects:
            self.heaviest = max(self.heaviest, page.weight() // len(page.objects))

    def page(self, most: int, properties: int) -> int:
        """How many objects a page may have.

        Args:
            most: How many HubSpot gives.
            properties: How many each of them has: what there is to guess from at first.
        """
        return max(1, min(most, PAGE_ROOM // (self.heaviest or 2 * PER_VALUE * (properties + 1))))


@dataclass(frozen=True)
class ObjectReader:
    """What all sources of one object type share.

    Args:
        client: The conversation with HubSpot.
        object_type: Which objects.
        properties: The properties to read.
        page_size: Objects per page of a list.
        raw: Whether each object's own JSON is kept.
    """

    client: Client
    object_type: ObjectType
    properties: tuple[str, ...]
    page_size: int
    raw: bool
    width: Width = field(default_factory=Width)

    def batch(self, ids: Sequence[str], *, archived: bool) -> ObjectPage:
        """Objects by id, in the order asked for; ids that HubSpot names as gone are left out.

        Raises:
            HubSpotError: If some of them are there but could not be read.
            InconsistentError: If the answer does not say what became of some of them.
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
            refuse_silence(ids[start : start + BATCH], page.objects, answer.errors, what=what)
        found = [by_id[i] for i in ids if i in by_id]
        return ObjectPage(
            [o for o, _ in found],
            None,
            [raw for _, raw in found if raw is not None] if self.raw else None,
        )

    @property
    def shape(self) -> type[_Objects | _RawObjects]:
        """How answers are decoded."""
        return _RawObjects if self.raw else _Objects

    def decode(self, answer: _Objects | _RawObjects) -> ObjectPage:
        """A page from an answer of `shape`."""
        following = after(answer.paging)
        if isinstance(answer, _Objects):
            page = ObjectPage(answer.results, following, total=answer.total)
            self.width.see(page)
            return page
        objects = [decode(raw, CrmObject) for raw in answer.results]
        page = ObjectPage(objects, following, answer.results, answer.total)
        self.width.see(page)
        return page
