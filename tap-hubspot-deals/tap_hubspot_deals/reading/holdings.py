"""What a mirror holds of one object type: the ids that went out, what as, and with which links.

HubSpot has no feed of records that left a filter, were restored or purged, nor of links that were
taken away. Each of them is the difference between what went out and what is there; so what went out
is kept in the state, packed: about two bytes an id and four a link.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import accumulate, groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from tap_hubspot_deals.reading.idsets import IdSet
from tap_hubspot_deals.reading.link_keys import (
    LENGTH,
    link_keys,
    pack_keys,
    pack_links,
    unpack_keys,
)
from tap_hubspot_deals.reading.packing import (
    Kind,
    Mark,
    Marks,
    OldMark,
    differences,
    from_columns,
    from_old,
    pack,
    to_columns,
    unpack,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tap_hubspot_deals.reading.link_keys import LinkKey
    from tap_hubspot_deals.reading.links import Links

KINDS: tuple[Kind, ...] = ("live", "archived", "merged", "untold", "doubtful")
LINK_LIMIT = 200_000
"""Links that are kept: beyond it a link's `read_at` alone says whether it is current."""

LINK_LIMIT_OF_ALL = 1_000_000
"""Those that are kept where everything is to be compared: some 4 MB of state."""


class _Round(msgspec.Struct):
    """Some ids of a kind at each run, until all had their turn.

    Args:
        began: When the round did that is under way.
        whole: When the one before it did: all were compared with HubSpot then or later.
    """

    began: str | None = None
    whole: str | None = None


class _Packed(msgspec.Struct):
    ids: dict[str, list[int]]
    linked: Marks | list[OldMark] | None
    turns: dict[str, int] = {}
    rounds: dict[str, _Round] = {}


