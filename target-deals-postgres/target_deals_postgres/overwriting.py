"""What the end of the input does to streams that are overwritten: their rows replace the others.

All of them in one transaction, and only when the run went well and the tap has said that they are
complete: a tap that fails ends the input as one does that is done.
"""

from __future__ import annotations

import logging
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from target_deals_postgres.errors import InputCutError
from target_deals_postgres.records.columns import TENANT
from target_deals_postgres.records.values import loads
from target_deals_postgres.tables.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg2.extensions import cursor

    from target_deals_postgres.config import Settings
    from target_deals_postgres.storing.commits import Commits
    from target_deals_postgres.storing.rejected import Rejections
    from target_deals_postgres.streams import Stream

logger = logging.getLogger("target-deals-postgres")


class Overwriting:
    """Overwrites what a run brought for it, at its end."""

    def __init__(
        self,
        settings: Settings,
        commits: Commits,
        rejections: Rejections,
        streams: Mapping[str, Stream],
        missing: Callable[[Stream], set[str]],
    ) -> None:
        """Prepare; no stream is known yet.

        Args:
            settings: the run's settings.
            commits: its transactions.
            rejections: its rejected records.
            streams: its streams by name, as they come.
            missing: which of the tap's streams should have led to one, too, and have not come.
        """
        self._settings = settings
        self._commits = commits
        self._rejections = rejections
        self._streams = streams
        self._missing = missing

    def note_state(self) -> None:
        """Note that a STATE came: what came before it is complete so far."""
        for stream in self._streams.values():
            stream.told = stream.counts.processed

    def give_up(self) -> None:
        """Say that nothing is overwritten, since the run did not end well."""
        for stream in self._waiting():
            logger.warning(
                "%s: nothing is overwritten, since the run did not end well; the rows from before "
                "stay, and no STATE is emitted for these",
                stream.name,
            )

    def finish(self) -> None:
        """Overwrite, and emit the STATE that waited for it.

        Raises:
            InputCutError: the tap has not said that a stream is complete.
            DatabaseError: the tables do not take the rows; all are as they were.
        """
        self._find_unknown()
        streams = self._waiting()
        if not streams:
            return
        self._judge(streams)
        outcomes: dict[str, Outcome] = {}
        kept: dict[str, int] = {}

        def work(cur: cursor) -> dict[str, Outcome]:
            for stream in streams:
                self._rejections.share(cur, stream.name)
            for stream in streams:
                outcomes[stream.name], kept[stream.name] = self._overwrite(cur, stream)
            return outcomes

        for stream in streams:
            stream.counts.held = False
        self._commits.release(work)
        for stream in streams:
            stream.counts.add(outcomes[stream.name])
            self._tell(stream, kept[stream.name])

    def _waiting(self) -> list[Stream]:
        return [one for one in self._streams.values() if one.replacement is not None]

    def _find_unknown(self) -> None:
        for pattern in self._settings.overwrite:
            if not any(fnmatchcase(name, pattern) for name in self._streams):
                logger.warning("overwrite: no stream of this run is called %s", pattern)

    def _judge(self, streams: list[Stream]) -> None:
        unsure = [one.name for one in streams if one.told != one.counts.processed]
        state = self._commits.held
        value = loads(state) if state is not None else None
        syncing = value.get("currently_syncing") if isinstance(value, dict) else None
        missing = sorted({source for one in streams for source in self._missing(one)})
        if not unsure and not syncing and not missing:
            return
        why = f"the last STATE says that the tap is at {syncing}"
        if missing:
            why = f"no SCHEMA came of {', '.join(missing)}, which stream_maps lead to a table"
        if unsure:
            why = f"no STATE came after the last message of {', '.join(unsure)}"
        raise InputCutError(
            f"{why}, so that the input may have been cut: nothing is overwritten, and the rows "
            "from before stay"
        )

    def _overwrite(self, cur: cursor, stream: Stream) -> tuple[Outcome, int]:
        # What became of the rows, and how many tenants keep what they had: of whom records came,
        # and were rejected, all of them.
        replacement = stream.replacement
        assert replacement is not None  # noqa: S101 - `_waiting` says so
        count = replacement.count(cur)
        outcome = Outcome(superseded=stream.counts.processed - stream.counts.failed - count)
        spoiled = self._rejections.tenants(stream.name)
        came = replacement.whose(cur, stream.scope)
        said = (stream.written | stream.announced) - came
        whose = came | said
        if spoiled and TENANT in stream.scope:
            at = stream.scope.index(TENANT)
            whose -= {one for one in said if None in spoiled or one[at] in spoiled}
            spoiled -= {one[at] for one in whose}
        elif spoiled:
            whose -= said
            if not stream.scope and not count:
                return outcome, 1
        outcome.add(replacement.carry_out(cur, stream.scope, whose))
        stream.versions.forget(cur, whose)
        tenants = None
        if TENANT in stream.scope:
            tenants = {one[stream.scope.index(TENANT)] for one in whose}
        self._rejections.overtake_all(cur, stream.name, tenants)
        return outcome, len(spoiled) if TENANT in stream.scope else 0

    @staticmethod
    def _tell(stream: Stream, kept: int) -> None:
        counts = stream.counts
        if kept:
            logger.warning(
                "%s: the rows from before stay%s: all records that came were rejected",
                stream.name,
                f" of {kept} tenants" if stream.scope else "",
            )
        elif not counts.processed and stream.scope and not stream.announced:
            logger.warning(
                "%s: no record came, so it is not known whose rows to overwrite: none", stream.name
            )
        elif not counts.processed:
            logger.warning("%s: no record came, so no row is left", stream.name)
        logger.info("%s: overwritten, %d rows from before are gone", stream.name, counts.deleted)
