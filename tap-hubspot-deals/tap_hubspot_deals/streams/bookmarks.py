"""What a run leaves for the next one: how far the mirror is, and where an unfinished run stands.

The bookmark of a stream is one dictionary per tenant, under Singer's `partitions`:

    {"context": {"_tenant_id": "acme"},
     "replication_key": "updated_at", "replication_key_value": "2026-11-22T09:00:00.000000Z",
     "full_read_at": "…", "version": 1795338000000, "selection": "5f0c…",
     "properties": "…", "ended_at": "…", "held": "…", "progress": {…}, "recent": ["…"]}

`replication_key_value` is the end of the last closed window, never past the start of its run.
`properties` are those that all records have which went out, `ended_at` is when the last read ended.
`compares_all` says that what went out is kept for `compare_everything`, since the last full read.
`held` is what went out, see `reading.holdings`. `progress`, and `recent` and `coming` (see
`streams.journal`), stand there only while a run is unfinished.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from hubspot_client.clock import EPOCH, iso, milliseconds, parse_time

from tap_hubspot_deals.ending import StateError
from tap_hubspot_deals.reading.holdings import Holdings
from tap_hubspot_deals.reading.progress import PROGRESS_FIELDS, Phase, Progress
from tap_hubspot_deals.streams.coverage import Coverage
from tap_hubspot_deals.streams.journal import Journal
from tap_hubspot_deals.streams.selection import selection_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from hubspot_client.properties import Definition

    from tap_hubspot_deals.reading.packing import Mark
    from tap_hubspot_deals.settings import Settings

LOGGER = logging.getLogger("tap-hubspot-deals")
MOMENT = timedelta(minutes=1)
"""What clocks and records may be apart."""


class Bookmark:
    """One tenant's bookmark of one stream.

    Args:
        state: The writable dictionary that Singer's STATE messages carry.
        settings: What is asked for, and the look-back.
        selected: What of it the catalog selects.
        definitions: The properties that records get.
        kept: Whether a later run may go on from this one.
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
        self._state = state
        self._logger = logger
        self.kept = kept
        self._full = full
        self._settings = settings
        self._selection = selection_of(settings, selected)
        self._journal = Journal(state)
        self._progress: Progress | None = None
        self._coverage = Coverage(state, definitions, logger)
        for name in ("replication_key_value", "full_read_at", "ended_at"):
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
    def _compares_all(self) -> bool:
        return self.mirrors and self._settings.compare_everything

    @property
    def asks_for_something_else(self) -> bool:
        """Whether the last runs read another selection, so that their bookmark says nothing."""
        return bool(self._state.get("selection", self._selection) != self._selection)

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
        ended_at = self._state.get("ended_at")
        anew = self._coverage.concerns_all
        if anew:
            self._state.pop("full_read_at", None)
        self._coverage.begin()
        unfinished = self.unfinished()
        if unfinished is not None and self._is_of_use(unfinished):
            self._logger.info(
                "Going on with the unfinished %s read that began at %s.",
                unfinished.mode,
                unfinished.started_at,
            )
            ended_at = None
            self._coverage.read(self._state["progress"])
            yield unfinished
        self._coverage.read()
        following = self.next_run(now(), refresh=unfinished is None or unfinished.mode != "full")
        lacking = [] if following.mode == "full" else self._coverage.lacking
        if lacking and (anew or is_dear([each.name for each in lacking])):
            following = self.everything(now())
        yield following
        if lacking and following.mode == "changes":
            yield self._properties_of(lacking, following, ended_at)

    def _is_of_use(self, unfinished: Progress) -> bool:
        """Whether to go on: a read of some properties is not worth it where all is read."""
        return unfinished.mode != "properties" or self.next_run(self._now()).mode == "changes"

    def _properties_of(
        self, lacking: list[Definition], run: Progress, ended_at: str | None
    ) -> Progress:
        """A read of the records that have some properties.

        Archived ones are read too, unless all went out before any of the properties was there.
        """
        phase: Phase = "live"
        for each in lacking:
            new = each.created_at and ended_at and _is_after(each.created_at, ended_at)
            phase = phase if new else "archived"
        names = [each.name for each in lacking]
        return Progress("properties", iso(self._now()), run.version, phase=phase, having=names)

    def unfinished(self) -> Progress | None:
        """The run that a kill or a failure left behind, if it asked for the same.

        One that another version of the tap wrote otherwise is left alone: the bookmark under it
        still holds.
        """
        found = dict(self._state.get("progress") or {})
        found.pop("properties", None)
        if found.pop("selection", None) != self._selection or found.keys() != PROGRESS_FIELDS:
            return None
        try:
            progress = msgspec.convert(found, Progress)
        except msgspec.ValidationError:
            return None
        progress.having = self._coverage.known(progress.having)
        return progress

    def next_run(self, now: datetime, *, refresh: bool = True) -> Progress:
        """What to do now: read all, or what changed since the bookmark.

        Args:
            now: The time at HubSpot.
            refresh: Whether a full read may be due merely because the last one is long ago.
        """
        full_read_at = self._state.get("full_read_at")
        known = self.value is not None and full_read_at is not None
        known = known and (not self.mirrors or "held" in self._state)
        # What went out must be kept whole, to be compared as a whole.
        known = known and (not self._compares_all or "compares_all" in self._state)
        due = refresh and known and (self._full or self._is_due(str(full_read_at), now))
        if not known or self.asks_for_something_else or due or self._is_ahead(now):
            return self.everything(now)
        return self.changes(now)

    def changes(self, now: datetime) -> Progress:
        """A read of what changed since the bookmark, of which there has to be one."""
        return Progress("changes", iso(now), self._state.get("version", 0), self._looked_back())

    @staticmethod
    def everything(now: datetime) -> Progress:
        """A read of all that is asked for."""
        return Progress("full", iso(now), milliseconds(now))

    def _is_ahead(self, now: datetime) -> bool:
        """Whether the bookmark lies in HubSpot's future, and therefore says nothing of the past."""
        return self.value is not None and parse_time(self._looked_back()) > now

    def _looked_back(self) -> str:
        return iso(max(parse_time(str(self.value)) - self._settings.lookback, EPOCH))

    def holdings(self, progress: Progress) -> Holdings:
        """What went out before a read and, where that was cut, in its first part.

        Args:
            progress: The read that is about to begin, or to go on.

        Raises:
            StateError: If the state holds something else in its place.
        """
        state = self._state
        goes_on = (state.get("progress") or {}).get("started_at") == progress.started_at
        kept = partial(
            Holdings,
            state.get("held"),
            per_pair=bool(state.get("per_pair")),
            to_compare=self._compares_all,
            anew=progress.mode == "full",
        )
        try:
            held = kept()
            for marks in self._journal.recent():
                held.take(marks, seen=goes_on)
            coming = self._journal.coming()
            held.expect(coming)
            if coming and goes_on:  # the next page takes its place, though it may have gone out
                before = kept()
                before.expect(coming)
                state["held"] = before.pack()
                del state["coming"]
            held.per_pair = self._settings.associations_per_pair
        except ValueError as exc:
            fault = f"The state's `held` is damaged ({exc}). Run without state to read everything."
            raise StateError("State validation failed", errors=[fault]) from None
        if not goes_on and (state.get("recent") or coming):
            state["held"] = held.pack()
            self._journal.clear()
        return held

    def intend(self, marks: list[Mark], progress: Progress) -> None:
        """Take what is about to go out: a run that is killed then must not forget it.

        Args:
            marks: One for each record.
            progress: Where the read stands now.
        """
        self._journal.intend(marks)
        self._progress = progress

    def save(self, progress: Progress) -> None:
        """Take where an unfinished run stands: what was coming is out."""
        self._journal.went_out()
        self._progress = progress

    def settle(self) -> None:
        """Bring the state up to date, to be written."""
        if self._progress is not None:
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
        if self.mirrors:
            state["held"] = held.pack()
        self._progress = None
        self._journal.clear()
        state.pop("progress", None)
        state.pop("archived_ids", None)  # of older versions
        state["ended_at"] = iso(self._now())
        if progress.mode != "changes":
            self._coverage.finish()
        if progress.mode == "properties":
            return
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

    def _is_due(self, full_read_at: str, now: datetime) -> bool:
        """Whether so many hours passed, less a twenty-fourth: a schedule may run a bit early."""
        return now - parse_time(full_read_at) >= self._settings.refresh_after * 23 / 24


def _is_after(time: str, other: str) -> bool:
    try:
        return parse_time(time) > parse_time(other) + MOMENT
    except ValueError:
        return False


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
