"""Tables as the catalog knows them, and the lock under which they change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from psycopg2 import errors
from psycopg2.sql import SQL, Identifier

from target_deals_postgres.columns import identifier
from target_deals_postgres.errors import DatabaseError

if TYPE_CHECKING:
    from psycopg2.extensions import cursor


@dataclass
class Table:
    """A table as the catalog knows it.

    Attributes:
        types: its columns' types, in their order.
        comments: its columns' comments.
        required: its columns that take no NULL and have no default.
        key: its primary key.
        owned: whether the role may change it.
        filled: whether it has rows.
        secured: whether it has row-level security.
        used: how many columns it has, dropped ones included.
    """

    schema: str
    name: str
    stream: str
    types: dict[str, str] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    key: tuple[str, ...] = ()
    key_constraint: str = ""
    comment: str = ""
    exists: bool = False
    owned: bool = True
    filled: bool = False
    secured: bool = False
    used: int = 0

    @property
    def sql(self) -> Identifier:
        """The table's name for SQL."""
        return Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def ensure_schema(cur: cursor, name: str) -> None:
    """Create the schema when it is missing.

    Raises:
        DatabaseError: it is missing and may not be created.
    """
    cur.execute("SELECT FROM pg_namespace WHERE nspname = %s", (name,))
    if cur.rowcount:
        return
    lock(cur, name)
    try:
        cur.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(name)))
    except errors.InsufficientPrivilege:
        raise DatabaseError(
            f"the schema {name} (default_target_schema) does not exist, and the role of "
            "database_url may not create it"
        ) from None


def lock(cur: cursor, name: str) -> None:
    """Let no other target change what has this name until the end of the transaction."""
    cur.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('target-deals-postgres ' || %s, 0))", (name,)
    )


def describe(cur: cursor, schema: str, stream: str) -> Table:
    """Read a stream's table from the catalog."""
    table = Table(schema, identifier(stream), stream)
    cur.execute(
        """
        SELECT c.oid, pg_has_role(c.relowner, 'USAGE'),
            coalesce(obj_description(c.oid, 'pg_class'), ''), c.relnatts, c.relrowsecurity
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')
        """,
        (schema, table.name),
    )
    row = cur.fetchone()
    if row is None:
        return table
    oid, table.owned, table.comment, table.used, table.secured = row
    table.exists = True
    cur.execute(SQL("SELECT FROM {} LIMIT 1").format(table.sql))
    table.filled = cur.rowcount > 0
    cur.execute(
        """
        SELECT attname, regexp_replace(format_type(atttypid, atttypmod), '\\(.*?\\)', ''),
            attnotnull AND NOT atthasdef, coalesce(col_description(attrelid, attnum), '')
        FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
        """,
        (oid,),
    )
    for name, type_, required, comment in cur.fetchall():
        table.types[name] = type_
        table.comments[name] = comment
        if required:
            table.required.add(name)
    cur.execute(
        """
        SELECT conname, ARRAY(
            SELECT attname::text FROM unnest(conkey) WITH ORDINALITY AS k(num, place)
            JOIN pg_attribute ON attrelid = conrelid AND attnum = num ORDER BY place)
        FROM pg_constraint WHERE conrelid = %s AND contype = 'p'
        """,
        (oid,),
    )
    if found := cur.fetchone():
        table.key_constraint, table.key = found[0], tuple(found[1])
    return table
