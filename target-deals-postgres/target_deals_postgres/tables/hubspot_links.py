"""What the tables of our tap get besides: an index, and the view `current_associations`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import errors
from psycopg2.sql import SQL, Identifier, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg2.extensions import cursor
    from psycopg2.sql import Composable

logger = logging.getLogger("target-deals-postgres")

LINKS = "associations"
VIEW = "current_associations"
COMMENT = "The links as they are now: read together with their parents"
LINK_COLUMNS = {"from_object_type", "from_id", "to_object_type", "to_id", "read_at"}
SCOPE = ("_tenant_id", "_scan_id")
SECURITY_INVOKER = 150000  # the first server version where a view can use its reader's rights


class Grant(NamedTuple):
    """One privilege on the view; a grantee of None is PUBLIC."""

    privilege: str
    grantee: str | None


def is_ours(table: str, columns: set[str]) -> bool:
    """Whether a table takes part in the view: the links, or objects that they may start from."""
    return columns >= LINK_COLUMNS if table == LINKS else {"id", "read_at"} <= columns


def drop(cur: cursor, schema: str) -> list[Grant]:
    """Drop the view before a column that it uses changes; `ensure` makes it again.

    Returns:
        Who was allowed to do what with it.
    """
    cur.execute(
        """
        SELECT privilege_type, CASE grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(grantee) END
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(relacl)
        WHERE n.nspname = %s AND c.relname = %s AND grantee <> relowner
        """,
        (schema, VIEW),
    )
    grants = [Grant(*row) for row in cur.fetchall()]
    cur.execute(SQL("DROP VIEW IF EXISTS {}").format(Identifier(schema, VIEW)))
    return grants


def ensure(cur: cursor, schema: str, grants: Sequence[Grant] = ()) -> None:
    """Make the view `current_associations`, when the links and at least one parent are there.

    A link is current when it was read together with its parent as the parent is now, and the
    parent is neither archived nor merged nor deleted.
    """
    tables = _columns(cur, schema)
    links = tables.get(LINKS, {})
    if not links.keys() >= LINK_COLUMNS or links["from_object_type"] != "text":
        return
    scope = [name for name in SCOPE if name in links]
    cur.execute(
        SQL("CREATE INDEX IF NOT EXISTS {} ON {} ({})").format(
            Identifier("associations_to"),
            Identifier(schema, LINKS),
            SQL(", ").join(map(Identifier, [*scope, "to_object_type", "to_id"])),
        )
    )
    parents = {
        name: columns
        for name, columns in tables.items()
        if name != LINKS and _is_parent(columns, links, scope)
    }
    if not parents or cur.connection.server_version < SECURITY_INVOKER:
        return
    if VIEW in tables:
        logger.warning("the view %s.%s is not made: a table has its name", schema, VIEW)
        return
    query = SQL(" UNION ALL ").join(
        _current(schema, parent, columns, links, scope)
        for parent, columns in sorted(parents.items())
    )
    grants = [*grants, *_replace(cur, schema, query)]
    name = Identifier(schema, VIEW)
    cur.execute(SQL("COMMENT ON VIEW {} IS {}").format(name, Literal(COMMENT)))
    for grant in grants:
        grantee = SQL("PUBLIC") if grant.grantee is None else Identifier(grant.grantee)
        cur.execute(SQL("GRANT {} ON {} TO {}").format(SQL(grant.privilege), name, grantee))


def _replace(cur: cursor, schema: str, query: Composable) -> list[Grant]:
    statement = SQL("CREATE OR REPLACE VIEW {} WITH (security_invoker = true) AS {}").format(
        Identifier(schema, VIEW), query
    )
    grants: list[Grant] = []
    cur.execute("SAVEPOINT view")
    try:
        cur.execute(statement)
    except errors.InvalidTableDefinition:  # only new columns at the end can be replaced
        cur.execute("ROLLBACK TO SAVEPOINT view")
        try:
            grants = drop(cur, schema)
            cur.execute(statement)
        except errors.DependentObjectsStillExist:
            cur.execute("ROLLBACK TO SAVEPOINT view")
            logger.warning("%s.%s stays as it was: other views use it", schema, VIEW)
            return []
    return grants


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
