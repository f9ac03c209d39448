"""What became of each row that was to be written, and the sums of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind = Literal["created", "updated", "unchanged", "archived", "rejected", "unknown"]
ALWAYS: tuple[Kind, ...] = ("created", "updated", "unchanged", "rejected", "unknown")


@dataclass(frozen=True)
class Outcome:
    """What became of one row.

    Args:
        kind: `created`, `updated` (or would be, in a dry run), `unchanged`: not written because
            HubSpot has it all; `archived`; `rejected`: cannot be written as it is; `unknown`:
            HubSpot did not tell.
        id: The record's, where it is known.
        code: Of a rejection: HubSpot's (`INVALID_EMAIL`) or the writer's own (`not_found`).
        property: The property at fault, where one is.
        message: HubSpot's text, cut. It may hold values: not for logs.
        correlation_id: What HubSpot's support asks for.
    """

    kind: Kind
    id: str | None = None
    code: str = ""
    property: str = ""
    message: str = ""
    correlation_id: str = ""


class Sums:
    """The outcomes of a run, counted by kind, rejections by code too."""

    def __init__(self) -> None:
        self.kinds: Counter[Kind] = Counter()
        self.codes: Counter[str] = Counter()

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count some more."""
        for outcome in outcomes:
            self.kinds[outcome.kind] += 1
            if outcome.code:
                self.codes[outcome.code] += 1

    def __str__(self) -> str:
        kinds = [*ALWAYS, *sorted(self.kinds.keys() - set(ALWAYS))]
        return ", ".join(f"{self.kinds[kind]} {kind}" for kind in kinds)
