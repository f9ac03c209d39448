"""Row-level security: a session sees the rows of the tenant in its `app.tenant_id`, no others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from psycopg2 import errors
from psycopg2.sql import SQL, Identifier

from target_deals_postgres.errors import DatabaseRefusedError
from target_deals_postgres.records.columns import TENANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.extensions import cursor

logger = logging.getLogger("target-deals-postgres")

TENANT_POLICY = "tenant"
LOADER_POLICY = "loader"


def protect(cur: cursor, schema: str, table: str) -> None:
    """Put the policies on a table, unless they are there.

    FORCE binds the table's owner too, so that a query of the loader's own role without
    `app.tenant_id` sees nothing either. The loader itself, which writes many tenants at once, is
    the owner in a session with `app.loader`.

    Raises:
        psycopg2.Error: the role does not own the table.
    """
    name = Identifier(schema, table)
    cur.execute(
        """
        SELECT c.relrowsecurity AND c.relforcerowsecurity,
            ARRAY(SELECT polname::text FROM pg_policy WHERE polrelid = c.oid),
            pg_get_userbyid(c.relowner)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND c.relname = %s
        """,
        (schema, table),
    )
    protected, policies, owner = cur.fetchone() or (False, [], "")
    if TENANT_POLICY not in policies:
        cur.execute(
            SQL(
                "CREATE POLICY {} ON {} USING ({}::text = current_setting('app.tenant_id', true))"
            ).format(Identifier(TENANT_POLICY), name, Identifier(TENANT))
        )
    if LOADER_POLICY not in policies:
        cur.execute(
            SQL(
                "CREATE POLICY {} ON {} TO {} USING (current_setting('app.loader', true) = 'on')"
            ).format(Identifier(LOADER_POLICY), name, Identifier(owner))
        )
    if not protected:
        cur.execute(
            SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY").format(name)
        )


def let_read(cur: cursor, schema: str, table: str, roles: Sequence[str]) -> None:
    """Let roles read a table, and enter its schema where they may not yet.

    Raises:
        DatabaseRefusedError: there is no such role.
        psycopg2.Error: the right may not be given.
    """
    for role in roles:
        try:
            cur.execute(
                SQL("GRANT SELECT ON {} TO {}").format(Identifier(schema, table), Identifier(role))
            )
        except errors.UndefinedObject:
            raise DatabaseRefusedError(
                f"readers: the database has no role {role}, which is to read {schema}.{table}"
            ) from None
        if not _may_enter(cur, schema, role):
            cur.execute(
                SQL("GRANT USAGE ON SCHEMA {} TO {}").format(Identifier(schema), Identifier(role))
            )
            # PostgreSQL only warns where one has rights and may not pass them on.
            if not _may_enter(cur, schema, role):
                logger.warning(
                    "readers: %s may not enter the schema %s, and the connection's role may not "
                    "grant it: GRANT USAGE ON SCHEMA, as its owner",
                    role,
                    schema,
                )


def _may_enter(cur: cursor, schema: str, role: str) -> bool:
    cur.execute("SELECT has_schema_privilege(%s, %s, 'USAGE')", (role, schema))
    return cur.fetchone() == (True,)
