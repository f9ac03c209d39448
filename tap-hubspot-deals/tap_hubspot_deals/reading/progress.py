"""Where a read stands: what it reads, from when, and which stretches are left."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from hubspot_client.clock import milliseconds, parse_time

Mode = Literal["full", "changes", "properties"]
Phase = Literal["live", "archived"]
BEGINNING: list[dict[str, Any]] = [{"after": None, "until": None}]


@dataclass(frozen=True)
class Window:
    """A closed interval of the modified date, in epoch milliseconds."""

    since: int
    until: int


@dataclass
class Progress:
    """A read that is under way.

    Args:
        mode: `full` reads all that the filters let through, `changes` a window, `properties` the
            records that have a value in properties that came later.
        started_at: When it began, and the bookmark once it is finished.
        since: The beginning of the window of a `changes` read.
        version: The table version that its records carry.
        phase: Live records first, then archived ones.
        legs: The unfinished legs of the phase.
        one_cursor: The list proved to be out of order: it must not be cut.
        having: The properties of a `properties` read that are left.
    """

    mode: Mode
    started_at: str
    version: int
    since: str | None = None
    phase: Phase = "live"
    legs: list[dict[str, Any]] = field(default_factory=lambda: list(BEGINNING))
    one_cursor: bool = False
    having: list[str] = field(default_factory=list)

    @property
    def window(self) -> Window | None:
        """The interval of modified dates to search; None for a full read."""
        if self.since is None:
            return None
        return Window(
            milliseconds(parse_time(self.since)), milliseconds(parse_time(self.started_at))
        )

    def at(self, legs: list[dict[str, Any]]) -> Progress:
        """The same read, this far."""
        return replace(self, legs=legs)

    def enter(self, phase: Phase) -> None:
        """Go on to a phase, from its beginning."""
        self.phase = phase
        self.legs = list(BEGINNING)


PROGRESS_FIELDS = {field.name for field in fields(Progress)}
