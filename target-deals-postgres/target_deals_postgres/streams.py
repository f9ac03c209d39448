"""One stream of the run: its table, its waiting rows, and what became of the others."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from singer_sdk import metrics

from target_deals_postgres import fitting
from target_deals_postgres.records.columns import DELETED, TENANT, VERSION
from target_deals_postgres.records.lines import BETWEEN, joined, unescape
from target_deals_postgres.records.rows import Layout
from target_deals_postgres.records.validation import Validator
from target_deals_postgres.records.values import UnfitError, loads
from target_deals_postgres.shapes import Shape
from target_deals_postgres.storing.destinations import Counts, Destination
from target_deals_postgres.tables import versions
from target_deals_postgres.tables.merge import Merge
from target_deals_postgres.tables.sdc_columns import UNCOMPARED, metadata_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg2.extensions import cursor

    from target_deals_postgres.records.messages import Message
    from target_deals_postgres.records.rows import Row
    from target_deals_postgres.storing.database import Database
    from target_deals_postgres.tables.catalog import Table
    from target_deals_postgres.tables.replacement import Replacement
    from target_deals_postgres.tables.versions import Whose

logger = logging.getLogger("target-deals-postgres")

METRIC_SECONDS = 2.0
NOTHING: Mapping[str, str] = {}


@dataclass(eq=False)
class Stream(Shape):
    """A stream whose SCHEMA has come, and what became of its records.

    Attributes:
        versionless: whether the run brought records without one, as those of a BATCH are.
        begun: the versions of which a record came.
        leading: the versions that were activated before a record came.
        brought: for each version, None for records without one, the tenants (and scans) that
            have rows in it.
        told: how many of its records had come when the tap last said that it was complete so far;
            -1 where it never did.
        replacement: what is to overwrite its table's rows at the end of the run.
    """

    versionless: bool = False
    begun: set[int] = field(default_factory=set)
    leading: set[int] = field(default_factory=set)
    brought: dict[int | None, set[Whose]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    told: int = -1
    replacement: Replacement | None = None

    def __post_init__(self) -> None:
        """Read the schema.

        Raises:
            InputError: it makes no table.
        """
        super().__post_init__()
        self.table: Table
        self.layout: Layout
        self.destination: Destination
        self.ready = False
        self.versions: versions.Versions
        self._stale: Merge | None = None  # its stage goes with the next SCHEMA
        self._reported = 0
        self._replaced = 0
        self.counter = metrics.record_counter(self.name, log_interval=METRIC_SECONDS)
        self._validator = (
            Validator(self.name, self.schema) if self.settings.validate_records else None
        )
        self._scope_of: Callable[[Row], Any] | None = None
        self._last_scope: Any = None
        self._version: int | None = None

    @property
    def written(self) -> set[Whose]:
        """The tenants (and scans) whose rows the run wrote."""
        return set().union(*self.brought.values())

    def take_over(self, old: Stream) -> None:
        """Go on where the stream was before its schema changed."""
        self.versioned, self.extra, self.wider = old.versioned, old.extra, old.wider
        self.versionless, self.marks = old.versionless, old.marks
        self._stale = old._stale
        self.begun, self.leading = old.begun, old.leading
        self.brought, self.counts, self.counter = old.brought, old.counts, old.counter
        self.replacement = old.replacement
        self._reported, self._replaced = old._reported, old.replaced

    def note_version(self, version: int | None) -> None:
        """Note that the run brought a record of a version, or one without."""
        if version is None:
            self.versionless = True
        else:
            self.begun.add(version)
        if version != self._version:
            self._version, self._last_scope = version, None

    def report(self) -> None:
        """Log the METRIC of the records read since the last one, when it is time."""
        self.counter.increment(self.counts.processed - self._reported)
        self._reported = self.counts.processed

    def summarize(self) -> None:
        """Log the last METRIC and what became of all records."""
        self.report()
        self.counter.exit()
        counts = self.counts
        logger.info(
            "%s: %d processed, %d created, %d updated, %d unchanged, %d superseded, %d failed",
            self.name,
            counts.processed,
            counts.created,
            counts.updated,
            counts.unchanged,
            counts.superseded,
            counts.failed,
            extra={"load": counts.told(self.name)},
        )
        if counts.nulled:
            logger.warning(
                "%s: %d records have null in place of a value that did not fit; they are listed in "
                "_rejected_records",
                self.name,
                counts.nulled,
            )
        if self.replaced:
            logger.warning(
                "%s: %d values had characters that PostgreSQL cannot store (NUL, lone surrogates); "
                "they are U+FFFD now",
                self.name,
                self.replaced,
            )

    @property
    def replaced(self) -> int:
        """How many values had characters that PostgreSQL cannot store."""
        return self._replaced + (self.layout.replaced if self.ready else 0)

    def fit(self, database: Database, *then: Callable[[cursor], None]) -> None:
        """Make the table hold the stream; no row waits at this moment.

        Args:
            database: the connection.
            then: further work for the same transaction.

        Raises:
            DatabaseRefusedError: the table cannot be changed as needed.
        """

        def work(cur: cursor) -> fitting.Fitted:
            fitted = self._fit(cur)
            for further in then:
                further(cur)
            return fitted

        self._settle(database.transaction(work))
        if self.replacement is not None:
            database.bind(
                "the rows that were to overwrite others are gone with the connection, and no STATE "
                "is emitted: run it again"
            )

    def remove_stage(self, cur: cursor) -> None:
        """Drop what its batches are copied into, until the next one: each COMMIT empties it."""
        if self._stale is not None:
            self._stale.remove_stage(cur)

    def _fit(self, cur: cursor) -> fitting.Fitted:
        self.remove_stage(cur)
        return fitting.fit(cur, self, self.replacement)

    def _settle(self, fitted: fitting.Fitted) -> None:
        places, waiting, kept = fitted
        if self.ready:
            self._replaced += self.layout.replaced
        self.table = places.table
        types = places.table.types
        added = [name for name, _ in self.added]
        names = {*added, *(one.name for one in self.all_fields)}
        if DELETED in types and DELETED not in names:
            added.append(DELETED)  # a row that comes again lives again
        self.layout = Layout(
            places.columns,
            self.keys if self.keyed else (),
            cleared=places.cleared,
            added=[(name, types[name]) for name in added],  # another target may have made them
            extra=places.extra,
        )
        layout = self.layout
        self.replacement = waiting.bringing(layout) if waiting is not None else None
        self.versions = versions.Versions(
            places.table,
            [(layout.names[at], layout.kinds[at]) for at in layout.keys],
            self.scope,
            kept=kept,
        )
        uncompared = UNCOMPARED if self.settings.add_record_metadata else frozenset()
        if kept:
            uncompared |= {VERSION}
        merge = Merge(
            places.table if waiting is None else waiting.waiting,
            layout,
            uncompared=uncompared,
            versions=self.versions,
            hard_delete=self.settings.hard_delete,
            lenient=self.settings.lenient_values,
            # COPY right into a table is refused under row-level security.
            direct=waiting is not None
            or not (
                self.settings.row_level_security
                or self.table.secured
                or (self.keyed and self.table.filled)
            ),
        )
        self._stale = merge
        self.destination = Destination(
            self.name,
            self.keys,
            self.layout,
            merge,
            self.counts,
            repeatable=self.keyed or waiting is not None,
            removing=self.settings.hard_delete,
            held=waiting is not None,
        )
        self.ready = True
        self._added = added
        at = [at for name in self.scope if (at := self.layout.position(name)) is not None]
        self._scope_of = itemgetter(*at) if at else None
        self._last_scope = None

    def add(
        self, message: Message, *, plain: bool, again: int | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Let a record's row wait.

        Args:
            message: the RECORD message.
            plain: see `Layout.row`.
            again: its number in the list of rejected records, where an earlier run brought it.

        Returns:
            How many bytes of memory it takes, about; its line; and which properties have NULL in
            place of a value that does not fit, with the reason.

        Raises:
            UnfitError, NarrowError, UnknownFieldsError: see `Layout.row`; nothing was put.
        """
        if self._validator is not None:
            self._validator.validate(message)
        unfit: Mapping[str, str] = NOTHING
        try:
            if message.parsed is None:
                row, line, present = self.layout.row(message.record, plain=plain)
            else:
                row, line, present = self.layout.row_of(message.parsed)
        except UnfitError:
            if not self.settings.lenient_values:
                raise
            record = message.parsed if message.parsed is not None else loads(bytes(message.record))
            found: dict[str, str] = {}
            row, line, present = self.layout.row_of(record, found)
            unfit = found
        if self._added:
            texts = metadata_of(message, self._added, self.settings.started)
            line += BETWEEN + joined(texts)
        size = self.destination.add(row, line, present)
        if again is not None:
            self.destination.again.append((line, again))
            self._last_scope = None
        if self._scope_of is not None:
            scope = self._scope_of(row)
            if scope != self._last_scope:
                self._note_scope(scope, is_read=again is None)
        return size, line, unfit

    def _note_scope(self, scope: str | tuple[str, ...], *, is_read: bool) -> None:
        # Whose a row is; the next row is likely to be of the same.
        self._last_scope = scope if is_read else None
        parts = (scope,) if isinstance(scope, str) else scope
        whose = tuple(map(unescape, parts))
        if is_read:
            self.brought.setdefault(self._version, set()).add(whose)
        if self.scope[0] == TENANT and whose[0] is not None:
            self.counts.tenants.add(whose[0])
