"""What tables of tap-hubspot-deals get besides: an index, and the view `current_associations`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import errors
from psycopg2.sql import SQL, Identifier, Literal

from target_deals_postgres.records.columns import SCOPE
from target_deals_postgres.tables.catalog import lock
from target_deals_postgres.tables.security import let_read

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from psycopg2.extensions import cursor
    from psycopg2.sql import Composable

logger = logging.getLogger("target-deals-postgres")

LINKS = "associations"
VIEW = "current_associations"
COMMENT = "The links as they are now: read together with their parents"
LINK_COLUMNS = {"from_object_type", "from_id", "to_object_type", "to_id", "read_at"}
INDEX = "associations_to"
TRIAL = "current_associations_trial"
SECURITY_INVOKER = 150000  # the first server version where a view can use its reader's rights


class Grant(NamedTuple):
    """One privilege on the view; a grantee of None is PUBLIC."""

    privilege: str
    grantee: str | None


class CurrentLinks:
    """The view `current_associations` and the links' index, inside one transaction."""

    def __init__(self, cur: cursor, schema: str, readers: Sequence[str] = ()) -> None:
        """Remember where; nothing is looked at yet.

        Args:
            cur: inside a transaction.
            schema: the schema of the tables.
            readers: roles that may read the view when it is made.
        """
        self._cur = cur
        self._schema = schema
        self._readers = readers
        self._is_new = True
        self._name = Identifier(schema, VIEW)
        self._grants: list[Grant] = []

    def step_aside(self) -> None:
        """Drop the view before a column that it uses changes; `follow` makes it again."""
        lock(self._cur, f"{self._schema} views")
        self._is_new = self._is_new and self._oid() is None
        self._cur.execute(
            """
            SELECT privilege_type, CASE grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(grantee) END
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(relacl)
            WHERE n.nspname = %s AND c.relname = %s AND grantee <> relowner
            """,
            (self._schema, VIEW),
        )
        self._grants += [Grant(*row) for row in self._cur.fetchall()]
        self._cur.execute(SQL("DROP VIEW IF EXISTS {}").format(self._name))

    def follow(self, table: str, columns: Collection[str]) -> None:
        """Make the view as the tables are now, after a visit to one that may take part in it.

        A link is current when it was read together with its parent as the parent is now, and the
        parent is neither archived nor merged nor deleted.

        Args:
            table: the visited table.
            columns: its columns.
        """
        wanted = LINK_COLUMNS if table == LINKS else {"id", "read_at"}
        if not wanted <= set(columns):
            return
        lock(self._cur, f"{self._schema} views")
        tables = _columns(self._cur, self._schema)
        links = tables.get(LINKS, {})
        if not links.keys() >= LINK_COLUMNS or links["from_object_type"] != "text":
            return
        scope = [name for name in SCOPE if name in links]
        self._ensure_index(scope)
        parents = {
            name: columns
            for name, columns in tables.items()
            if name != LINKS and _is_parent(columns, links, scope)
        }
        if not parents or self._cur.connection.server_version < SECURITY_INVOKER:
            return
        if VIEW in tables:
            logger.warning("the view %s.%s is not made: a table has its name", self._schema, VIEW)
            return
        query = SQL(" UNION ALL ").join(
            _current(self._schema, parent, columns, links, scope)
            for parent, columns in sorted(parents.items())
        )
        self._replace(query)

    def _ensure_index(self, scope: Sequence[str]) -> None:
        # Asked before: IF NOT EXISTS locks the table against writers before it looks.
        self._cur.execute(
            "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s",
            (self._schema, INDEX),
        )
        if not self._cur.rowcount:
            self._cur.execute(
                SQL("CREATE INDEX {} ON {} ({})").format(
                    Identifier(INDEX),
                    Identifier(self._schema, LINKS),
                    SQL(", ").join(map(Identifier, [*scope, "to_object_type", "to_id"])),
                )
            )

    def _replace(self, query: Composable) -> None:
        oid = self._oid()
        if oid is not None and self._is_as(oid, query):
            return
        self._is_new = self._is_new and oid is None
        statement = SQL("CREATE OR REPLACE VIEW {} WITH (security_invoker = true) AS {}").format(
            self._name, query
        )
        self._cur.execute("SAVEPOINT view")
        try:
            self._cur.execute(statement)
        except errors.InvalidTableDefinition:  # only new columns at the end can be replaced
            self._cur.execute("ROLLBACK TO SAVEPOINT view")
            try:
                self.step_aside()
                self._cur.execute(statement)
            except errors.DependentObjectsStillExist:
                self._cur.execute("ROLLBACK TO SAVEPOINT view")
                logger.warning("%s.%s stays as it was: other views use it", self._schema, VIEW)
                return
        self._cur.execute(SQL("COMMENT ON VIEW {} IS {}").format(self._name, Literal(COMMENT)))
        for privilege, grantee in self._grants:
            to = SQL("PUBLIC") if grantee is None else Identifier(grantee)
            self._cur.execute(SQL("GRANT {} ON {} TO {}").format(SQL(privilege), self._name, to))
        if self._is_new:
            let_read(self._cur, self._schema, VIEW, self._readers)

    def _oid(self) -> int | None:
        self._cur.execute(
            "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s AND 'security_invoker=true' = ANY(reloptions)",
            (self._schema, VIEW),
        )
        found = self._cur.fetchone()
        return None if found is None else found[0]

    def _is_as(self, oid: int, query: Composable) -> bool:
        # Replacing a view waits for all that read it, and makes all others wait behind: so
        # PostgreSQL says first, by a view that nobody reads, whether anything would change.
        self._cur.execute(SQL("CREATE TEMPORARY VIEW {} AS {}").format(Identifier(TRIAL), query))
        self._cur.execute(
            "SELECT pg_get_viewdef(%s) = pg_get_viewdef(('pg_temp.' || %s)::regclass)",
            (oid, TRIAL),
        )
        [same] = self._cur.fetchone() or (False,)
        self._cur.execute(SQL("DROP VIEW pg_temp.{}").format(Identifier(TRIAL)))
        return bool(same)


