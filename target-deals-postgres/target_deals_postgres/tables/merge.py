"""From a batch to the table: COPY, one merge, and bad rows found and left out."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg2
from psycopg2 import errorcodes
from psycopg2.sql import SQL, Identifier

from target_deals_postgres.records.batches import Batch
from target_deals_postgres.records.lines import BETWEEN, NULL
from target_deals_postgres.tables.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from psycopg2.extensions import cursor
    from psycopg2.sql import Composable

    from target_deals_postgres.records.presence import Presence
    from target_deals_postgres.records.rows import Layout
    from target_deals_postgres.tables.catalog import Table
    from target_deals_postgres.tables.versions import Versions

# SQLSTATE classes of errors that a row's own values cause: data, integrity, cardinality (two
# spellings of one key in a batch), limits (row or index entry too big), a trigger's own exception.
ROW_ERRORS = ("22", "23", "21", "54", "P0")
STAGE = "stage_"  # how the names of temporary tables begin
FIRST_STEP = 64  # rows to try after a bad one
COPY_CHUNK = 2000  # rows handed to libpq at once
_COPY_LINE = re.compile(r"^COPY [^,]+, \S+ (\d+)(?:, \S+ c(\d+)\b)?")  # and the stage's column
_numbers = itertools.count(1)


@dataclass
class Outcome:
    """What became of a batch.

    Attributes:
        superseded: how many records went into a row with a later one.
        deleted: rows that were removed, since they say that they are deleted.
        refused: rows, each by its batch, its number there, and PostgreSQL's reason.
        nulled: rows that are stored with NULL for a value that did not fit, each by its batch, its
            number there, and the reasons by the places of the values.
    """

    created: int = 0
    updated: int = 0
    superseded: int = 0
    deleted: int = 0
    refused: list[tuple[Batch, int, str]] = field(default_factory=list)
    nulled: list[tuple[Batch, int, dict[int, str]]] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Take in what became of other rows."""
        self.created += other.created
        self.updated += other.updated
        self.superseded += other.superseded
        self.deleted += other.deleted
        self.refused += other.refused
        self.nulled += other.nulled


@dataclass
class _Patch:
    # A row with NULL for the values that do not fit, and why they do not.
    line: bytes
    reasons: dict[int, str] = field(default_factory=dict)


