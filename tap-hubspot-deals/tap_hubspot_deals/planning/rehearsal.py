"""A run of one object type without its records: the reader itself, before a stand-in."""

from __future__ import annotations

import logging
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_hubspot_deals.planning.counts import Counts
from tap_hubspot_deals.planning.imagined import Imagined
from tap_hubspot_deals.planning.stand_in import StandIn
from tap_hubspot_deals.planning.timeline import Threads
from tap_hubspot_deals.reading.packing import Mark
from tap_hubspot_deals.reading.progress import Progress
from tap_hubspot_deals.reading.runs import THREADS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from tap_hubspot_deals.planning.timeline import Timeline
    from tap_hubspot_deals.reading.pages import LinkedPage
    from tap_hubspot_deals.reading.runs import Run
    from tap_hubspot_deals.streams.bookmarks import Bookmark
    from tap_hubspot_deals.streams.objects import ObjectStream

QUIET = logging.getLogger("tap-hubspot-deals.rehearsal")
QUIET.propagate = False
QUIET.addHandler(logging.NullHandler())
"""Where a rehearsal tells what it would do: nobody reads it."""


@dataclass(frozen=True)
class Rehearsed:
    """What a run of one object type would ask.

    Args:
        stream: Its name.
        modes: What it would read, in order: `full`, `changes`, `properties`.
        records: How many records it would read.
        asked: Requests by family and, those for links, by the object type that they lead to.
    """

    stream: str
    modes: tuple[str, ...]
    records: int
    asked: Counter[tuple[str, str]]


class Rehearsal:
    """Goes through the runs of one object type.

    Args:
        stream: Which; `find_children` has found what goes out of it.

    Attributes:
        imagined: Its records, as they may be.
    """

    def __init__(self, stream: ObjectStream) -> None:
        self.name = stream.name
        self._stream = stream
        self._reader = stream.reader(stream.hubspot)
        known = stream.find_bookmark(deepcopy(stream.own_state()), QUIET)
        left = known.unfinished()
        held = known.holdings(left or Progress("changes", "", 0))
        filters = stream.settings.filters
        self.imagined = Imagined(
            Counts(self._reader, filters, stream.linked),
            held,
            left,
            reselected=known.asks_for_something_else,
        )

    def go_through(self, timeline: Timeline, *, anew: bool) -> Rehearsed:
        """Ask the stand-in all that a run would ask HubSpot.

        Args:
            timeline: Where time passes.
            anew: Whether the run has no state.

        Raises:
            HubSpotError: If HubSpot has to be asked for a number, and that fails.
            StateError: As in a run.
        """
        stream = self._stream
        stand_in = StandIn(
            stream.hubspot,
            self._reader,
            self.imagined,
            stream.settings.filters,
            stream.linked,
            timeline,
        )
        state = {} if anew else deepcopy(stream.own_state())
        bookmark = stream.find_bookmark(state, QUIET)
        modes: list[str] = []
        records = 0
        with stream.run(bookmark, stand_in, QUIET, Threads(timeline, THREADS)) as run:
            due = bookmark.due(stand_in.clock.now, is_dear=run.is_dearer_than_all)
            for progress in due:
                modes.append(progress.mode)
                records += sum(self._read(run, progress, bookmark))
        return Rehearsed(stream.name, tuple(modes), records, stand_in.asked)

    def _read(self, run: Run, progress: Progress, bookmark: Bookmark) -> Iterator[int]:
        """Carry out one read, as the stream would; gives how many records each page has."""
        held = bookmark.holdings(progress)
        most = self._stream.settings.max_records
        read = 0
        for page in run.pages(progress, held):
            if read == most:
                return  # a page ahead, as the stream is
            number = len(page.page.objects) if most is None else most - read
            number = min(number, len(page.page.objects))
            held.take(_marks(page))
            read += number
            yield number
        bookmark.finish(progress, "updated_at", held)


def _marks(page: LinkedPage) -> list[Mark]:
    """What a page says of its records, as far as it decides what is asked for next."""
    live = [Mark(int(o.id), "live") for o in page.page.objects if not o.archived]
    archived = [Mark(int(o.id), "archived", b"") for o in page.page.objects if o.archived]
    return [*live, *archived, *(Mark(int(i), "gone", b"") for i in page.gone)]
