"""What tells links apart, in sixteen bytes a link.

A link is told by its kind - what it leads to, its category and its type - and by an id. An account
has a handful of kinds. Each has a number here, which holds within the process; a state says which
kinds its own numbers mean (`reading.packing`).
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from tap_hubspot_deals.reading.links import Links

PER_PAIR = "*"
"""Before the object type of links that went out into a stream for their pair."""

LENGTH = 16
"""Bytes of one link: the number of its kind, and the id."""

LinkKey = tuple[str, str, str, int]
"""`(to object type, to id, category, type id)`: what tells one record's links apart."""

LinkKind = tuple[str, str, int]
"""`(to object type, category, type id)`; per pair, the type has its mark before it."""

KINDS: list[LinkKind] = []
"""The kinds by their numbers."""


class _Numbers(dict[LinkKind, int]):
    def __missing__(self, kind: LinkKind) -> int:
        number = self[kind] = len(KINDS)
        KINDS.append(kind)
        return number


NUMBERS = _Numbers()
"""The numbers of kinds; one that is new gets the next."""


def link_keys(links: Links) -> list[LinkKey]:
    """What tells one record's links apart."""
    return [
        (to_type, linked["id"], link_type["category"], link_type["type_id"])
        for to_type, all_linked in links.items()
        for linked in all_linked
        for link_type in linked["types"]
    ]


def pack_links(links: Links, to_types: Collection[str], *, per_pair: bool) -> bytes:
    """The keys of one record's links to some object types, packed."""
    numbers: list[int] = []
    for to_type in to_types:
        name = PER_PAIR + to_type if per_pair else to_type
        for linked in links.get(to_type, ()):
            to_id = int(linked["id"])
            for each in linked["types"]:
                numbers += (NUMBERS[name, each["category"], each["type_id"]], to_id)
    return array("q", numbers).tobytes() if numbers else b""


def pack_keys(keys: Iterable[LinkKey], *, per_pair: bool) -> bytes:
    """Keys, packed."""
    numbers: list[int] = []
    mark = PER_PAIR if per_pair else ""
    for to_type, to_id, category, type_id in keys:
        numbers += (NUMBERS[mark + to_type, category, type_id], int(to_id))
    return array("q", numbers).tobytes()


def unpack_keys(packed: bytes, *, per_pair: bool) -> Iterator[LinkKey]:
    """The keys of links that went out one of the two ways."""
    numbers = array("q", packed)
    for number, to_id in zip(numbers[::2], numbers[1::2], strict=True):
        name, category, type_id = KINDS[number]
        if name.startswith(PER_PAIR) == per_pair:
            yield name.removeprefix(PER_PAIR), str(to_id), category, type_id
