"""Versions of a stream: which is active, and which unchanged rows the coming one has seen.

A row's own `_sdc_table_version` is written when the row changes. That a version brought a row as it
was is noted in `_versions`: eight bytes a row, a hash of its key, in the transaction of its batch.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg2 import errors
from psycopg2.sql import SQL, Identifier, Literal

from target_deals_postgres.records.columns import DELETED, SCOPE, VERSION
from target_deals_postgres.tables import catalog, security

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from psycopg2.extensions import cursor
    from psycopg2.sql import Composable

    from target_deals_postgres.tables.catalog import Table

logger = logging.getLogger("target-deals-postgres")

TABLE = "_versions"
DEFINITION = """
    table_name text NOT NULL, _tenant_id text, _scan_id text, version bigint NOT NULL,
    active boolean NOT NULL, key text, seen bigint[]
"""
COMMENT = "For each table, its active version, and the unchanged rows that a coming one has seen"
INDEX = "_versions_active"
WHOSE = SQL("(ARRAY[_tenant_id, _scan_id])")

Whose = tuple[str | None, ...]
"""The values of a stream's scope columns."""


def prepare(cur: cursor, schema: str, *, secured: bool) -> bool:
    """Make the table where it is missing.

    Args:
        cur: inside a transaction.
        schema: where.
        secured: whether a session shall see only its tenant's rows.

    Returns:
        Whether it can be used.
    """
    name = Identifier(schema, TABLE)
    cur.execute("SAVEPOINT versions")
    try:
        cur.execute("SELECT to_regclass(%s)", (f"{_quoted(schema)}.{TABLE}",))
        if cur.fetchone() == (None,):
            catalog.lock(cur, f"{schema}.{TABLE}")
            cur.execute(SQL("CREATE TABLE IF NOT EXISTS {} (" + DEFINITION + ")").format(name))
            # Hashes do not compress.
            cur.execute(SQL("ALTER TABLE {} ALTER seen SET STORAGE EXTERNAL").format(name))
            cur.execute(SQL("COMMENT ON TABLE {} IS {}").format(name, Literal(COMMENT)))
            cur.execute(
                SQL(
                    "CREATE UNIQUE INDEX IF NOT EXISTS {} ON {} (table_name, {}) WHERE active"
                ).format(Identifier(INDEX), name, WHOSE)
            )
        if secured:
            security.protect(cur, schema, TABLE)
        # Asked now, so that no batch fails for it.
        cur.execute(SQL("INSERT INTO {} SELECT * FROM {} WHERE false").format(name, name))
        cur.execute(SQL("UPDATE {} SET version = 0 WHERE false").format(name))
        cur.execute(SQL("DELETE FROM {} WHERE false").format(name))
    except errors.InsufficientPrivilege as error:
        cur.execute("ROLLBACK TO SAVEPOINT versions")
        logger.warning(
            "%s.%s cannot be used (%s), so each new version is written into every row: make the "
            "table, or grant CREATE on the schema",
            schema,
            TABLE,
            error.diag.message_primary,
        )
        return False
    cur.execute("RELEASE SAVEPOINT versions")
    return True


