"""What a sample sent, as a mirror's state has to tell it: the next run reads all of that again.

A run for some records (`max_records`, `association_ids`) moves no bookmark and compares nothing.
But its rows stand in the mirror's tables, and may be of other settings than the mirror's.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tap_hubspot_deals.reading.idsets import IdSet
from tap_hubspot_deals.reading.packing import differences, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_hubspot_deals.reading.holdings import Holdings
    from tap_hubspot_deals.reading.packing import Mark


class Sample:
    """The part of a bookmark that a sample writes.

    Args:
        state: The writable bookmark of the mirror.
        held: What went out for the mirror.

    Raises:
        ValueError: If the state holds something else than earlier samples.
    """

    def __init__(self, state: dict[str, Any], held: Holdings) -> None:
        self._state = state
        self._held = held
        self._ids = IdSet(sampled(state))
        # A bookmark of an early version says nothing of what went out: this must not look as if.
        self._tells = "held" in state or "replication_key_value" not in state

    def intend(self, marks: Sequence[Mark]) -> None:
        """Take what is about to go out, one mark for each record."""
        self._held.expect(marks)
        self._ids.add([mark.id for mark in marks])

    def settle(self) -> None:
        """Bring the state up to date, to be written."""
        self._state["sampled"] = pack(differences(self._ids))
        if self._tells:
            self._state["held"] = self._held.pack()


def sampled(state: dict[str, Any]) -> Iterable[int]:
    """The ids of the records that samples sent since the last run of the mirror, ascending.

    Raises:
        ValueError: If the state holds something else.
    """
    packed = state.get("sampled")
    return accumulate(unpack(packed, list[int])) if packed is not None else ()
