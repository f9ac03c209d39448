"""What of all that went out a run compares with HubSpot, in turn, and what it says of the rest."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from tap_hubspot_deals.reading.holdings import Holdings
    from tap_hubspot_deals.reading.packing import Kind
    from tap_hubspot_deals.reading.progress import Progress
    from tap_hubspot_deals.settings import Settings

LINKS_AT_ONCE = 1000
"""Records whose links an incremental run looks at: what one request for links takes."""

ARCHIVED_AT_ONCE = 300
"""Archived records that an incremental run looks after: all of them, in turn."""


class Turns:
    """The turns of one object type's records.

    Args:
        settings: Say whether everything is compared at each run.
        logger: Where it tells what was left.
        name: The object type's.
        reads_links: Whether links are read.

    Attributes:
        not_compared: How many records the run did not look at, by what of them it did not.
    """

    def __init__(
        self, settings: Settings, logger: logging.Logger, name: str, *, reads_links: bool
    ) -> None:
        self._everything = settings.compare_everything
        self._clears = settings.activate_versions
        self._logger = logger
        self._name = name
        self.reads_links = reads_links
        self._looked_at: dict[Kind, tuple[int, int]] = {}
        self.not_compared: dict[str, int] = {}

    def count(self, progress: Progress, held: Holdings) -> None:
        """How many records a run cannot look at: too many for it, in turn or at all."""
        whole = progress.mode == "full" or self._everything
        links = held.links is not None and (len(held.live) if whole else LINKS_AT_ONCE)
        archived = len(held.archived) if whole else ARCHIVED_AT_ONCE
        left = {
            "killed_runs": int(held.doubtful_since is not None),
            "earlier_runs": int(held.is_partial and not self._clears),
            "links_of": len(held.live) - int(links) if self.reads_links else 0,
            "archived": len(held.archived) - archived,
        }
        self.not_compared = {what: number for what, number in left.items() if number > 0}

    def tell(self, held: Holdings) -> None:
        """Say what was left, and since when it may be otherwise in HubSpot."""
        if held.doubtful_since is not None:
            self._logger.warning(
                "The run that began at %s was killed while %s were on their way of which its state "
                "does not tell: those of them that were deleted for good since may be left in the "
                "target, until a full read with `emit_activate_version_messages`.",
                held.doubtful_since,
                self._name,
            )
        if "earlier_runs" in self.not_compared:
            self._logger.warning(
                "The state does not say which %s earlier runs sent: those of them that are gone "
                "from HubSpot are left in the target, until a full read with "
                "`emit_activate_version_messages`.",
                self._name,
            )
        if not self.not_compared.keys() - {"killed_runs", "earlier_runs"}:
            return
        rounds = max(
            ceil(len(held.live) / LINKS_AT_ONCE), ceil(len(held.archived) / ARCHIVED_AT_ONCE)
        )
        self._logger.info(
            "Not compared with HubSpot in this run: %s. %s",
            " and ".join(self._told(held)),
            f"Each run looks at others in turn, at all within {rounds} runs or by a full read."
            if held.links is not None
            else "Their links are too many to be kept: a full read alone sees those that changed "
            "without their record, and those that are gone get no `removed_at`.",
            extra={"object_type": self._name, "not_compared": self.not_compared},
        )

    def _told(self, held: Holdings) -> Iterator[str]:
        name = self._name
        kinds: list[tuple[str, Kind, str]] = [
            ("links_of", "live", f"the links of %d {name}"),
            ("archived", "archived", f"the presence of %d archived {name}"),
        ]
        for what, kind, sentence in kinds:
            if not (number := self.not_compared.get(what)):
                continue
            told = [sentence % number]
            if kind in self._looked_at:
                told.append("all but ids {} to {}".format(*self._looked_at[kind]))
            if since := held.compared_since(kind):
                told.append(f"compared at {since} or later")
            yield ", ".join(told)

    def take(self, kind: Kind, held: Holdings, progress: Progress) -> Iterator[list[int]]:
        """The ids of a kind whose turn it is, so many together: once so many, or all."""
        number = LINKS_AT_ONCE if kind == "live" else ARCHIVED_AT_ONCE
        most = len(held.ids[kind]) if self._everything else number
        ids = held.turn(kind, most, progress.started_at)
        if ids:
            self._looked_at[kind] = (ids[0], ids[-1])
        for start in range(0, len(ids), number):
            yield ids[start : start + number]
