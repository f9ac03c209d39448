"""What a mirror holds of one object type: the ids that went out, what as, and with which links.

HubSpot has no feed of records that left a filter, were restored or purged, nor of links that were
taken away. Each of them is the difference between what went out and what is there; so what went out
is kept in the state, packed: about two bytes an id and four a link.
"""

from __future__ import annotations

import base64
import zlib
from array import array
from bisect import bisect_left, bisect_right
from heapq import merge
from itertools import groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

Kind = Literal["live", "archived", "merged", "gone"]
KINDS: tuple[Kind, ...] = ("live", "archived", "merged")
LINK_LIMIT = 200_000
"""Links that are kept: beyond it a link's `read_at` alone says whether it is current."""

OVERLAY = 20_000
"""Changes that an `IdSet` collects before it sorts them in."""

PER_PAIR = "*"
"""Before the object type of links that went out into a stream for their pair."""

LinkKey = tuple[str, str, str, int]
"""`(to object type, to id, category, type id)`: what tells one record's links apart."""


class IdSet:
    """A set of ids in eight bytes each, for sets that hold a whole portal."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._sorted = array("q", ids)
        self._added: set[int] = set()
        self._gone: set[int] = set()

    def __contains__(self, number: int) -> bool:
        if number in self._added:
            return True
        return number not in self._gone and self._is_sorted_in(number)

    def __len__(self) -> int:
        return len(self._sorted) - len(self._gone) + len(self._added)

    def __iter__(self) -> Iterator[int]:
        """In ascending order."""
        old = (i for i in self._sorted if i not in self._gone)
        return merge(old, sorted(self._added))

    def add(self, numbers: Collection[int]) -> None:
        """Take ids in."""
        self._gone.difference_update(numbers)
        self._added.update(i for i in numbers if not self._is_sorted_in(i))
        self._settle()

    def discard(self, numbers: Collection[int]) -> None:
        """Let ids go, those that are there."""
        if not self._sorted and not self._added:
            return  # most portals have no merged records, and most runs read no archived ones
        self._added.difference_update(numbers)
        self._gone.update(i for i in numbers if self._is_sorted_in(i))
        self._settle()

    def between(self, low: int, high: int) -> list[int]:
        """The ids from one to another, both included."""
        start, end = bisect_left(self._sorted, low), bisect_right(self._sorted, high)
        old = [i for i in self._sorted[start:end] if i not in self._gone]
        return sorted([*old, *(i for i in self._added if low <= i <= high)])

    def count(self, low: int, high: int) -> int:
        """How many there are from one to another, both included."""
        sorted_in = bisect_right(self._sorted, high) - bisect_left(self._sorted, low)
        return (
            sorted_in
            - sum(low <= i <= high for i in self._gone)
            + sum(low <= i <= high for i in self._added)
        )

    def quantiles(self, number: int) -> list[int]:
        """The last ids of so many parts of about one size; fewer where there are not as many."""
        ids = self._sorted if len(self._sorted) >= number else sorted(self)
        number = min(number, len(ids))
        return [ids[len(ids) * (i + 1) // number - 1] for i in range(number)]

    def _is_sorted_in(self, number: int) -> bool:
        if not self._sorted or number > self._sorted[-1]:
            return False
        return self._sorted[bisect_left(self._sorted, number)] == number

    def _settle(self) -> None:
        if len(self._added) + len(self._gone) > OVERLAY:
            self._sorted = array("q", self)
            self._added, self._gone = set(), set()


class Mark(msgspec.Struct, array_like=True):
    """What went out of one record: what as, and its links; None: they were not read."""

    id: int
    kind: Kind | None
    links: list[LinkKey] | None = None


class _Packed(msgspec.Struct):
    ids: dict[str, list[int]]
    linked: list[Mark] | None
    turns: dict[str, int] = {}


class Holdings:
    """What went out of one object type.

    Args:
        packed: From `pack`; None where nothing went out.
        per_pair: Whether links go out into a stream for each pair of object types. Those that went
            out the other way are kept, until a run goes that way again.
    """

    def __init__(self, packed: str | None = None, *, per_pair: bool = False) -> None:
        self.per_pair = per_pair
        self.ids: dict[Kind, IdSet] = {kind: IdSet() for kind in KINDS}
        self.links: dict[int, bytes] | None = {}
        self.seen = IdSet()
        self._turns: dict[str, int] = {}
        self._link_count = 0
        if packed is not None:
            found = _unpack(packed, _Packed)
            for kind in KINDS:
                self.ids[kind] = IdSet(_summed(found.ids.get(kind, [])))
            self._turns = dict(found.turns)
            self.links = None
            if found.linked is not None:
                self.links = {m.id: msgspec.msgpack.encode(m.links) for m in found.linked}
                self._link_count = sum(len(mark.links or ()) for mark in found.linked)

    @property
    def live(self) -> IdSet:
        """The records that went out as live ones."""
        return self.ids["live"]

    @property
    def archived(self) -> IdSet:
        """The records that went out as archived."""
        return self.ids["archived"]

    def __contains__(self, number: int) -> bool:
        return any(number in ids for ids in self.ids.values())

    def take(self, marks: Iterable[Mark], *, seen: bool = True) -> None:
        """Note what went out.

        Args:
            marks: One for each record.
            seen: Whether the read that is under way gave them.
        """
        for kind, group in groupby(marks, attrgetter("kind")):
            alike = list(group)
            if kind is not None:
                numbers = [mark.id for mark in alike]
                for other, ids in self.ids.items():
                    if other == kind:
                        ids.add(numbers)
                    else:
                        ids.discard(numbers)
                if seen:
                    self.seen.add(numbers)
            for mark in alike:
                if mark.links is not None:
                    self._keep_links(mark)

    def expect(self, marks: Iterable[Mark]) -> None:
        """Note what may have gone out, or not: what was known before may be so still."""
        for mark in marks:
            if mark.kind in {"live", "archived"}:
                self.ids[mark.kind].add([mark.id])
            links = {*self.links_of(mark.id), *(mark.links or ())}
            self._keep_links(Mark(mark.id, None, sorted(links)))

    def unseen(self, kind: Kind) -> list[int]:
        """The ids of a kind that the read under way did not give."""
        return [i for i in self.ids[kind] if i not in self.seen]

    def turn(self, kind: Kind, number: int) -> list[int]:
        """So many ids of a kind, the next ones at each call, until all have had their turn."""
        ids = self.ids[kind]
        if len(ids) <= number:
            return list(ids)
        after = self._turns.get(kind, 0)
        chosen = [*islice((i for i in ids if i > after), number)]
        self._turns[kind] = chosen[-1] if len(chosen) == number else 0
        return chosen

    def links_of(self, number: int) -> set[LinkKey]:
        """The links that went out of one record, as far as they are kept."""
        if not self.links or number not in self.links:
            return set()
        return {
            (name.removeprefix(PER_PAIR), to_id, category, type_id)
            for name, to_id, category, type_id in self._all_links_of(number)
            if name.startswith(PER_PAIR) == self.per_pair
        }

    def unattached(self) -> list[int]:
        """The records that are not live and whose links went out."""
        return [i for i in self.links or () if i not in self.live and self.links_of(i)]

    def _all_links_of(self, number: int) -> list[LinkKey]:
        packed = (self.links or {}).get(number)
        return [] if packed is None else _links.decode(packed)

    def _keep_links(self, mark: Mark) -> None:
        if self.links is None:
            return
        links = list(mark.links or ())
        if self.per_pair:
            links = [(PER_PAIR + name, i, c, t) for name, i, c, t in links]
        before = self._all_links_of(mark.id)
        links += [k for k in before if k[0].startswith(PER_PAIR) != self.per_pair]
        self.links.pop(mark.id, None)
        if links:
            self.links[mark.id] = _links_encoder.encode(links)
        self._link_count += len(links) - len(before)
        if self._link_count > LINK_LIMIT:
            self.links = None

    def pack(self) -> str:
        """As text, for a state."""
        linked = None
        if self.links is not None:
            linked = [(i, None, msgspec.Raw(p)) for i, p in sorted(self.links.items())]
        ids: dict[str, list[int]] = {kind: _differences(self.ids[kind]) for kind in KINDS}
        return _pack({"ids": ids, "linked": linked, "turns": self._turns})


_links = msgspec.msgpack.Decoder(list[LinkKey])
_links_encoder = msgspec.msgpack.Encoder()


def pack_marks(marks: list[Mark]) -> str:
    """Marks as text, for a state."""
    return _pack(marks)


def unpack_marks(packed: str) -> list[Mark]:
    """Marks from `pack_marks`.

    Raises:
        ValueError: If the text is something else.
    """
    found: list[Mark] = _unpack(packed, list[Mark])
    return found


def pack_text(texts: list[str]) -> str:
    """Texts as one, for a state."""
    return _pack(texts)


def unpack_text(packed: str) -> list[str]:
    """Texts from `pack_text`.

    Raises:
        ValueError: If it is something else.
    """
    found: list[str] = _unpack(packed, list[str])
    return found


def _pack(value: Any) -> str:
    return base64.b64encode(zlib.compress(msgspec.msgpack.encode(value), 1)).decode()


def _unpack(packed: str, shape: Any) -> Any:
    try:
        return msgspec.msgpack.decode(
            zlib.decompress(base64.b64decode(packed, validate=True)), type=shape
        )
    except (zlib.error, msgspec.DecodeError, TypeError, AttributeError) as exc:
        raise ValueError(str(exc)) from exc


def _differences(ids: Iterable[int]) -> list[int]:
    before = 0
    found = []
    for number in ids:
        found.append(number - before)
        before = number
    return found


def _summed(differences: Iterable[int]) -> Iterator[int]:
    number = 0
    for step in differences:
        number += step
        yield number