class Merge:
    """Loads the batches of one layout into its table."""

    def __init__(
        self,
        table: Table,
        layout: Layout,
        *,
        uncompared: frozenset[str] = frozenset(),
        versions: Versions | None = None,
        hard_delete: bool = False,
        direct: bool = False,
        lenient: bool = False,
    ) -> None:
        """Prepare the statements.

        Args:
            table: the table.
            layout: the layout of the rows.
            uncompared: columns whose change alone does not make a row new.
            versions: where is noted which rows a version brought unchanged.
            hard_delete: whether rows that carry `_sdc_deleted_at` are removed.
            direct: whether rows are likely to be new: they are copied right into the table, until
                one is there already.
            lenient: whether a value that does not fit its column becomes NULL.
        """
        self._layout = layout
        self._hard_delete = hard_delete and "_sdc_deleted_at" in layout.names and bool(layout.keys)
        self._direct = direct and not self._hard_delete
        self._firm: frozenset[int] | None = None
        if lenient:
            at = [at for at, one in enumerate(layout.columns) if one.field.name in layout.firm]
            self._firm = frozenset(at)
        self._partitioned = table.partitioned
        self._has_defaults = not table.defaults.keys().isdisjoint(layout.names)
        # The schema is named: search_path may list it last.
        self._stage = Identifier("pg_temp", f"{STAGE}{next(_numbers)}")
        self._statements = Statements(table, layout, self._stage, uncompared)
        self._note: Composable | None = None
        if versions is not None and versions.kept and layout.keys and layout.version is not None:
            self._note = versions.note(self._statements.seen(removing=self._hard_delete))
        self._used = False  # whether the stage may have rows of this transaction
        self._alike: dict[Presence, Composable] = {}

    def load(self, cur: cursor, batch: Batch) -> Outcome:
        """Merge a batch, inside the caller's transaction.

        Raises:
            psycopg2.Error: an error that no single row causes.
        """
        self._used = False
        if batch.parts and (odd := self._odd_parts(cur, batch)):
            outcome = self.load(cur, batch.without(odd))
            outcome.add(self._load_in_order(cur, batch.made_of(sorted(odd))))
            return outcome
        if self._direct and self._is_full(batch) and self._copy_directly(cur, batch):
            return Outcome(created=len(batch.rows), superseded=batch.superseded)
        return self._load_staged(cur, batch)

    def _is_full(self, batch: Batch) -> bool:
        # COPY would put NULL where a record says nothing and the table has a default.
        return not (batch.incomplete and self._has_defaults)

    def remove_stage(self, cur: cursor) -> None:
        """Drop the stage: PostgreSQL empties all of them at each COMMIT."""
        cur.execute(SQL("DROP TABLE IF EXISTS {}").format(self._stage))

    def _odd_parts(self, cur: cursor, batch: Batch) -> set[int]:
        # Rows made of a record that PostgreSQL cannot read: alone it would have been refused.
        owners = [number for number, parts in batch.parts.items() for _ in parts]
        self._make_stage(cur)
        cur.execute("SAVEPOINT parts")
        refused = self._copy(cur, batch.made_of(batch.parts), range(len(owners)))
        cur.execute("ROLLBACK TO SAVEPOINT parts; RELEASE SAVEPOINT parts")
        return {owners[at] for at, _ in refused}

    def _load_in_order(self, cur: cursor, batch: Batch) -> Outcome:
        # Rows of which several may have one key: each after the one before.
        outcome = Outcome()
        for number in range(len(batch.rows)):
            one = Batch(self._layout)
            one.append(batch.rows[number], batch.present(number))
            outcome.add(self._load_staged(cur, one))
        return outcome

    def _load_staged(self, cur: cursor, batch: Batch) -> Outcome:
        self._make_stage(cur)
        outcome = Outcome(superseded=batch.superseded)
        patches: dict[int, _Patch] = {}
        todo = [range(len(batch.rows))] if batch.rows else []  # all may be loaded apart
        while todo:
            numbers = todo.pop()
            cur.execute("SAVEPOINT merge")
            if self._used:
                cur.execute(SQL("TRUNCATE {}").format(self._stage))
            self._used = True
            refused = self._copy(cur, batch, numbers, patches if self._firm is not None else None)
            if parts := self._apart(cur, numbers, refused):
                cur.execute("ROLLBACK TO SAVEPOINT merge; RELEASE SAVEPOINT merge")
                todo += reversed(parts)
                continue
            try:
                created, updated, removed = self._merge(cur, batch)
            except psycopg2.Error as error:
                self._raise_unless_a_row_is_bad(error)
                cur.execute("ROLLBACK TO SAVEPOINT merge; RELEASE SAVEPOINT merge")
                if len(numbers) == 1:
                    patches.pop(numbers[0], None)
                    outcome.add(self._refused(cur, batch, numbers[0], _reason(error)))
                else:
                    middle = len(numbers) // 2
                    todo += [numbers[middle:], numbers[:middle]]
            else:
                cur.execute("RELEASE SAVEPOINT merge")
                outcome.created += created
                outcome.updated += updated
                outcome.deleted += removed
                for number, why in refused:
                    patches.pop(number, None)
                    outcome.add(self._refused(cur, batch, number, why))
        outcome.nulled += [(batch, number, one.reasons) for number, one in patches.items()]
        return outcome

    def _refused(self, cur: cursor, batch: Batch, number: int, why: str) -> Outcome:
        if number not in batch.parts:
            return Outcome(refused=[(batch, number, why)])
        outcome = self._load_in_order(cur, batch.made_of([number]))
        outcome.superseded -= len(batch.parts[number]) - 1
        return outcome

    def _apart(
        self, cur: cursor, numbers: range, refused: Sequence[tuple[int, str]]
    ) -> list[range]:
        # Rows of one key in two spellings go one after the other, so that the later one wins.
        if not self._layout.spelled or len(numbers) < 2:  # noqa: PLR2004 - no pair
            return []
        cur.execute(self._statements.repeated())
        pairs = cur.fetchall()
        if not pairs:
            return []
        left_out = {number for number, _ in refused}
        staged = [number for number in numbers if number not in left_out]
        parts: list[range] = []
        start = 0
        for at, before in pairs:
            if before >= start:
                parts.append(range(staged[start], staged[at]))
                start = at
        # What lies before the first good row is refused again, with the first part.
        parts.append(range(staged[start], numbers.stop))
        parts[0] = range(numbers.start, parts[0].stop)
        return parts

    def _copy_directly(self, cur: cursor, batch: Batch) -> bool:
        cur.execute("SAVEPOINT direct")
        try:
            cur.copy_expert(self._statements.copy(), _Lines(batch.rows))
        except psycopg2.Error as error:
            self._raise_unless_a_row_is_bad(error)
            cur.execute("ROLLBACK TO SAVEPOINT direct; RELEASE SAVEPOINT direct")
            self._direct = error.pgcode != errorcodes.UNIQUE_VIOLATION
            return False
        cur.execute("RELEASE SAVEPOINT direct")
        return True

    def _copy(
        self,
        cur: cursor,
        batch: Batch,
        numbers: range,
        patches: dict[int, _Patch] | None = None,
    ) -> list[tuple[int, str]]:
        # PostgreSQL says which line it refuses: what is before it is good, and what follows is
        # tried in steps, since libpq sends a whole COPY before it hears of an error.
        refused: list[tuple[int, str]] = []
        start, end, step = numbers.start, numbers.stop, len(numbers)
        while start < end:
            stop = min(start + step, end)
            cur.execute("SAVEPOINT copy")
            try:
                self._copy_rows(cur, batch, range(start, stop), patches or {})
            except psycopg2.Error as error:
                self._raise_unless_a_row_is_bad(error)
                cur.execute("ROLLBACK TO SAVEPOINT copy; RELEASE SAVEPOINT copy")
                line = _COPY_LINE.match(error.diag.context or "")
                good = int(line[1]) - 1 if line else (stop - start) // 2
                if 0 < good < stop - start:
                    step = good
                    continue
                if patches is not None and line and line[2]:
                    row = patches.get(start) or _Patch(batch.rows[start])
                    if self._patch(row, int(line[2]), _reason(error)):
                        patches[start] = row
                        step = FIRST_STEP
                        continue
                refused.append((start, _reason(error)))
                start, step = start + 1, FIRST_STEP
            else:
                cur.execute("RELEASE SAVEPOINT copy")
                start, step = stop, max(FIRST_STEP, 2 * step)
        return refused

    def _patch(self, row: _Patch, at: int, why: str) -> bool:
        # Whether a value may be NULL, which it then is.
        texts = row.line.split(BETWEEN)
        null = NULL.encode()
        if self._firm is None or at in self._firm or texts[at] == null:
            return False
        texts[at] = null
        row.line, row.reasons[at] = BETWEEN.join(texts), why
        return True

    @staticmethod
    def _raise_unless_a_row_is_bad(error: psycopg2.Error) -> None:
        if (error.pgcode or "")[:2] not in ROW_ERRORS:
            raise error

    def _make_stage(self, cur: cursor) -> None:
        cur.execute("SELECT to_regclass(%s)", (".".join(self._stage.strings),))
        if cur.fetchone() == (None,):
            cur.execute(self._statements.create_stage())

    def _copy_rows(
        self, cur: cursor, batch: Batch, numbers: range, patches: Mapping[int, _Patch]
    ) -> None:
        lines = batch.rows[numbers.start : numbers.stop]
        for number in patches.keys() & set(numbers):
            lines[number - numbers.start] = patches[number].line
        rows: Iterable[bytes] = lines
        if batch.incomplete:
            rows = (
                line + BETWEEN + batch.present(number).mask.encode()
                for number, line in zip(numbers, lines, strict=True)
            )
        statement = self._statements.copy_to_stage(with_present=bool(batch.incomplete))
        cur.copy_expert(statement, _Lines(rows))

    def _merge(self, cur: cursor, batch: Batch) -> tuple[int, int, int]:
        # How many rows were created, updated, and removed again.
        known = batch.presences()
        if len(known) > 1 or self._partitioned:  # whose INSERT cannot tell which rows are new
            created, updated = self._merge_mixed(cur, known)
        else:
            created, updated = self._merge_alike(cur, *known)
        if self._note is not None:
            cur.execute(self._note)
        removed = 0
        if self._hard_delete:
            cur.execute(self._statements.delete_marked())
            removed = cur.rowcount
        return created, updated, removed

    def _merge_alike(self, cur: cursor, present: Presence) -> tuple[int, int]:
        if present not in self._alike:
            self._alike[present] = self._statements.merge_alike(present)
        cur.execute(self._alike[present])
        created, updated = cur.fetchone() or (0, 0)
        return created, updated

    def _merge_mixed(self, cur: cursor, known: set[Presence]) -> tuple[int, int]:
        # Records with different fields: new rows first, then each value that its record has.
        cur.execute(self._statements.insert_missing())
        created = cur.rowcount
        update = self._statements.update_present(known)
        if update is None:
            return created, 0
        cur.execute(update)
        return created, cur.rowcount


def drop_stages(cur: cursor) -> None:
    """Drop the stages of all merges of the session."""
    cur.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() "
        "AND relkind = 'r' AND starts_with(relname, %s)",
        (STAGE,),
    )
    for (name,) in cur.fetchall():
        cur.execute(SQL("DROP TABLE {}").format(Identifier("pg_temp", name)))


class _Lines:
    """The file that psycopg2 reads COPY's rows from."""

    def __init__(self, rows: Iterable[bytes]) -> None:
        self._rows = iter(rows)

    def read(self, _size: int = 0) -> bytes:
        chunk = list(itertools.islice(self._rows, COPY_CHUNK))
        return b"\n".join(chunk) + b"\n" if chunk else b""

    def readline(self, _size: int = 0) -> bytes:  # psycopg2 asks for it, and never calls it
        return self.read()


def _reason(error: psycopg2.Error) -> str:
    return error.diag.message_primary or str(error)
