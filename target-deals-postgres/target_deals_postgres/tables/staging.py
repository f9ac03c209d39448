"""The stage of a merge: a temporary table that takes a batch by COPY, without its bad rows."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg2
from psycopg2.sql import SQL, Identifier

from target_deals_postgres.records.lines import BETWEEN, NULL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from psycopg2.extensions import cursor

    from target_deals_postgres.records.batches import Batch
    from target_deals_postgres.tables.statements import Statements

# SQLSTATE classes of errors that no row's own values cause: of the connection, of the transaction,
# of rights, of names, of resources, of the server. All others are a row's: of its data, integrity
# or size, and whatever someone's trigger says of it, in a code of its own perhaps.
OTHER_ERRORS = frozenset(
    {
        *("00", "01", "03", "08", "0A", "0B", "0L", "0P", "0Z", "24", "25", "26", "28", "2B", "2D"),
        *("34", "3B", "3D", "3F", "40", "42", "53", "55", "57", "58", "72", "F0", "HV", "XX"),
    }
)
STAGE = "stage_"  # how the names of temporary tables begin
FIRST_STEP = 64  # rows to try after a bad one
COPY_CHUNK = 2000  # rows handed to libpq at once
# The line of a COPY and the stage's column, in the server's language. What is read there may have
# told before where in a JSON text it was.
_PLACE = re.compile(rf'^(?:COPY )?{STAGE}\d+\D+?(\d+)(?:[^\d"«»:]*?\bc(\d+)\b)?', re.MULTILINE)
_numbers = itertools.count(1)


def new_name() -> Identifier:
    """The name of a stage that no other of the session has."""
    return Identifier("pg_temp", f"{STAGE}{next(_numbers)}")  # search_path may list it last


@dataclass
class Patch:
    """A row with NULL for the values that do not fit, and why they do not."""

    line: bytes
    reasons: dict[int, str] = field(default_factory=dict)


class Stage:
    """One temporary table, made when it is needed; every COMMIT empties it."""

    def __init__(
        self, name: Identifier, statements: Statements, firm: frozenset[int] | None
    ) -> None:
        """Remember it; nothing is made yet.

        Args:
            name: its name.
            statements: of the merge.
            firm: the places of the values that must fit, where all others may become NULL.
        """
        self._name = name
        self._statements = statements
        self._firm = firm
        self._is_made = False

    def make(self, cur: cursor) -> None:
        """Make it, if the session has none."""
        cur.execute("SELECT to_regclass(%s)", (".".join(self._name.strings),))
        if cur.fetchone() == (None,):
            cur.execute(self._statements.create_stage())
            self._is_made = True

    def empty(self, cur: cursor) -> None:
        """Remove its rows."""
        cur.execute(SQL("TRUNCATE {}").format(self._name))

    def remove(self, cur: cursor) -> None:
        """Drop it: PostgreSQL empties all of them at each COMMIT."""
        if self._is_made:
            cur.execute(SQL("DROP TABLE IF EXISTS {}").format(self._name))
            self._is_made = False

    def copy(
        self,
        cur: cursor,
        batch: Batch,
        numbers: range,
        patches: dict[int, Patch] | None = None,
    ) -> list[tuple[int, str]]:
        """Copy rows of a batch, all that can be copied.

        Args:
            cur: inside the caller's transaction.
            batch: the batch.
            numbers: which of its rows.
            patches: where given, takes what becomes of rows of which a value may be NULL.

        Returns:
            The rows that PostgreSQL refuses, by their numbers, and why.
        """
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
                raise_unless_a_row_is_bad(error)
                cur.execute("ROLLBACK TO SAVEPOINT copy; RELEASE SAVEPOINT copy")
                line, column = place_of(error.diag.context or "")
                good = (stop - start) // 2 if line is None else line - 1
                if 0 < good < stop - start:
                    step = good
                    continue
                if patches is not None and column is not None:
                    row = patches.get(start) or Patch(batch.rows[start])
                    if self._patch(row, column, reason_of(error)):
                        patches[start] = row
                        step = FIRST_STEP
                        continue
                refused.append((start, reason_of(error)))
                start, step = start + 1, FIRST_STEP
            else:
                cur.execute("RELEASE SAVEPOINT copy")
                start, step = stop, max(FIRST_STEP, 2 * step)
        return refused

    def _patch(self, row: Patch, at: int, why: str) -> bool:
        # Whether a value may be NULL, which it then is.
        texts = row.line.split(BETWEEN)
        null = NULL.encode()
        if self._firm is None or at in self._firm or texts[at] == null:
            return False
        texts[at] = null
        row.line, row.reasons[at] = BETWEEN.join(texts), why
        return True

    def _copy_rows(
        self, cur: cursor, batch: Batch, numbers: range, patches: Mapping[int, Patch]
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
        cur.copy_expert(statement, Lines(rows))


def drop_stages(cur: cursor) -> None:
    """Drop the stages of all merges of the session."""
    cur.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() "
        "AND relkind = 'r' AND starts_with(relname, %s)",
        (STAGE,),
    )
    for (name,) in cur.fetchall():
        cur.execute(SQL("DROP TABLE {}").format(Identifier("pg_temp", name)))


def place_of(context: str) -> tuple[int | None, int | None]:
    """Where in a stage's COPY an error is: the line, from 1, and the column, from 0.

    Args:
        context: what PostgreSQL says of the error's circumstances, in any language.
    """
    found = _PLACE.search(context)
    if found is None:
        return None, None
    return int(found[1]), int(found[2]) if found[2] else None


def raise_unless_a_row_is_bad(error: psycopg2.Error) -> None:
    """Raise an error that no row's own values cause."""
    if not error.pgcode or error.pgcode[:2] in OTHER_ERRORS:
        raise error


class Lines:
    """The file that psycopg2 reads COPY's rows from."""

    def __init__(self, rows: Iterable[bytes]) -> None:
        self._rows = iter(rows)

    def read(self, _size: int = 0) -> bytes:
        """The next lines, however many bytes that are."""
        chunk = list(itertools.islice(self._rows, COPY_CHUNK))
        return b"\n".join(chunk) + b"\n" if chunk else b""

    def readline(self, _size: int = 0) -> bytes:
        """What psycopg2 asks for, and never calls."""
        return self.read()


def reason_of(error: psycopg2.Error) -> str:
    """What PostgreSQL says of a row."""
    return error.diag.message_primary or str(error)
