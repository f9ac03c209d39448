"""What a sample sent, as a mirror's state has to tell it: the next run reads all of that again.

A run for some records (`max_records`, `association_ids`) moves no bookmark and compares nothing.
But its rows stand in the mirror's tables, and may be of other settings than the mirror's: what it
sent is as doubtful as what was on its way when a run was killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_hubspot_deals.streams.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_hubspot_deals.reading.holdings import Holdings
    from tap_hubspot_deals.reading.packing import Mark


class Sample:
    """The part of a bookmark that a sample writes.

    Args:
        state: The writable bookmark of the mirror.
        held: What went out for the mirror.
    """

    def __init__(self, state: dict[str, Any], held: Holdings) -> None:
        self._state = state
        self._held = held
        self._journal = Journal(state)
        # A bookmark of an early version says nothing of what went out: this must not look as if.
        self._tells = "held" in state or "replication_key_value" not in state

    def intend(self, marks: Sequence[Mark]) -> None:
        """Take what is about to go out, one mark for each record."""
        self._held.expect(marks)
        self._journal.doubt(marks)

    def settle(self) -> None:
        """Bring the state up to date, to be written."""
        self._journal.note()
        if self._tells:
            self._state["held"] = self._held.pack()
