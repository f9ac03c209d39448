"""What went out as text for a state: about two bytes an id and four a link.

Marks are packed in columns, of which each holds numbers that are alike.
"""

from __future__ import annotations

import base64
import zlib
from array import array
from itertools import accumulate, chain, tee
from operator import sub
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tap_hubspot_deals.reading.link_keys import KINDS, LENGTH, NUMBERS, LinkKey, LinkKind, pack_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Kind = Literal["live", "archived", "merged", "gone", "untold", "doubtful"]
"""`untold`: gone or merged while records did not go out, so that no row of theirs says so.
`doubtful`: it may have gone out as something that it is not, since it was on its way when a run was
killed, or a sample sent it, perhaps for other settings. The next read gives it again, whatever it
is."""

AS: tuple[Kind | None, ...] = (None, "live", "archived", "merged", "gone", "untold", "doubtful")
PLACES = {kind: place for place, kind in enumerate(AS)}
NOT_READ = -1


class Mark(msgspec.Struct, gc=False):
    """What went out of one record: what as, and its links (`link_keys`); None: as they were."""

    id: int
    kind: Kind | None
    links: bytes | None = None


class Marks(msgspec.Struct):
    """Marks in columns.

    Args:
        kinds: The kinds of links, by the numbers that `types` has.
        ids: The records, each as the difference to the one before it.
        went: What each of them went out as, by its place in `AS`.
        counts: How many links each has, or `NOT_READ`.
        types: The kind of each link.
        to: What each link leads to, as the difference to the one before it.
    """

    kinds: list[LinkKind]
    ids: list[int]
    went: list[int]
    counts: list[int]
    types: list[int]
    to: list[int]


class OldMark(msgspec.Struct, array_like=True):
    """A mark as states had it before there were columns."""

    id: int
    kind: Kind | None
    links: list[LinkKey] | None = None


def to_columns(marks: Sequence[Mark]) -> Marks:
    """Marks in columns."""
    links = array("q", b"".join([mark.links for mark in marks if mark.links]))
    numbers = sorted(set(links[::2]))
    places = {number: place for place, number in enumerate(numbers)}
    return Marks(
        [KINDS[number] for number in numbers],
        differences([mark.id for mark in marks]),
        [PLACES[mark.kind] for mark in marks],
        [NOT_READ if mark.links is None else len(mark.links) // LENGTH for mark in marks],
        [*map(places.__getitem__, links[::2])],
        differences(links[1::2]),
    )


def from_columns(columns: Marks) -> list[Mark]:
    """Marks from `to_columns`.

    Raises:
        ValueError: If the columns do not fit together.
    """
    numbers = [NUMBERS[kind] for kind in columns.kinds]
    links = array("q", bytes(LENGTH * len(columns.to)))
    try:
        links[::2] = array("q", [numbers[place] for place in columns.types])
        links[1::2] = array("q", accumulate(columns.to))
        packed = memoryview(links.tobytes())
        found, begin = [], 0
        for number, went, count in zip(
            accumulate(columns.ids), columns.went, columns.counts, strict=True
        ):
            end = begin + max(count, 0) * LENGTH
            own = None if count == NOT_READ else bytes(packed[begin:end])
            found.append(Mark(number, AS[went], own))
            begin = end
    except (IndexError, OverflowError) as exc:
        raise ValueError(str(exc)) from exc
    return found


def from_old(marks: list[OldMark], *, per_pair: bool) -> list[Mark]:
    """Marks of a state that has no columns."""
    return [
        Mark(m.id, m.kind, None if m.links is None else pack_keys(m.links, per_pair=per_pair))
        for m in marks
    ]


def pack_marks(marks: Sequence[Mark]) -> str:
    """Marks as text, for a state."""
    return pack(to_columns(marks))


def unpack_marks(packed: str, *, per_pair: bool = False) -> list[Mark]:
    """Marks from `pack_marks`.

    Args:
        packed: The text.
        per_pair: Which way links went out; of use only where an older version packed it.

    Raises:
        ValueError: If the text is something else.
    """
    found: list[OldMark] | Marks = unpack(packed, list[OldMark] | Marks)
    return from_columns(found) if isinstance(found, Marks) else from_old(found, per_pair=per_pair)


def pack_text(texts: list[str]) -> str:
    """Texts as one, for a state."""
    return pack(texts)


def unpack_text(packed: str) -> list[str]:
    """Texts from `pack_text`.

    Raises:
        ValueError: If it is something else.
    """
    found: list[str] = unpack(packed, list[str])
    return found


def pack(value: Any) -> str:
    """Anything that msgpack can hold, as text."""
    return base64.b64encode(zlib.compress(msgspec.msgpack.encode(value), 1)).decode()


def unpack(packed: str, shape: Any) -> Any:
    """What `pack` made a text of.

    Raises:
        ValueError: If it is something else.
    """
    try:
        return msgspec.msgpack.decode(
            zlib.decompress(base64.b64decode(packed, validate=True)), type=shape
        )
    except (zlib.error, msgspec.DecodeError, TypeError, AttributeError) as exc:
        raise ValueError(str(exc)) from exc


def differences(numbers: Iterable[int]) -> list[int]:
    """Each number less the one before it: `accumulate` brings them back."""
    following, before = tee(numbers)  # in step, so that no copy of them is made
    return [*map(sub, following, chain((0,), before))]