@dataclass(frozen=True)
class Versions:
    """The versions of one table.

    Attributes:
        table: the table.
        key: the columns that a row is found by, and their types; empty where there are none.
        scope: the columns that say whose rows they are.
        kept: whether there is a table `_versions`.
    """

    table: Table
    key: Sequence[tuple[str, str]]
    scope: Sequence[str]
    kept: bool

    @property
    def _name(self) -> Identifier:
        return Identifier(self.table.schema, TABLE)

    @property
    def _key_text(self) -> Composable:
        # A hash means something for keys of these types alone, and for this PostgreSQL.
        text = ", ".join(f"{name} {kind}" for name, kind in self.key)
        major = SQL("current_setting('server_version_num')::int / 10000")
        return SQL("({} || ', PostgreSQL ' || {})").format(Literal(text), major)

    def note(self, seen: Composable) -> Composable:
        """The statement that notes what a merge has seen and not written.

        Args:
            seen: a query of rows whose version is newer than they say: the columns of SCOPE, as
                text, the version, and the hashes of their keys.
        """
        return SQL(
            "INSERT INTO {0} SELECT {1}, n._tenant_id, n._scan_id, n.version, false, {2}, n.seen "
            "FROM ({3}) AS n WHERE NOT EXISTS (SELECT FROM {0} AS a WHERE a.active "
            "AND a.table_name = {1} AND a.version >= n.version "
            "AND ARRAY[a._tenant_id, a._scan_id] = ARRAY[n._tenant_id, n._scan_id])"
        ).format(self._name, Literal(self.table.name), self._key_text, seen)

    def activate(self, cur: cursor, version: int, written: Collection[Whose], *, hard: bool) -> int:
        """Delete the rows that a version did not bring.

        Args:
            cur: inside the transaction of the rows before the message.
            version: rows that neither it nor a newer one brought are gone from the source.
            written: the values of the scope's columns that the version is complete for; no other
                rows are touched. Without such columns the whole table is meant.
            hard: delete rows instead of marking them.

        Returns:
            How many rows were deleted or marked.
        """
        if self.scope and not written:
            return 0
        whose: list[Whose] = sorted(written, key=repr) if self.scope else [()]
        if self.kept:
            whose = self._sure(cur, version, whose)
            whose = whose and self._move(cur, version, whose)
            if not whose:
                return 0
        count = self._delete(cur, version, whose, hard=hard)
        if self.kept:
            cur.execute(
                SQL("DELETE FROM {} WHERE {} AND version <= {}").format(
                    self._name, self._coming(whose), Literal(version)
                )
            )
        return count

    def forget(self, cur: cursor, whose: Collection[Whose]) -> None:
        """Take away what coming versions have seen of rows that are overwritten.

        Args:
            cur: inside the transaction.
            whose: the values of the scope's columns.
        """
        cur.execute(
            "SELECT FROM to_regclass(%s) AS found WHERE has_table_privilege(found, 'DELETE')",
            (f"{_quoted(self.table.schema)}.{TABLE}",),
        )
        if cur.rowcount and (whose or not self.scope):
            everybody = sorted(whose, key=repr) if self.scope else [()]
            cur.execute(SQL("DELETE FROM {} WHERE {}").format(self._name, self._coming(everybody)))

    def _sure(self, cur: cursor, version: int, whose: list[Whose]) -> list[Whose]:
        # Hashes of a key that was another one then say nothing about the rows as they are.
        cur.execute(
            SQL(
                "SELECT DISTINCT _tenant_id, _scan_id FROM {} "
                "WHERE {} AND version >= {} AND key <> {}"
            ).format(self._name, self._coming(whose), Literal(version), self._key_text)
        )
        unsure = {tuple(row) for row in cur.fetchall()}
        if not unsure:
            return whose
        logger.warning(
            "%s: version %d deletes nothing of %d tenants, since the key changed while it came",
            self.table,
            version,
            len(unsure),
        )
        return [one for one in whose if self._full(one) not in unsure]

    def _move(self, cur: cursor, version: int, whose: list[Whose]) -> list[Whose]:
        # Whose active version it becomes; it stays the active one of those who have a newer one.
        rows = SQL(", ").join(
            SQL("({}, {}::text, {}::text, {}, true)").format(
                Literal(self.table.name), *map(Literal, self._full(one)), Literal(version)
            )
            for one in whose
        )
        cur.execute(
            SQL(
                "INSERT INTO {0} AS a (table_name, _tenant_id, _scan_id, version, active) VALUES "
                "{1} ON CONFLICT (table_name, {2}) WHERE active DO UPDATE "
                "SET version = excluded.version WHERE a.version < excluded.version "
                "RETURNING _tenant_id, _scan_id"
            ).format(self._name, rows, WHOSE)
        )
        moved = {tuple(row) for row in cur.fetchall()}
        if len(moved) < len(whose):
            logger.info(
                "%s: version %d, or a newer one, was active already for %d of %d tenants",
                self.table,
                version,
                len(whose) - len(moved),
                len(whose),
            )
        return [one for one in whose if self._full(one) in moved]

    def _delete(self, cur: cursor, version: int, whose: list[Whose], *, hard: bool) -> int:
        condition = SQL("({0} IS NULL OR {0} < {1})").format(Identifier(VERSION), Literal(version))
        condition += SQL(" AND {}").format(belonging(self.scope, whose))
        seen: Composable = SQL("")
        if self.kept and self.key:
            seen = SQL(
                "WITH seen AS MATERIALIZED "
                "(SELECT unnest(v.seen) AS hash FROM {} AS v WHERE {} AND version >= {}) "
            ).format(self._name, self._coming(whose), Literal(version))
            condition += SQL(" AND NOT EXISTS (SELECT FROM seen WHERE seen.hash = {})").format(
                hash_of([SQL("t.{}").format(Identifier(name)) for name, _ in self.key])
            )
            # The planner knows nothing of how many there are.
            cur.execute("SET LOCAL enable_nestloop = off")
        statement = SQL("{}DELETE FROM {} AS t WHERE {}").format(seen, self.table.sql, condition)
        if not hard:
            statement = SQL(
                "{0}UPDATE {1} AS t SET {2} = now() WHERE {3} AND t.{2} IS NULL"
            ).format(seen, self.table.sql, Identifier(DELETED), condition)
        cur.execute(statement)
        count = cur.rowcount
        cur.execute("SET LOCAL enable_nestloop TO DEFAULT")
        return count

    def _coming(self, whose: Sequence[Whose]) -> Composable:
        return SQL("NOT active AND table_name = {} AND {} = ANY (ARRAY[{}])").format(
            Literal(self.table.name),
            SQL("ROW(_tenant_id, _scan_id)"),
            SQL(", ").join(
                SQL("ROW({}::text, {}::text)").format(*map(Literal, self._full(one)))
                for one in whose
            ),
        )

    def _full(self, whose: Whose) -> Whose:
        named = dict(zip(self.scope, whose, strict=True))
        return tuple(named.get(name) for name in SCOPE)


def hash_of(key: Sequence[Composable]) -> Composable:
    """A hash of a key, the same for all its spellings."""
    return SQL("hash_record_extended(ROW({}), 0)").format(SQL(", ").join(key))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def belonging(scope: Sequence[str], whose: Collection[Whose]) -> Composable:
    """The condition that a row of a table, which is called t, belongs to one of some.

    Args:
        scope: the columns that say whose a row is; without them any row is meant.
        whose: their values.
    """
    if not scope:
        return SQL("true")
    each = [_is(scope, values) for values in sorted(whose, key=repr)]
    return SQL("({})").format(SQL(" OR ").join(each)) if each else SQL("false")


def _is(names: Sequence[str], values: Sequence[str | None]) -> Composable:
    return SQL("({})").format(
        SQL(" AND ").join(
            SQL("t.{} IS NULL").format(Identifier(name))
            if value is None
            else SQL("t.{}::text = {}").format(Identifier(name), Literal(value))
            for name, value in zip(names, values, strict=True)
        )
    )
