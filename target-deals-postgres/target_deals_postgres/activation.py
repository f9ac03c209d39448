"""What ACTIVATE_VERSION does: rows that its full read did not bring again are deleted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from target_deals_postgres.records.columns import TENANT
from target_deals_postgres.tables.outcomes import Outcome

if TYPE_CHECKING:
    from psycopg2.extensions import cursor

    from target_deals_postgres.config import Settings
    from target_deals_postgres.intake import Intake
    from target_deals_postgres.storing.commits import Commits
    from target_deals_postgres.storing.rejected import Rejections
    from target_deals_postgres.streams import Stream

logger = logging.getLogger("target-deals-postgres")


class Activation:
    """Activates versions, where it is sure that they are complete."""

    def __init__(
        self, settings: Settings, commits: Commits, rejections: Rejections, intake: Intake
    ) -> None:
        """Prepare; nothing is activated yet."""
        self._settings = settings
        self._commits = commits
        self._rejections = rejections
        self._intake = intake

    def activate(self, stream: Stream, version: int, *, gathers: bool) -> None:
        """Delete what a version did not bring, after all records before the message.

        Args:
            stream: the stream.
            version: what its full read is called.
            gathers: whether the rows of other streams of the tap are in its table, too.
        """
        if stream.overwritten:  # which needs no versions: it is enough to know what is complete
            if stream.counts.processed:
                stream.told = stream.counts.processed
            return
        if doubt := self._doubt(stream, version, gathers=gathers):
            logger.warning("%s: version %d is not activated, since %s", stream.name, version, doubt)
            return
        if not stream.versioned:
            stream.versioned = True
            self._intake.refit(stream)
        deleted = 0
        spared: set[str | None] = set()

        def work(cur: cursor) -> dict[str, Outcome]:
            nonlocal deleted, spared
            self._rejections.share(cur, stream.name)
            spared = self._rejections.tenants_of(cur, stream.name, version)
            deleted = 0
            if not spared or (None not in spared and TENANT in stream.scope):
                written = stream.brought.get(version, set()) | stream.announced
                if spared:
                    at = stream.scope.index(TENANT)
                    written = {values for values in written if values[at] not in spared}
                hard = self._settings.hard_delete
                deleted = stream.versions.activate(cur, version, written, hard=hard)
                self._overtake(cur, stream, version, written)
            return {stream.name: Outcome(deleted=deleted)}

        self._commits.flush(work)
        stream.counts.deleted += deleted
        if spared:
            logger.warning(
                "%s: version %d deletes nothing%s, since records of it were rejected",
                stream.name,
                version,
                "" if None in spared or not stream.scope else f" of {len(spared)} tenants",
            )
        logger.info("%s: version %d is active, %d rows deleted", stream.name, version, deleted)

    @staticmethod
    def _doubt(stream: Stream, version: int, *, gathers: bool) -> str:
        if gathers:
            return "several streams lead to this table, so it is not known whose rows are gone"
        if stream.versionless:
            return (
                "records without a version came before it, so it is not known which rows are gone"
            )
        if version in stream.leading or not (version in stream.begun or stream.announced):
            stream.leading.add(version)
            return (
                "its ACTIVATE_VERSION came before its records, so it is not known whether they are "
                "complete"
            )
        return ""

    def _overtake(
        self, cur: cursor, stream: Stream, version: int, written: set[tuple[str | None, ...]]
    ) -> None:
        # What was rejected before and did not come again is gone, too; the list knows tenants only.
        if not stream.scope:
            self._rejections.overtake_all(cur, stream.name, None, version)
        elif stream.scope == [TENANT]:
            tenants = {whose for (whose,) in written}
            self._rejections.overtake_all(cur, stream.name, tenants, version)