def _columns(cur: cursor, schema: str) -> dict[str, dict[str, str]]:
    # The tables, and their columns in order with their types.
    cur.execute(
        """
        SELECT c.relname, array_agg(ARRAY[a.attname, format_type(a.atttypid, a.atttypmod)]
            ORDER BY a.attnum)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE n.nspname = %s AND c.relkind IN ('r', 'p') GROUP BY c.relname
        """,
        (schema,),
    )
    return {name: dict(columns) for name, columns in cur.fetchall()}


def _is_parent(columns: Mapping[str, str], links: Mapping[str, str], scope: Sequence[str]) -> bool:
    # Another tap may have a table with such names and other types.
    same = {"id": "from_id", "read_at": "read_at", **{name: name for name in scope}}
    return all(columns.get(one) == links[other] for one, other in same.items())


def _current(
    schema: str,
    parent: str,
    columns: Mapping[str, str],
    links: Mapping[str, str],
    scope: Sequence[str],
) -> Composable:
    conditions = [
        SQL("link.from_object_type = {}").format(Literal(parent)),
        SQL("parent.id = link.from_id"),
        SQL("parent.read_at = link.read_at"),
    ]
    conditions += [SQL("parent.{0} = link.{0}").format(Identifier(name)) for name in scope]
    if columns.get("archived") == "boolean":
        conditions.append(SQL("parent.archived IS NOT TRUE"))
    conditions += [
        SQL("parent.{} IS NULL").format(Identifier(name))
        for name in ("merged_into", "_sdc_deleted_at")
        if name in columns
    ]
    if "_sdc_deleted_at" in links:
        conditions.append(SQL("link._sdc_deleted_at IS NULL"))
    return SQL("SELECT {} FROM {} AS link JOIN {} AS parent ON {}").format(
        SQL(", ").join(SQL("link.{}").format(Identifier(name)) for name in links),
        Identifier(schema, LINKS),
        Identifier(schema, parent),
        SQL(" AND ").join(conditions),
    )
