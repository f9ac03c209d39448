"""What became of the rows that were stored, or should have been."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from target_deals_postgres.records.batches import Batch


@dataclass
class Outcome:
    """What became of a batch.

    Attributes:
        superseded: how many records went into a row with a later one.
        deleted: rows that were removed, since they say that they are deleted.
        refused: rows, each by its batch, its number there, and PostgreSQL's reason.
        noted: how many were stored that had NULL for such a value before they were copied.
        nulled: rows that are stored with NULL for a value that did not fit, each by its batch, its
            number there, and the reasons by the places of the values.
    """

    created: int = 0
    updated: int = 0
    superseded: int = 0
    deleted: int = 0
    noted: int = 0
    refused: list[tuple[Batch, int, str]] = field(default_factory=list)
    nulled: list[tuple[Batch, int, dict[int, str]]] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Take in what became of other rows."""
        self.created += other.created
        self.updated += other.updated
        self.superseded += other.superseded
        self.deleted += other.deleted
        self.noted += other.noted
        self.refused += other.refused
        self.nulled += other.nulled