class Holdings:
    """What went out of one object type.

    `doubtful_since` is when a killed run began that may have sent more than is known; None: no run.
    `is_partial` says that earlier runs sent something of which the state does not tell.

    Args:
        packed: From `pack`; None where nothing went out.
        per_pair: Whether links go out into a stream for each pair of object types. Those that went
            out the other way are kept, until a run goes that way again.
        to_compare: Whether everything is to be compared, so that more links are kept.
        anew: Whether all is read: then the links are kept again, where they had been too many.
    """

    def __init__(
        self,
        packed: str | None = None,
        *,
        per_pair: bool = False,
        to_compare: bool = False,
        anew: bool = False,
    ) -> None:
        self.per_pair = per_pair
        self._link_limit = LINK_LIMIT_OF_ALL if to_compare else LINK_LIMIT
        self.ids: dict[Kind, IdSet] = {kind: IdSet() for kind in KINDS}
        self.links: dict[int, bytes] | None = {}
        self.seen = IdSet()
        self.is_partial = False
        self.doubtful_since: str | None = None
        self._turns: dict[str, int] = {}
        self._rounds: defaultdict[str, _Round] = defaultdict(_Round)
        self._link_count = 0
        if packed is not None:
            found: _Packed = unpack(packed, _Packed)
            for kind in KINDS:
                self.ids[kind] = IdSet(accumulate(found.ids.get(kind, [])))
            self._turns = dict(found.turns)
            self._rounds.update(found.rounds)
            if found.linked is not None or not anew:
                self.links = None if found.linked is None else _links_of(found.linked)
            self._link_count = sum(map(len, (self.links or {}).values())) // LENGTH

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
            numbers = [mark.id for mark in alike]
            if kind == "doubtful":
                self._doubt(numbers)
            elif kind is not None:
                for other, ids in self.ids.items():
                    if other == kind:
                        ids.add(numbers)
                    else:
                        ids.discard(numbers)
                if seen:
                    self.seen.add(numbers)
            for mark in alike:
                if mark.links is not None:
                    self._keep(mark.id, mark.links)

    def expect(self, marks: Iterable[Mark]) -> None:
        """Note what may have gone out, or not: what was known before may be so still."""
        for mark in marks:
            self._doubt([mark.id])
            if mark.kind in {"live", "archived"}:
                self.ids[mark.kind].add([mark.id])
            coming = unpack_keys(mark.links or b"", per_pair=self.per_pair)
            both = sorted({*self.links_of(mark.id), *coming})
            self._keep(mark.id, pack_keys(both, per_pair=self.per_pair))

    def _doubt(self, numbers: list[int]) -> None:
        """Have records read again, what else they are known as, and whatever gave them before."""
        self.ids["doubtful"].add(numbers)
        self.seen.discard(numbers)

    def unseen(self, *kinds: Kind) -> list[int]:
        """The ids of some kinds that the read under way did not give, in ascending order."""
        return sorted({i for kind in kinds for i in self.ids[kind] if i not in self.seen})

    def turn(self, kind: Kind, number: int, at: str) -> list[int]:
        """So many ids of a kind, the next ones at each call, until all have had their turn.

        Args:
            kind: Of which.
            number: How many.
            at: When they are compared with HubSpot, ISO 8601.
        """
        ids, now = self.ids[kind], self._rounds[kind]
        if len(ids) <= number:
            self._rounds[kind] = _Round(at, at)
            return list(ids)
        after = self._turns.get(kind, 0)
        if not after:
            now.began = at
        chosen = [*islice((i for i in ids if i > after), number + 1)]
        goes_on = len(chosen) > number
        self._turns[kind] = chosen[number - 1] if goes_on else 0
        if not goes_on:
            now.whole = now.began
        return chosen[:number]

    def compared(self, at: str) -> None:
        """Note when everything was compared with HubSpot, ISO 8601."""
        self._rounds.update({kind: _Round(at, at) for kind in KINDS})

    def compared_since(self, kind: Kind) -> str | None:
        """When all of a kind were compared with HubSpot, or later; None: that is not known."""
        return self._rounds[kind].whole

    def links_of(self, number: int) -> set[LinkKey]:
        """The links that went out of one record, as far as they are kept."""
        packed = (self.links or {}).get(number, b"")
        return set(unpack_keys(packed, per_pair=self.per_pair))

    def relink(
        self, number: int, links: Links, to_types: Collection[str]
    ) -> tuple[bytes | None, list[LinkKey]]:
        """Compare the links of one record with those that went out.

        Args:
            number: The record's id.
            links: All that it has now.
            to_types: The object types whose links go out.

        Returns:
            What a `Mark` has to say of its links, and those that it has no more.
        """
        if self.links is None:
            return None, []
        now = pack_links(links, to_types, per_pair=self.per_pair)
        before = self.links.get(number)
        if before is None or before == now:
            return now, []
        known = self.links_of(number)
        gone = sorted(k for k in known.difference(link_keys(links)) if k[0] in to_types)
        kept = sorted(k for k in known if k[0] not in to_types)
        return now + pack_keys(kept, per_pair=self.per_pair), gone

    def unattached(self) -> list[int]:
        """The records that are not live and whose links went out."""
        return [i for i in self.links or () if i not in self.live and self.links_of(i)]

    def _keep(self, number: int, links: bytes) -> None:
        """Take a record's links in place of those that went out the same way."""
        if self.links is None:
            return
        before = self.links.pop(number, b"")
        if before and before != links:
            other = unpack_keys(before, per_pair=not self.per_pair)
            links += pack_keys(other, per_pair=not self.per_pair)
        if links:
            self.links[number] = links
        self._link_count += (len(links) - len(before)) // LENGTH
        if self._link_count > self._link_limit:
            self.links = None

    def pack(self) -> str:
        """As text, for a state."""
        linked = None
        if self.links is not None:
            linked = to_columns([Mark(i, None, self.links[i]) for i in sorted(self.links)])
        ids: dict[str, list[int]] = {kind: differences(self.ids[kind]) for kind in KINDS}
        return pack(_Packed(ids, linked, self._turns, dict(self._rounds)))


def _links_of(packed: list[OldMark] | Marks) -> dict[int, bytes]:
    # Older states have the marks of both ways in the names themselves.
    marks = from_columns(packed) if isinstance(packed, Marks) else from_old(packed, per_pair=False)
    return {mark.id: mark.links for mark in marks if mark.links}
