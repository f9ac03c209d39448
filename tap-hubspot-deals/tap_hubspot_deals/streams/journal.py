"""What an unfinished run has sent and is about to send, as its state tells the run after it.

A state holds it packed: `recent` is a list of texts, each made once, by the STATE that first tells
of its records; `coming` is the page that is about to go out. Nothing is packed between two STATEs.
What a sample sends meanwhile stands in `recent`, too, as `doubtful`.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tap_hubspot_deals.reading.packing import Mark, pack_marks, unpack, unpack_marks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


PARTS = ("recent", "coming", "sampled")


class Journal:
    """The part of a bookmark that grows with every page.

    A signal may come between any two lines: what is told twice does no harm, what is left out does.

    Args:
        state: The writable bookmark.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state
        self._gone_out: list[Mark] = []
        self._coming: list[Mark] = []

    def intend(self, marks: list[Mark]) -> None:
        """Take what is about to go out, one mark for each record."""
        self._coming = marks

    def doubt(self, marks: Sequence[Mark]) -> None:
        """Take what is about to go out, or not, beside what the unfinished run sends."""
        self._gone_out += [Mark(mark.id, "doubtful") for mark in marks]

    def went_out(self) -> None:
        """What was about to go out is out."""
        if "coming" in self._state:
            self._state.setdefault("recent", []).append(self._state["coming"])
            del self._state["coming"]
        else:
            self._gone_out += self._coming
        self._coming = []

    def note(self) -> None:
        """Bring the state up to date."""
        if self._gone_out:
            self._state.setdefault("recent", []).append(pack_marks(self._gone_out))
            self._gone_out = []
        if self._coming and "coming" not in self._state:
            self._state["coming"] = pack_marks(self._coming)

    def recent(self) -> Iterator[list[Mark]]:
        """What the unfinished run of a state sent, and samples since the last one, in their order.

        Raises:
            ValueError: If the state holds something else.
        """
        for each in self._state.get("recent") or ():
            yield self._unpacked(each)
        if "sampled" in self._state:  # of older versions
            ids = accumulate(unpack(self._state["sampled"], list[int]))
            yield [Mark(i, "doubtful") for i in ids]

    def coming(self) -> list[Mark]:
        """What the unfinished run of a state may have sent; empty where it told of nothing.

        Raises:
            ValueError: If the state holds something else.
        """
        return self._unpacked(self._state["coming"]) if "coming" in self._state else []

    @property
    def is_empty(self) -> bool:
        """Whether a state tells of nothing."""
        return not any(self._state.get(name) for name in PARTS)

    def _unpacked(self, packed: str) -> list[Mark]:
        return unpack_marks(packed, per_pair=bool(self._state.get("per_pair")))

    def clear(self) -> None:
        """Forget it all: it is in what the bookmark holds."""
        for name in PARTS:
            self._state.pop(name, None)
        self._gone_out, self._coming = [], []
