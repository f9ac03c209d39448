"""What a run leaves for the next one: how far the mirror is, and where an unfinished run stands.

The bookmark of a stream is one dictionary per tenant, under Singer's `partitions`:

    {"context": {"_tenant_id": "acme"},
     "replication_key": "updated_at", "replication_key_value": "2026-11-22T09:00:00.000000Z",
     "full_read_at": "…", "version": 1795338000000, "selection": "5f0c…",
     "properties": "…", "ended_at": "…", "compared_since": {"links_of": "…", "archived": "…"},
     "held": "…", "progress": {…}, "recent": ["…"]}

`replication_key_value` is the end of the last closed window, never past the start of its run.
`properties` are those that all records have which went out, `ended_at` is when the last read ended.
`compares_all` says that what went out is kept for `compare_everything`, since the last full read,
and `compared_since` when all links and all archived records had been compared with HubSpot, or
later. `held` is what went out, see `reading.holdings`. `doubtful_since` stands where pages may have
gone out of which no state told, until a read has looked for them. `progress`, `recent` and `coming`
(see `streams.journal`) stand there only while a run is unfinished, `recent` also after a sample.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from hubspot_client.clock import iso, parse_time

from tap_hubspot_deals.ending import StateError
from tap_hubspot_deals.reading.holdings import Holdings
from tap_hubspot_deals.streams.coverage import Coverage
from tap_hubspot_deals.streams.due import Due
from tap_hubspot_deals.streams.journal import Journal
from tap_hubspot_deals.streams.samples import Sample
from tap_hubspot_deals.streams.selection import selection_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from hubspot_client.properties import Definition

    from tap_hubspot_deals.reading.packing import Mark
    from tap_hubspot_deals.reading.progress import Progress
    from tap_hubspot_deals.settings import Settings

LOGGER = logging.getLogger("tap-hubspot-deals")


class Bookmark:
    """One tenant's bookmark of one stream.

    Args:
        state: The writable dictionary that Singer's STATE messages carry.
        settings: What is asked for, and the look-back.
        selected: What of it the catalog selects.
        definitions: The properties that records get.
        kept: Whether a later run may go on from this one; else it is a sample.
        full: Whether the catalog wants everything at every run (FULL_TABLE).
        logger: Where it tells what a run is for.

    Raises:
        StateError: If the state holds a time that is none, or properties that no run wrote.
    """

    def __init__(
        self,
        state: dict[str, Any],
        settings: Settings,
        *,
        selected: Any = None,
        definitions: Sequence[Definition] = (),
        kept: bool = True,
        full: bool = False,
        logger: logging.Logger = LOGGER,
    ) -> None:
        self._told = state
        self._state = state = state if kept else {}
        self.kept = kept
        self._settings = settings
        self._selection = selection_of(settings, selected)
        self._journal = Journal(state)
        self._progress: Progress | None = None
        self._sample: Sample | None = None
        self._coverage = Coverage(state, definitions, logger)
        self._due = Due(
            state,
            settings,
            self._coverage,
            selection=self._selection,
            mirrors=self.mirrors,
            full=full,
            logger=logger,
        )
        self._was_open = "doubtful_since" in self._told
        for name in ("replication_key_value", "full_read_at", "ended_at", "doubtful_since"):
            _check_time(state, name)

    @property
    def value(self) -> str | None:
        """The end of the last closed window."""
        return self._state.get("replication_key_value")

    @property
    def mirrors(self) -> bool:
        """Whether a later run goes on from this one: a scan is read once, a sample never."""
        return self.kept and self._settings.scan_id is None

    @property
    def remembers(self) -> bool:
        """Whether a later run has to know what this one sends: of a sample, too."""
        return self._settings.scan_id is None

    @property
    def tells(self) -> bool:
        """Whether the state is written in the course of the run."""
        return self.kept or self.remembers

    @property
    def _compares_all(self) -> bool:
        return self.mirrors and self._settings.compare_everything

    @property
    def asks_for_something_else(self) -> bool:
        """Whether the last runs read another selection, so that their bookmark says nothing."""
        return self._due.asks_for_something_else

    @property
    def is_whole(self) -> bool:
        """Whether the last run that asked for this came to its end, and left what went out."""
        known = {"replication_key_value", "full_read_at", "held"} <= self._state.keys()
        return known and not self.asks_for_something_else and "progress" not in self._state

    @property
    def lacking(self) -> list[str]:
        """The properties that not all records have which went out."""
        return [each.name for each in self._coverage.lacking]

    def due(
        self, now: Callable[[], datetime], *, is_dear: Callable[[Sequence[str]], bool]
    ) -> Iterator[Progress]:
        """What to read: the end of an unfinished run, what this one is for, and what came later.

        Args:
            now: Tells the time at HubSpot.
            is_dear: Whether all is read for less than the records that have some properties.
        """
        self._now = now
        return self._due.reads(now, is_dear=is_dear)

    def unfinished(self) -> Progress | None:
        """The run that a kill or a failure left behind, if it asked for the same."""
        return self._due.unfinished()

    def changes(self, now: datetime) -> Progress:
        """A read of what changed since the bookmark, of which there has to be one."""
        return self._due.changes(now)

    def everything(self, now: datetime) -> Progress:
        """A read of all that is asked for."""
        return self._due.everything(now)

    def holdings(self, progress: Progress) -> Holdings:
        """What went out before a read and, where that was cut, in its first part.

        Args:
            progress: The read that is about to begin, or to go on.

        Raises:
            StateError: If the state holds something else in its place.
        """
        state = self._told if self.remembers else self._state
        goes_on = (state.get("progress") or {}).get("started_at") == progress.started_at
        kept = partial(
            Holdings,
            state.get("held"),
            per_pair=bool(state.get("per_pair")),
            to_compare=self._compares_all or (not self.kept and "compares_all" in state),
            anew=progress.mode == "full" and self.kept,
        )
        journal = Journal(state)
        try:
            held = kept()
            for marks in journal.recent():
                held.take(marks, seen=goes_on)
            coming = journal.coming()
            held.expect(coming)
            if not self.kept and self.remembers:
                own = kept()
                own.per_pair = self._settings.associations_per_pair
                self._sample = Sample(state, own)
            elif coming and goes_on:  # the next page takes its place, though it may have gone out
                before = kept()
                before.expect(coming)
                state["held"] = before.pack()
                del state["coming"]
            held.per_pair = self._settings.associations_per_pair
        except ValueError as exc:
            fault = f"The state's `held` or `recent` is damaged ({exc}). Run without state."
            raise StateError("State validation failed", errors=[fault]) from None
        held.doubtful_since = state.get("doubtful_since")
        held.is_partial = self.value is not None and "held" not in state
        if self.kept and not goes_on and not journal.is_empty:
            state["held"] = held.pack()
            self._journal.clear()
        return held

    def intend(self, marks: list[Mark], progress: Progress) -> None:
        """Take what is about to go out: a run that is killed then must not forget it.

        Args:
            marks: One for each record.
            progress: Where the read stands now.
        """
        if self._sample is not None:
            self._sample.intend(marks)
        self._journal.intend(marks)
        self._progress = progress

    def leave_open(self, *, is_open: bool) -> None:
        """Let the state say whether more may go out before the next one.

        What an earlier run left open stays so until a read has come to its end.
        """
        if not self.remembers or self._was_open:
            return
        if is_open and self._progress is not None:
            self._told["doubtful_since"] = self._progress.started_at
        else:
            self._told.pop("doubtful_since", None)

    def save(self, progress: Progress) -> None:
        """Take where an unfinished run stands: what was coming is out."""
        self._journal.went_out()
        self._progress = progress

    def settle(self) -> None:
        """Bring the state up to date, to be written."""
        if self._sample is not None:
            self._sample.settle()
        elif self._progress is not None:
            if self.mirrors:
                self._state["per_pair"] = self._settings.associations_per_pair
                self._journal.note()
            self._note(self._progress)

    def _note(self, progress: Progress) -> None:
        self._state["progress"] = {
            **vars(progress),
            "selection": self._selection,
            "properties": self._coverage.pack(),
        }

    def finish(self, progress: Progress, replication_key: str, held: Holdings) -> None:
        """Move the bookmark: the run has read all it set out for."""
        state = self._state
        if progress.mode == "full":
            held.compared(progress.started_at)
        if self.mirrors:
            state["held"] = held.pack()
            state["compared_since"] = {
                "links_of": held.compared_since("live"),
                "archived": held.compared_since("archived"),
            }
        self._progress = None
        self._journal.clear()
        state.pop("progress", None)
        state.pop("archived_ids", None)  # of older versions
        state["ended_at"] = iso(self._now())
        if progress.mode != "changes":
            self._coverage.finish()
        if progress.mode == "properties":
            return
        state.pop("doubtful_since", None)
        self._was_open = False
        state["replication_key"] = replication_key
        state["replication_key_value"] = progress.started_at
        state["selection"] = self._selection
        if named := [*(self._settings.properties or ()), *self._settings.history]:
            state["named"] = named
        state["version"] = progress.version
        if progress.mode == "full":
            state["full_read_at"] = progress.started_at
        if not self._compares_all:
            state.pop("compares_all", None)
        elif progress.mode == "full":
            state["compares_all"] = True


def _check_time(state: dict[str, Any], name: str) -> None:
    value = state.get(name)
    try:
        if value is not None:
            parse_time(value)
    except (TypeError, ValueError):
        fault = (
            f"The state's `{name}` is {value!r}, which is no time. Mend it, or run without state "
            "to read everything."
        )
        raise StateError("State validation failed", errors=[fault]) from None
