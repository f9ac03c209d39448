"""What was found of one type, or of one pair of linked types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

KINDS = ("missing", "extra", "stale", "altered", "doubled")
"""How a copy may differ.

missing: HubSpot has it, the table not. extra: the table has it, HubSpot not. stale: the table has
an older version, though it was read since. altered: the same version has other values. doubled:
several rows of one key.
"""

NAMED_AT_MOST = 1000
"""Differences of a type that are named; all are counted."""


@dataclass(frozen=True)
class Difference:
    """One difference.

    Args:
        kind: One of `KINDS`.
        id: The record's, or that of the record that a link leads from.
        properties: In which properties it is; none where the whole record is meant.
        link: For links, what the link leads to: object type, id, category, type id.
    """

    kind: str
    id: str
    properties: tuple[str, ...] = ()
    link: tuple[str, str, str, int] | None = None

    def named(self) -> dict[str, Any]:
        """As JSON; never a value of a property."""
        told: dict[str, Any] = {"id": self.id}
        if self.link:
            told |= dict(zip(("to_type", "to_id", "category", "type_id"), self.link, strict=True))
        if self.properties:
            told["properties"] = list(self.properties)
        return told


@dataclass
class Findings:
    """What was found.

    Args:
        name: The type, or `deals_contacts` for a pair.
        pair: For a pair, the types that its links lead from and to.
        started_at: When it was begun.
        finished_at: When it was done.
        requests: To HubSpot; those for links stand with the type they lead from.
        in_hubspot: Live records, or links of them; archived records too where they are asked for.
        in_tables: The same of the tables.
        digest_hubspot: Of the values of all records that both have.
        digest_tables: The same of the rows; equal values have equal digests.
        counts: How many differences of each kind.
        differences: The first of them.
        behind: What changed in HubSpot since the last run, which the next one reads.
        repaired: How many differences were mended.
    """

    name: str
    started_at: datetime
    finished_at: datetime | None = None
    requests: int = 0
    in_hubspot: int = 0
    in_tables: int = 0
    digest_hubspot: int = 0
    digest_tables: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    differences: list[Difference] = field(default_factory=list)
    behind: int = 0
    repaired: int = 0
    pair: tuple[str, str] | None = None

    @property
    def total(self) -> int:
        """How many differences there are."""
        return sum(self.counts.values())

    @property
    def verdict(self) -> str:
        """`equal`, `repaired` or `different`."""
        if not self.total:
            return "equal"
        return "repaired" if self.repaired == self.total else "different"

    def add(self, difference: Difference) -> None:
        """Take a difference in."""
        self.counts[difference.kind] += 1
        if len(self.differences) < NAMED_AT_MOST:
            self.differences.append(difference)
