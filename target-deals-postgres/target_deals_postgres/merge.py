"""From a batch to the table: COPY, one merge, and bad rows found and left out."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg2
from psycopg2 import errorcodes
from psycopg2.sql import SQL, Identifier

from target_deals_postgres.rows import EXTRA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg2.extensions import cursor
    from psycopg2.sql import Composable

    from target_deals_postgres.batches import Batch
    from target_deals_postgres.rows import Layout
    from target_deals_postgres.tables import Table

# SQLSTATE classes of errors that a row's own values cause: data, integrity, cardinality (two
# spellings of one key in a batch), limits (row or index entry too big), a trigger's own exception.
ROW_ERRORS = ("22", "23", "21", "54", "P0")
FIRST_STEP = 64  # rows to try after a bad one
COPY_CHUNK = 2000  # rows handed to libpq at once
_COPY_LINE = re.compile(r"^COPY [^,]+, \S+ (\d+)")
_numbers = itertools.count(1)


@dataclass
class Outcome:
    """What became of a batch: counts, and the refused rows' numbers with PostgreSQL's reason."""

    created: int = 0
    updated: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)


class Merge:
    """Loads the batches of one layout into its table."""

    def __init__(
        self,
        table: Table,
        layout: Layout,
        *,
        uncompared: frozenset[str] = frozenset(),
        hard_delete: bool = False,
        direct: bool = False,
    ) -> None:
        """Prepare the statements.

        Args:
            table: the table.
            layout: the layout of the rows.
            uncompared: columns whose change alone does not make a row new.
            hard_delete: whether rows that carry `_sdc_deleted_at` are removed.
            direct: whether rows are likely to be new: they are copied right into the table, until
                one is there already.
        """
        self._table = table
        self._layout = layout
        self._uncompared = uncompared
        self._hard_delete = hard_delete and "_sdc_deleted_at" in layout.names and bool(layout.keys)
        self._direct = direct and not self._hard_delete
        self._stage = Identifier(f"stage_{next(_numbers)}")
        self._fields = [Identifier(f"c{at}") for at in range(len(layout.names))]
        self._key = [layout.names[at] for at in layout.keys]
        self._uniform: dict[str, Composable] = {}

    def load(self, cur: cursor, batch: Batch) -> Outcome:
        """Merge a batch, inside the caller's transaction.

        Raises:
            psycopg2.Error: an error that no single row causes.
        """
        if self._direct and self._copy_directly(cur, batch):
            return Outcome(created=len(batch.rows))
        self._make_stage(cur)
        outcome = Outcome()
        todo = [range(len(batch.rows))]
        first = True
        while todo:
            numbers = todo.pop()
            cur.execute("SAVEPOINT merge")
            if not first:
                cur.execute(SQL("TRUNCATE {}").format(self._stage))
            first = False
            refused = self._copy(cur, batch, numbers)
            try:
                created, updated = self._merge(cur, batch)
            except psycopg2.Error as error:
                self._raise_unless_a_row_is_bad(error)
                cur.execute("ROLLBACK TO SAVEPOINT merge")
                if len(numbers) == 1:
                    outcome.refused.append((numbers[0], _reason(error)))
                else:
                    middle = len(numbers) // 2
                    todo += [numbers[middle:], numbers[:middle]]
            else:
                cur.execute("RELEASE SAVEPOINT merge")
                outcome.created += created
                outcome.updated += updated
                outcome.refused += refused
        return outcome

    def _copy_directly(self, cur: cursor, batch: Batch) -> bool:
        cur.execute("SAVEPOINT direct")
        try:
            names = _joined(map(Identifier, self._layout.names))
            statement = SQL("COPY {} ({}) FROM STDIN").format(self._table.sql, names)
            cur.copy_expert(statement, _Lines(batch.rows))
        except psycopg2.Error as error:
            self._raise_unless_a_row_is_bad(error)
            cur.execute("ROLLBACK TO SAVEPOINT direct")
            self._direct = error.pgcode != errorcodes.UNIQUE_VIOLATION
            return False
        cur.execute("RELEASE SAVEPOINT direct")
        return True

    def _copy(self, cur: cursor, batch: Batch, numbers: range) -> list[tuple[int, str]]:
        # PostgreSQL says which line it refuses: what is before it is good, and what follows is
        # tried in steps, since libpq sends a whole COPY before it hears of an error.
        refused: list[tuple[int, str]] = []
        start, end, step = numbers.start, numbers.stop, len(numbers)
        while start < end:
            stop = min(start + step, end)
            cur.execute("SAVEPOINT copy")
            try:
                self._copy_rows(cur, batch, range(start, stop))
            except psycopg2.Error as error:
                self._raise_unless_a_row_is_bad(error)
                cur.execute("ROLLBACK TO SAVEPOINT copy")
                line = _COPY_LINE.match(error.diag.context or "")
                good = int(line[1]) - 1 if line else (stop - start) // 2
                if 0 < good < stop - start:
                    step = good
                    continue
                refused.append((start, _reason(error)))
                start, step = start + 1, FIRST_STEP
            else:
                cur.execute("RELEASE SAVEPOINT copy")
                start, step = stop, max(FIRST_STEP, 2 * step)
        return refused

    @staticmethod
    def _raise_unless_a_row_is_bad(error: psycopg2.Error) -> None:
        if (error.pgcode or "")[:2] not in ROW_ERRORS:
            raise error

    def _make_stage(self, cur: cursor) -> None:
        cur.execute("SELECT to_regclass(%s)", ("pg_temp." + self._stage.strings[0],))
        if cur.fetchone() == (None,):
            columns = [
                SQL("{} {}").format(name, SQL(kind))
                for name, kind in zip(self._fields, self._layout.kinds, strict=True)
            ]
            cur.execute(
                SQL("CREATE TEMPORARY TABLE {} ({}, present text) ON COMMIT DELETE ROWS").format(
                    self._stage, SQL(", ").join(columns)
                )
            )

    def _copy_rows(self, cur: cursor, batch: Batch, numbers: range) -> None:
        rows: Iterable[bytes] = batch.rows[numbers.start : numbers.stop]
        fields = self._fields
        if batch.present:
            complete = "1" * len(self._layout.names)
            fields = [*fields, Identifier("present")]
            rows = (
                batch.rows[number] + b"\t" + batch.present.get(number, complete).encode()
                for number in numbers
            )
        cur.copy_expert(
            SQL("COPY {} ({}) FROM STDIN").format(self._stage, _joined(fields)), _Lines(rows)
        )

    def _merge(self, cur: cursor, batch: Batch) -> tuple[int, int]:
        known = set(batch.present.values())
        if len(batch.present) < len(batch.rows):
            known.add("")
        merge = self._merge_mixed if len(known) > 1 else self._merge_uniform
        counts = merge(cur, known)
        if self._hard_delete:
            cur.execute(
                SQL(
                    "DELETE FROM {} AS t USING {} AS s WHERE {} AND t._sdc_deleted_at IS NOT NULL"
                ).format(self._table.sql, self._stage, self._same_key())
            )
        return counts

    def _merge_uniform(self, cur: cursor, known: set[str]) -> tuple[int, int]:
        present = known.pop()
        if present not in self._uniform:
            self._uniform[present] = self._uniform_statement(present)
        cur.execute(self._uniform[present])
        created, updated = cur.fetchone() or (0, 0)
        return created, updated

    def _uniform_statement(self, present: str) -> Composable:
        names = self._layout.names
        ats = [at for at in range(len(names)) if at >= len(present) or present[at] == "1"]
        source: Composable = self._stage
        conflict: Composable = SQL("")
        if self._key:
            fields = {at: SQL("s.{}").format(self._fields[at]) for at in ats}
            new = {
                at: SQL("excluded.{}").format(Identifier(names[at]))
                for at in ats
                if at not in self._layout.keys
            }
            source = self._news({at: fields[at] for at in new})
            conflict = SQL(" ON CONFLICT ({}) DO {}").format(
                _joined(map(Identifier, self._key)), self._update(new)
            )
        statement = SQL("INSERT INTO {} AS t ({}) SELECT {} FROM {}{}").format(
            self._table.sql,
            _joined(Identifier(names[at]) for at in ats),
            _joined(self._fields[at] for at in ats),
            source,
            conflict,
        )
        return SQL(
            "WITH merged AS ({} RETURNING xmax = 0 AS created) "
            "SELECT count(*) FILTER (WHERE created), count(*) FILTER (WHERE NOT created) "
            "FROM merged"
        ).format(statement)

    def _news(self, new: dict[int, Composable]) -> Composable:
        # ON CONFLICT locks every row that it finds, which writes the row's page and WAL even when
        # nothing changes. So rows that are in the table already are left out before: looked up one
        # by one in the key's index, which OFFSET 0 holds the planner to, whatever it believes of
        # a stage without statistics.
        condition = self._changes(new)[1] if new else SQL("false")
        return SQL(
            "{} AS s LEFT JOIN LATERAL (SELECT t.* FROM {} AS t WHERE {} OFFSET 0) AS t ON true "
            "WHERE t.{} IS NULL OR {}"
        ).format(
            self._stage, self._table.sql, self._same_key(), Identifier(self._key[0]), condition
        )

    def _merge_mixed(self, cur: cursor, known: set[str]) -> tuple[int, int]:
        # Records with different fields: new rows first, then each value that its record has.
        names = self._layout.names
        cur.execute(
            SQL("INSERT INTO {} ({}) SELECT {} FROM {}{}").format(
                self._table.sql,
                _joined(map(Identifier, names)),
                _joined(self._fields),
                self._stage,
                SQL(" ON CONFLICT ({}) DO NOTHING").format(_joined(map(Identifier, self._key)))
                if self._key
                else SQL(""),
            )
        )
        created = cur.rowcount
        if not self._key:
            return created, 0
        new: dict[int, Composable] = {}
        for at, name in enumerate(names):
            if at in self._layout.keys:
                continue
            value: Composable = SQL("s.{}").format(self._fields[at])
            if any(at < len(present) and present[at] == "0" for present in known):
                value = SQL("CASE substr(s.present, {}, 1) WHEN '1' THEN {} ELSE t.{} END").format(
                    SQL(str(at + 1)), value, Identifier(name)
                )
            new[at] = value
        if not new:
            return created, 0
        changes, condition = self._changes(new)
        cur.execute(
            SQL("UPDATE {} AS t SET {} FROM {} AS s WHERE {} AND {}").format(
                self._table.sql, changes, self._stage, self._same_key(), condition
            )
        )
        return created, cur.rowcount

    def _same_key(self) -> Composable:
        return SQL(" AND ").join(
            SQL("t.{} = s.{}").format(Identifier(name), self._fields[at])
            for name, at in zip(self._key, self._layout.keys, strict=True)
        )

    def _update(self, new: dict[int, Composable]) -> Composable:
        if not new:
            return SQL("NOTHING")
        changes, condition = self._changes(new)
        return SQL("UPDATE SET {} WHERE {}").format(changes, condition)

    def _changes(self, new: dict[int, Composable]) -> tuple[Composable, Composable]:
        # An unchanged row is not written: no dead tuple, no WAL.
        names = self._layout.names
        values = {}
        for at, value in new.items():
            values[names[at]] = value
            if names[at] == EXTRA.name:
                values[names[at]] = SQL("coalesce(t.{0}, '{{}}') || coalesce({1}, '{{}}')").format(
                    Identifier(EXTRA.name), value
                )
        compared = [name for name in values if name not in self._uncompared] or list(values)
        changes = _joined(
            SQL("{} = {}").format(Identifier(name), value) for name, value in values.items()
        )
        condition = SQL("ROW({}) IS DISTINCT FROM ROW({})").format(
            _joined(SQL("t.{}").format(Identifier(name)) for name in compared),
            _joined(values[name] for name in compared),
        )
        return changes, condition


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


def _joined(parts: Iterable[Composable] | Sequence[Composable]) -> Composable:
    return SQL(", ").join(parts)
