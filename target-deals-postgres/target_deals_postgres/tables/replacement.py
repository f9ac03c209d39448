"""What a run brings to overwrite: rows of a temporary table, until they take the place of others.

That table is made like the stream's own, with its constraints and defaults, so that it takes and
refuses the same rows. It lives in the run's session: whatever ends that leaves the other as it was.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from psycopg2.sql import SQL, Identifier

from target_deals_postgres.records.columns import VERSION, Kind
from target_deals_postgres.tables.catalog import lock
from target_deals_postgres.tables.outcomes import Outcome
from target_deals_postgres.tables.sdc_columns import UNCOMPARED
from target_deals_postgres.tables.versions import belonging

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from psycopg2.extensions import cursor
    from psycopg2.sql import Composable

    from target_deals_postgres.records.rows import Layout
    from target_deals_postgres.tables.catalog import Table
    from target_deals_postgres.tables.versions import Whose

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Replacement:
    """The rows of a run that wait to take the place of a table's.

    Attributes:
        table: the stream's table.
        waiting: the temporary table.
        brought: the columns that the run has filled, in whichever of its layouts.
        cleared: the columns that it only ever empties.
        key: the columns that a row is found by; empty where there are none.
    """

    table: Table
    waiting: Table
    brought: frozenset[str] = frozenset()
    cleared: frozenset[str] = frozenset()
    key: tuple[str, ...] = ()

    def bringing(self, layout: Layout) -> Replacement:
        """The same, for one more layout of the run's rows."""
        brought = self.brought | (set(layout.names) - layout.cleared)
        return replace(
            self,
            brought=brought,
            cleared=(self.cleared | layout.cleared) - brought,
            key=tuple(layout.names[at] for at in layout.keys),
        )

    def whose(self, cur: cursor, scope: Sequence[str]) -> set[Whose]:
        """Whose rows wait: the values of the scope's columns."""
        if not scope:
            return set()
        columns = SQL(", ").join(SQL("{}::text").format(Identifier(name)) for name in scope)
        cur.execute(SQL("SELECT DISTINCT {} FROM {}").format(columns, self.waiting.sql))
        return set(cur.fetchall())

    def carry_out(self, cur: cursor, scope: Sequence[str], whose: Collection[Whose]) -> Outcome:
        """Let the waiting rows be all that the table has of some tenants.

        Args:
            cur: inside the transaction.
            scope: the columns that say whose a row is; without them the whole table is meant.
            whose: their values, those of all waiting rows among them.

        Returns:
            How many rows were created, updated and deleted; those that stay are not written.

        Raises:
            psycopg2.Error: the table takes one of them not, so that nothing is replaced.
        """
        lock(cur, f"{self.table} overwrite")  # whoever overwrites it too comes after
        theirs = belonging(scope, whose)
        cur.execute(SQL("ANALYZE {}").format(self.waiting.sql))
        gone: Composable = SQL("DELETE FROM {} AS t WHERE {}").format(self.table.sql, theirs)
        if not self.key:
            cur.execute(gone)
            deleted = cur.rowcount
            cur.execute(self._insert(SQL("true")))
            return Outcome(created=cur.rowcount, deleted=deleted)
        same = SQL(" AND ").join(SQL("t.{0} = s.{0}").format(Identifier(name)) for name in self.key)
        cur.execute(
            SQL("{} AND NOT EXISTS (SELECT FROM {} AS s WHERE {})").format(
                gone, self.waiting.sql, same
            )
        )
        deleted = cur.rowcount
        updated = 0
        if (update := self._update(SQL("{} AND {}").format(same, theirs))) is not None:
            cur.execute(update)
            updated = cur.rowcount
        there = SQL("SELECT FROM {} AS t WHERE {} AND {}").format(self.table.sql, same, theirs)
        cur.execute(self._insert(SQL("NOT EXISTS ({})").format(there)))
        return Outcome(created=cur.rowcount, updated=updated, deleted=deleted)

    def count(self, cur: cursor) -> int:
        """How many rows wait."""
        cur.execute(SQL("SELECT count(*) FROM {}").format(self.waiting.sql))
        (count,) = cur.fetchone() or (0,)
        return int(count)

    def _insert(self, condition: Composable) -> Composable:
        names = SQL(", ").join(
            Identifier(name) for name in self.table.types if name in self.brought
        )
        return SQL("INSERT INTO {} ({}) SELECT {} FROM {} AS s WHERE {}").format(
            self.table.sql, names, names, self.waiting.sql, condition
        )

    def _update(self, condition: Composable) -> Composable | None:
        # A column that the run does not bring is empty then, as in a new row; one that has a
        # default is the business of whoever gave it that.
        changes: list[Composable] = []
        old: list[Composable] = []
        new: list[Composable] = []
        full: list[Composable] = []
        for name in self.table.types:
            if name in self.key or name in self.table.generated:
                continue
            column = Identifier(name)
            if name in self.brought:
                changes.append(SQL("{0} = s.{0}").format(column))
                if name not in UNCOMPARED | {VERSION}:
                    old.append(SQL("t.{}").format(column))
                    new.append(SQL("s.{}").format(column))
            elif name in self.cleared or name not in self.table.kept:
                changes.append(SQL("{} = NULL").format(column))
                full.append(SQL("t.{} IS NOT NULL").format(column))
        if not changes:
            return None
        is_changed = [*full]
        if old:
            is_changed.append(
                SQL("ROW({}) IS DISTINCT FROM ROW({})").format(
                    SQL(", ").join(old), SQL(", ").join(new)
                )
            )
        return SQL("UPDATE {} AS t SET {} FROM {} AS s WHERE {} AND ({})").format(
            self.table.sql,
            SQL(", ").join(changes),
            self.waiting.sql,
            condition,
            SQL(" OR ").join(is_changed) if is_changed else SQL("false"),
        )


def prepare(cur: cursor, table: Table, former: Replacement | None) -> Replacement:
    """Make the temporary table, or take the run's rows into one that has the table's new shape.

    Args:
        cur: inside a transaction.
        table: the stream's table as it is now.
        former: what was made before in this run.
    """
    if former is not None and (former.waiting.types, former.waiting.key) == (
        table.types,
        table.key,
    ):
        return replace(former, table=table)
    waiting = replace(
        table,
        schema="pg_temp",
        name=f"overwrite_{next(_numbers)}",
        secured=False,
        partitioned=False,
    )
    cur.execute(
        SQL("CREATE TEMPORARY TABLE {} (LIKE {} INCLUDING ALL)").format(waiting.sql, table.sql)
    )
    if former is None:
        return Replacement(table, waiting)
    moved = [
        name
        for name in former.waiting.types
        if name in table.types and name in former.brought - table.generated
    ]
    if moved:
        cur.execute(
            SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(
                waiting.sql,
                SQL(", ").join(map(Identifier, moved)),
                SQL(", ").join(_converted(name, table.types[name]) for name in moved),
                former.waiting.sql,
            )
        )
    cur.execute(SQL("DROP TABLE {}").format(former.waiting.sql))
    return replace(former, table=table, waiting=waiting)


def _converted(name: str, kind: str) -> Composable:
    # The session's time zone is UTC, so that a date becomes the moment at which it begins there.
    conversion = "to_jsonb({})" if kind == Kind.JSONB else "{}::" + kind
    return SQL(conversion).format(Identifier(name))
