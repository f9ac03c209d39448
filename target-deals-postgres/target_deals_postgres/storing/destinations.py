"""Where a stream's rows go: those that wait, the merge that stores them, what became of them."""

from __future__ import annotations

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
        again: the lines of rows that are tried again, and their numbers in the list.
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
    again: list[tuple[bytes, int]] = field(default_factory=list)
    _waiting: set[Key] = field(default_factory=set)  # the keys of so many rows
    _seen: int = 0

    def __post_init__(self) -> None:
        """Begin with no row."""
        self.batch = Batch(self.layout, removing=self.removing)
        self.kinds = [self.layout.kinds[at] for at in self.layout.keys]

    def add(self, row: Row, line: bytes, present: Presence) -> int:
        """Let a row wait; see `Batch.add`."""
        return self.batch.add(row, line, present)

    def take(self) -> tuple[Batch, list[tuple[bytes, Rejected]], list[tuple[bytes, int]]]:
        """Give the waiting rows away, and what is noted of them."""
        batch, self.batch = self.batch, Batch(self.layout, removing=self.removing)
        noted, self.noted = self.noted, []
        again, self.again = self.again, []
        self._waiting, self._seen = set(), 0
        return batch, noted, again

    def waits(self, key: str) -> bool:
        """Whether a row waits that has a key, as a rejected record has it, in some spelling."""
        if not self.kinds:
            return False
        self._waiting.update(map(self._key, self.batch.rows[self._seen :]))
        self._seen = len(self.batch.rows)
        return keys.comparable(keys.texts_of(key), self.kinds) in self._waiting

    def sort(
        self, batch: Batch, listed: Iterable[tuple[bytes, Rejected]]
    ) -> tuple[set[Key], list[Rejected], list[Rejected]]:
        """Tell which records of a batch are listed before a later one of their key was stored.

        Args:
            batch: all of them.
            listed: those that are listed, by their lines.

        Returns:
            The keys of which one was stored that is not listed, those listed before the last such
            one of their key, and the others.
        """
        waiting: dict[bytes, list[Rejected]] = {}
        for line, one in listed:
            waiting.setdefault(line, []).append(one)
        stored: set[Key] = set()
        before: list[Rejected] = []
        after: dict[Key, list[Rejected]] = {}
        for number, row in enumerate(batch.rows):
            key = self._key(row)
            for line, _ in batch.parts.get(number, ((row, None),)):
                if known := waiting.get(line):
                    after.setdefault(key, []).append(known.pop(0))
                else:
                    stored.add(key)
                    before += after.pop(key, ())
        before += [one for known in waiting.values() for one in known]
        return stored, before, [one for each in after.values() for one in each]

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
        self,
        noted: Iterable[tuple[bytes, Rejected]],
        again: Iterable[tuple[bytes, int]],
        outcome: Outcome,
    ) -> tuple[Outcome, list[tuple[bytes, Rejected]]]:
        """List each record once, whatever the target and PostgreSQL find of its values.

        Args:
            noted: the records of which the target found a value, by their lines.
            again: the numbers in the list of those that are tried again, by their lines.
            outcome: what became of the rows.

        Returns:
            What became of them, with the noted ones counted, and the records to list, by their
            lines.
        """
        waiting: dict[bytes, list[Rejected]] = {}
        for line, one in noted:
            waiting.setdefault(line, []).append(one)
        numbers: dict[bytes, list[int]] = {}
        for line, place in again:
            numbers.setdefault(line, []).append(place)
        listed: list[tuple[bytes, Rejected]] = []
        nulled = []
        count = 0
        for batch, number, why in outcome.refused:
            line = batch.rows[number]
            if known := waiting.get(line):
                known.pop()
            refused = self.rejected(batch, number, why)
            listed.append((line, replace(refused, number=_next(numbers, line))))
        for batch, number, reasons in outcome.nulled:
            line, more = batch.rows[number], self.nulled(batch, number, reasons)
            more = replace(more, number=_next(numbers, line))
            if known := waiting.get(line):
                one, count = known.pop(), count + 1
                why = f"{one.reason}; {more.reason}"
                more = replace(one, reason=why, nulled=(*one.nulled, *more.nulled))
            else:
                nulled.append((batch, number, reasons))
            listed.append((line, more))
        rest = [(line, one) for line, known in waiting.items() for one in known]
        return replace(outcome, noted=count + len(rest), nulled=nulled), listed + rest

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


def _next(numbers: Mapping[bytes, list[int]], line: bytes) -> int | None:
    known = numbers.get(line)
    return known.pop(0) if known else None
