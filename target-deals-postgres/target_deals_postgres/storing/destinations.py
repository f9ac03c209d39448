"""Where a stream's rows go: those that wait, the merge that stores them, what became of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from singer_sdk.singerlib.json import serialize_json

from target_deals_postgres.records.batches import Batch
from target_deals_postgres.records.columns import TENANT, VERSION
from target_deals_postgres.records.lines import texts_of, unescape
from target_deals_postgres.storing import keys
from target_deals_postgres.storing.rejected import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from target_deals_postgres.records.presence import Presence
    from target_deals_postgres.records.rows import Layout, Row
    from target_deals_postgres.storing.keys import Key
    from target_deals_postgres.tables.merge import Merge
    from target_deals_postgres.tables.outcomes import Outcome


@dataclass
class Counts:
    """What became of a stream's records.

    Attributes:
        deleted: rows that were removed, or marked as deleted by ACTIVATE_VERSION.
        nulled: records of which a value that did not fit is NULL.
        held: whether the rows still wait to overwrite others.
        tenants: whose records they were.
    """

    processed: int = 0
    created: int = 0
    updated: int = 0
    superseded: int = 0
    failed: int = 0
    deleted: int = 0
    nulled: int = 0
    held: bool = False
    tenants: set[str] = field(default_factory=set)

    @property
    def unchanged(self) -> int:
        """Records that were in the table already, exactly so."""
        if self.held:
            return 0
        return self.processed - self.created - self.updated - self.superseded - self.failed

    def told(self, stream: str) -> dict[str, str | int]:
        """The counts as `_loads` has them, for programs that read the structured log."""
        return {
            "stream": stream,
            "processed": self.processed,
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "superseded": self.superseded,
            "rejected": self.failed,
            "deleted": self.deleted,
            "nulled": self.nulled,
        }

    def add(self, outcome: Outcome) -> None:
        """Count what became of a batch."""
        self.created += outcome.created
        self.updated += outcome.updated
        self.superseded += outcome.superseded
        self.deleted += outcome.deleted
        self.failed += len(outcome.refused)
        self.nulled += outcome.noted + len(outcome.nulled)


@dataclass(eq=False)
class Destination:
    """One layout of a stream's rows in its table, until the stream's schema changes.

    Attributes:
        stream: the stream's name.
        keys: its key properties.
        repeatable: whether storing a row twice does no harm.
        removing: whether rows that say that they are deleted are removed.
        held: whether its rows wait to overwrite others: what becomes of them is not known before.
        noted: the lines of rows with NULL for a value that did not fit, and how they are listed.
    """

    stream: str
    keys: tuple[str, ...]
    layout: Layout
    merge: Merge
    counts: Counts
    repeatable: bool
    removing: bool
    held: bool = False
    batch: Batch = field(init=False)
    noted: list[tuple[bytes, Rejected]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with no row."""
        self.batch = Batch(self.layout, removing=self.removing)
        self.kinds = [self.layout.kinds[at] for at in self.layout.keys]

    def add(self, row: Row, line: bytes, present: Presence) -> int:
        """Let a row wait; see `Batch.add`."""
        return self.batch.add(row, line, present)

    def take(self) -> tuple[Batch, list[tuple[bytes, Rejected]]]:
        """Give the waiting rows away, and what is noted of them."""
        batch, self.batch = self.batch, Batch(self.layout, removing=self.removing)
        noted, self.noted = self.noted, []
        return batch, noted

    def later(self, batch: Batch, outcome: Outcome, nulled: Iterable[Rejected]) -> set[Key]:
        """Of which keys a record was stored that is not listed by itself.

        Args:
            batch: the records.
            outcome: what became of them.
            nulled: the records of the transaction that are listed for a NULL.
        """
        listed = Counter(self._key(one.rows[number]) for one, number, _ in outcome.refused)
        listed.update(
            keys.comparable(keys.texts_of(one.key), self.kinds)
            for one in nulled
            if one.stream == self.stream
        )
        came: Counter[Key] = Counter()
        for number, line in enumerate(batch.rows):
            came[self._key(line)] += len(batch.parts.get(number, (line,)))
        return set(came - listed)

    def _key(self, line: bytes) -> Key:
        texts = texts_of(line)
        return keys.comparable((unescape(texts[at]) for at in self.layout.keys), self.kinds)

    def nulled(self, batch: Batch, number: int, reasons: Mapping[int, str]) -> Rejected:
        """Describe a row that PostgreSQL took with NULL for some of its values."""
        names = self.layout.names
        fields = {at: column.field.name for at, column in enumerate(self.layout.columns)}
        told = {fields.get(at, names[at]): why for at, why in reasons.items()}
        why = "; ".join(f"{name}: {one}" for name, one in told.items())
        return replace(self.rejected(batch, number, why), nulled=tuple(told))

    def settle(
        self, noted: Iterable[tuple[bytes, Rejected]], outcome: Outcome
    ) -> tuple[Outcome, dict[int, Rejected | None]]:
        """Let a record of which a value is NULL already be listed once, whatever PostgreSQL finds.

        Args:
            noted: what was noted of the rows.
            outcome: what became of them.

        Returns:
            What became of the other rows, and how those that were noted are listed, by their
            identities: None where a row was refused, which is listed by itself.
        """
        waiting: dict[bytes, list[Rejected]] = {}
        for line, one in noted:
            waiting.setdefault(line, []).append(one)
        instead: dict[int, Rejected | None] = {}
        nulled = []
        for batch, number, reasons in outcome.nulled:
            if known := waiting.get(batch.rows[number]):
                one, more = known.pop(), self.nulled(batch, number, reasons)
                instead[id(one)] = replace(
                    one,
                    reason=f"{one.reason}; {more.reason}",
                    nulled=(*one.nulled, *more.nulled),
                )
            else:
                nulled.append((batch, number, reasons))
        for batch, number, _ in outcome.refused:
            if known := waiting.get(batch.rows[number]):
                instead[id(known.pop())] = None
        count = sum(len(known) for known in waiting.values())
        count += sum(one is not None for one in instead.values())
        return replace(outcome, noted=count, nulled=nulled), instead

    def rejected(self, batch: Batch, number: int, why: str) -> Rejected:
        """Describe a row that PostgreSQL refused."""
        row = batch.rows[number]
        texts = texts_of(row)

        def value(name: str) -> str | None:
            at = self.layout.position(name)
            return None if at is None else unescape(texts[at])

        names = self.layout.names
        version = unescape(texts[names.index(VERSION)]) if VERSION in names else None
        return Rejected(
            self.stream,
            value(TENANT),
            serialize_json({key: value(key) for key in self.keys}),
            why,
            self.layout.payload(row, batch.present(number)),
            version=None if version is None else int(version),
        )
