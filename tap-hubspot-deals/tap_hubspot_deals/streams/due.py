"""What a run has to read, by what the last ones left, and why it is everything where it is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from hubspot_client.clock import EPOCH, iso, milliseconds, parse_time

from tap_hubspot_deals.reading.progress import PROGRESS_FIELDS, Phase, Progress

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from hubspot_client.properties import Definition

    from tap_hubspot_deals.settings import Settings
    from tap_hubspot_deals.streams.coverage import Coverage

VALUE = "replication_key_value"
MOMENT = timedelta(minutes=1)
"""What clocks and records may be apart."""


class Due:
    """The reads of one run.

    Args:
        state: The bookmark; see `streams.bookmarks`.
        settings: What is asked for, and the look-back.
        coverage: The properties of what went out, and those that records get.
        selection: What is asked for, as a fingerprint.
        mirrors: Whether a later run goes on from this one.
        full: Whether the catalog wants everything at every run (FULL_TABLE).
        logger: Where it tells what a run is for.
    """

    def __init__(
        self,
        state: dict[str, Any],
        settings: Settings,
        coverage: Coverage,
        *,
        selection: str,
        mirrors: bool,
        full: bool,
        logger: logging.Logger,
    ) -> None:
        self._state = state
        self._settings = settings
        self._coverage = coverage
        self._selection = selection
        self._mirrors = mirrors
        self._full = full
        self._logger = logger

    @property
    def asks_for_something_else(self) -> bool:
        """Whether the last runs read another selection, so that their bookmark says nothing.

        One that was cut counts, too: what it sent lies over what went out before.
        """
        cut = self._state.get("progress") or {}
        return any(
            read.get("selection") not in (None, self._selection) for read in (self._state, cut)
        )

    def reads(
        self, now: Callable[[], datetime], *, is_dear: Callable[[Sequence[str]], bool]
    ) -> Iterator[Progress]:
        """The end of an unfinished run, what this one is for, and what came later.

        Args:
            now: Tells the time at HubSpot.
            is_dear: Whether all is read for less than the records that have some properties.
        """
        ended_at = self._state.get("ended_at")
        anew = self._coverage.concerning_all
        if anew:
            self._logger.warning(
                "Everything is read again: the type of %s changed from text or to it, and HubSpot "
                "cannot be asked for the records in which it was cleared.",
                ", ".join(anew),
            )
            self._state.pop("full_read_at", None)
        self._coverage.begin()
        unfinished = self.unfinished()
        if unfinished is not None and self._is_of_use(unfinished, now()):
            self._logger.info(
                "Going on with the unfinished %s read that began at %s.",
                unfinished.mode,
                unfinished.started_at,
            )
            ended_at = None
            self._coverage.read(self._state["progress"])
            yield unfinished
        self._coverage.read()
        refresh = unfinished is None or unfinished.mode != "full"
        reason = self._why_all(now(), refresh=refresh)
        lacking = [] if reason else self._coverage.lacking
        if lacking and (anew or is_dear([each.name for each in lacking])):
            reason = f"that costs less than to look for those with {len(lacking)} new properties"
        if reason:
            self._logger.info("All is due: %s.", reason)
            yield self.everything(now())
            return
        run = self.changes(now())
        yield run
        if lacking:
            yield self._properties_of(lacking, run, ended_at, now())

    @staticmethod
    def everything(now: datetime) -> Progress:
        """A read of all that is asked for."""
        return Progress("full", iso(now), milliseconds(now))

    def changes(self, now: datetime) -> Progress:
        """A read of what changed since the bookmark, of which there has to be one."""
        return Progress("changes", iso(now), self._state.get("version", 0), self._looked_back())

    def _is_of_use(self, unfinished: Progress, now: datetime) -> bool:
        """Whether to go on: a read of some properties is not worth it where all is read."""
        return unfinished.mode != "properties" or not self._why_all(now)

    def _properties_of(
        self, lacking: list[Definition], run: Progress, ended_at: str | None, now: datetime
    ) -> Progress:
        """A read of the records that have some properties.

        Archived ones are read too, unless all went out before any of the properties was there.
        """
        phase: Phase = "live"
        for each in lacking:
            new = each.created_at and ended_at and _is_after(each.created_at, ended_at)
            phase = phase if new else "archived"
        names = [each.name for each in lacking]
        return Progress("properties", iso(now), run.version, phase=phase, having=names)

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

    def _why_all(self, now: datetime, *, refresh: bool = True) -> str:
        """Why everything is to be read; empty where what changed since the bookmark is enough.

        Args:
            now: The time at HubSpot.
            refresh: Whether a full read may be due merely because the last one is long ago.
        """
        return next((words for so, words in self._reasons(now, refresh=refresh) if so), "")

    def _reasons(self, now: datetime, *, refresh: bool) -> Iterator[tuple[bool, str]]:
        """Reasons to read everything, and whether they hold; the first one that does is enough."""
        full_read_at, value = self._state.get("full_read_at"), self._state.get(VALUE)
        yield full_read_at is None or value is None, "no run before read everything"
        yield (
            self.asks_for_something_else,
            "the settings or the catalog ask for something else than before",
        )
        yield self._mirrors and "held" not in self._state, "the state does not say what went out"
        # What went out must be kept whole, to be compared as a whole.
        compares_all = self._mirrors and self._settings.compare_everything
        yield compares_all and "compares_all" not in self._state, "`compare_everything` is new"
        yield refresh and self._full, "the catalog says FULL_TABLE"
        yield (
            refresh and self._is_long_ago(str(full_read_at), now),
            f"that was last done at {full_read_at} (`full_refresh_hours`)",
        )
        yield parse_time(self._looked_back()) > now, "the bookmark lies in HubSpot's future"

    def _looked_back(self) -> str:
        value = parse_time(str(self._state.get(VALUE)))
        return iso(max(value - self._settings.lookback, EPOCH))

    def _is_long_ago(self, full_read_at: str, now: datetime) -> bool:
        """Whether so many hours passed, less a twenty-fourth: a schedule may run a bit early."""
        return now - parse_time(full_read_at) >= self._settings.refresh_after * 23 / 24


def _is_after(time: str, other: str) -> bool:
    try:
        return parse_time(time) > parse_time(other) + MOMENT
    except ValueError:
        return False
