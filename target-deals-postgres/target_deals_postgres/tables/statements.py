"""The SQL of a merge, which neither writes nor locks what is unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2.sql import SQL, Identifier, Literal

from target_deals_postgres.records.columns import DELETED, SCOPE, VERSION
from target_deals_postgres.records.lines import OPTIONS
from target_deals_postgres.records.rows import EXTRA
from target_deals_postgres.tables.versions import hash_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from psycopg2.sql import Composable

    from target_deals_postgres.records.presence import Presence
    from target_deals_postgres.records.rows import Layout
    from target_deals_postgres.tables.catalog import Table


class Statements:
    """The statements for one layout, its table and its stage."""

    def __init__(
        self, table: Table, layout: Layout, stage: Identifier, uncompared: frozenset[str]
    ) -> None:
        """Remember what they are about.

        Args:
            table: the table.
            layout: the layout of the rows.
            stage: the temporary table that the rows are copied into.
            uncompared: columns whose change alone does not make a row new.
        """
        self._table = table
        self._layout = layout
        self._stage = stage
        self._uncompared = uncompared
        self._names = [Identifier(name) for name in layout.names]
        self._key = [self._names[at] for at in layout.keys]
        self._fields = [Identifier(f"c{at}") for at in range(len(layout.names))]
        self._staged = [SQL("s.{}").format(field) for field in self._fields]

    def create_stage(self) -> Composable:
        """Make the stage, which every COMMIT empties."""
        columns = [
            SQL("{} {}").format(field, SQL(kind))
            for field, kind in zip(self._fields, self._layout.kinds, strict=True)
        ]
        return SQL("CREATE TEMPORARY TABLE {} ({}, present text) ON COMMIT DELETE ROWS").format(
            self._stage, _joined(columns)
        )

    def copy(self) -> Composable:
        """Copy rows right into the table."""
        return SQL("COPY {} ({}) FROM STDIN {}").format(
            self._table.sql, _joined(self._names), SQL(OPTIONS)
        )

    def copy_to_stage(self, *, with_present: bool) -> Composable:
        """Copy rows into the stage, with or without the list of what each has."""
        fields = [*self._fields, Identifier("present")] if with_present else self._fields
        return SQL("COPY {} ({}) FROM STDIN {}").format(self._stage, _joined(fields), SQL(OPTIONS))

    def merge_alike(self, present: Presence) -> Composable:
        """Merge rows that all have the same fields.

        Args:
            present: which columns they have.

        Returns:
            A query of one row: how many rows were created, and how many updated.
        """
        ats = [at for at in range(len(self._names)) if present[at]]
        news = self._insert(ats, SQL(""))
        if self._key:
            values = [at for at in ats if at not in self._layout.keys]
            staged = {at: self._staged[at] for at in values}
            excluded = {at: SQL("excluded.{}").format(self._names[at]) for at in values}
            news = self._insert(
                ats,
                SQL("{} ON CONFLICT ({}) DO {}").format(
                    self._unless_there(staged), _joined(self._key), self._update(excluded)
                ),
            )
        return SQL(
            "WITH merged AS ({} RETURNING xmax = 0 AS created) "
            "SELECT count(*) FILTER (WHERE created), count(*) FILTER (WHERE NOT created) "
            "FROM merged"
        ).format(news)

    def repeated(self) -> Composable:
        """Find rows of the stage whose key an earlier one has, in another spelling perhaps.

        Returns:
            A query: their numbers, and that of the last one before with the same key; rows count
            from 0 in the order of their COPY, which is that of their places.
        """
        key = _joined(self._staged[at] for at in self._layout.keys)
        return SQL(
            "SELECT at, before FROM ("
            "SELECT at, lag(at) OVER (PARTITION BY {} ORDER BY at) AS before FROM ("
            "SELECT s.*, row_number() OVER (ORDER BY s.ctid) - 1 AS at FROM {} AS s"
            ") AS s) AS s WHERE before IS NOT NULL ORDER BY at"
        ).format(key, self._stage)

    def insert_missing(self) -> Composable:
        """Insert the rows whose keys are not in the table."""
        conflict: Composable = SQL("")
        if self._key:
            conflict = SQL(" ON CONFLICT ({}) DO NOTHING").format(_joined(self._key))
            if self._table.judged:  # no trigger before INSERT fires for a row that is there
                conflict = self._unless_there({}) + conflict
        values = list(self._staged)
        for at, name in enumerate(self._layout.names):
            if name in self._table.defaults and at not in self._layout.keys:
                unsaid = SQL("substr(s.present, {}, 1) = '0'").format(SQL(str(at + 1)))
                default = SQL(self._table.defaults[name])
                values[at] = SQL("CASE WHEN {} THEN {} ELSE {} END").format(
                    unsaid, default, values[at]
                )
        return self._insert(range(len(self._names)), conflict, values)

    def insert_and_tell(self) -> Composable:
        """Insert the rows whose keys are not in the table.

        Returns:
            A query of one row: how many there were, and the transaction that has them.
        """
        return SQL(
            "WITH made AS ({} RETURNING t.xmin::text AS xmin) SELECT count(*), min(xmin) FROM made"
        ).format(self.insert_missing())

    def update_present(self, known: set[Presence], made: str | None = None) -> Composable | None:
        """Update the rows in the table with the fields that each row of the stage has.

        Args:
            known: what rows of the stage may have.
            made: the transaction of rows that are to stay as a trigger made them.
        """
        new: dict[int, Composable] = {}
        for at in range(len(self._names)):
            if at in self._layout.keys:
                continue
            new[at] = self._staged[at]
            if not all(present[at] for present in known):
                new[at] = SQL(
                    "CASE substr(s.present, {}, 1) WHEN '1' THEN {} ELSE t.{} END"
                ).format(SQL(str(at + 1)), self._staged[at], self._names[at])
        if not self._key or not new:
            return None
        changes, is_changed = self._changes(new)
        is_old = SQL("t.xmin <> {}::xid").format(Literal(made)) if made else SQL("true")
        return SQL("UPDATE {} AS t SET {} FROM {} AS s WHERE {} AND {} AND {}").format(
            self._table.sql, changes, self._stage, self._same_key(), is_old, is_changed
        )

    def hidden(self) -> Composable:
        """Count the rows of the stage whose key is in the table, and not to be seen there.

        ON CONFLICT DO NOTHING passes them by without a word.
        """
        return SQL(
            "SELECT count(*) FROM {} AS s WHERE row_security_active(format('%I.%I', {}, {})"
            "::regclass) AND NOT EXISTS (SELECT FROM {} AS t WHERE {})"
        ).format(
            self._stage,
            Literal(self._table.schema),
            Literal(self._table.name),
            self._table.sql,
            self._same_key(),
        )

    def delete_marked(self) -> Composable:
        """Delete the rows of the stage that are marked as deleted now."""
        return SQL(
            "DELETE FROM {} AS t USING {} AS s WHERE {} AND t._sdc_deleted_at IS NOT NULL"
        ).format(self._table.sql, self._stage, self._same_key())

    def seen(self, *, removing: bool) -> Composable:
        """Find what the rows of the stage have seen of their versions, and the table does not say.

        Args:
            removing: whether marked rows are deleted next, and their versions with them.

        Returns:
            A query for `Versions.note`.
        """
        version = Identifier(VERSION)
        newest = SQL("greatest(s.{}, t.{})").format(
            self._fields[self._layout.names.index(VERSION)], version
        )
        scope = [
            SQL("NULL::text AS {}").format(Identifier(name))
            if (at := self._layout.position(name)) is None
            else SQL("{}::text AS {}").format(self._staged[at], Identifier(name))
            for name in SCOPE
        ]
        unsaid = SQL("{} IS DISTINCT FROM t.{}").format(newest, version)
        if removing:
            unsaid = SQL("({} OR t.{} IS NOT NULL AND {} IS NOT NULL)").format(
                unsaid, Identifier(DELETED), newest
            )
        return SQL(
            "SELECT {}, {} AS version, array_agg({}) AS seen FROM {} AS s JOIN LATERAL "
            "(SELECT * FROM {} AS t WHERE {} OFFSET 0) AS t ON true WHERE {} GROUP BY 1, 2, 3"
        ).format(
            _joined(scope),
            newest,
            hash_of([self._staged[at] for at in self._layout.keys]),
            self._stage,
            self._table.sql,
            self._same_key(),
            unsaid,
        )

    def _insert(
        self, ats: Sequence[int], rest: Composable, values: Sequence[Composable] | None = None
    ) -> Composable:
        return SQL("INSERT INTO {} AS t ({}) SELECT {} FROM {} AS s{}").format(
            self._table.sql,
            _joined(self._names[at] for at in ats),
            _joined((values or self._staged)[at] for at in ats),
            self._stage,
            rest,
        )

    def _unless_there(self, staged: Mapping[int, Composable]) -> Composable:
        # ON CONFLICT locks every row that it finds, which writes the row's page and WAL even when
        # nothing changes. So rows that are in the table already are left out before: looked up one
        # by one in the key's index, which OFFSET 0 holds the planner to, whatever it believes of
        # a stage without statistics.
        is_changed = self._changes(staged)[1] if staged else SQL("false")
        return SQL(
            " LEFT JOIN LATERAL (SELECT t.* FROM {} AS t WHERE {} OFFSET 0) AS t ON true "
            "WHERE t.{} IS NULL OR {}"
        ).format(self._table.sql, self._same_key(), self._key[0], is_changed)

    def _same_key(self) -> Composable:
        return SQL(" AND ").join(
            SQL("t.{} = {}").format(self._names[at], self._staged[at]) for at in self._layout.keys
        )

    def _update(self, new: Mapping[int, Composable]) -> Composable:
        if not new:
            return SQL("NOTHING")
        changes, is_changed = self._changes(new)
        return SQL("UPDATE SET {} WHERE {}").format(changes, is_changed)

    def _changes(self, new: Mapping[int, Composable]) -> tuple[Composable, Composable]:
        # What to set, and whether that changes anything: a row that stays as it is, is not written.
        names = self._layout.names
        values: dict[int, Composable] = dict(new)
        for at, value in new.items():
            if names[at] == EXTRA.name:
                values[at] = SQL("coalesce(t.{0} || {1}, t.{0}, {1})").format(
                    self._names[at], value
                )
            if names[at] == VERSION:
                values[at] = SQL("greatest(t.{}, {})").format(self._names[at], value)
        compared = [at for at in values if names[at] not in self._uncompared] or list(values)
        changes = _joined(
            SQL("{} = {}").format(self._names[at], value) for at, value in values.items()
        )
        # A type of somebody else's may know no equality, and nothing but NULL comes there.
        is_null = {at: SQL("({} IS NULL)") for at in compared if names[at] in self._layout.cleared}
        plain = SQL("{}")
        is_changed = SQL("ROW({}) IS DISTINCT FROM ROW({})").format(
            _joined(
                is_null.get(at, plain).format(SQL("t.{}").format(self._names[at]))
                for at in compared
            ),
            _joined(is_null.get(at, plain).format(values[at]) for at in compared),
        )
        return changes, is_changed


def _joined(parts: Iterable[Composable]) -> Composable:
    """Parts with commas between them."""
    return SQL(", ").join(parts)
