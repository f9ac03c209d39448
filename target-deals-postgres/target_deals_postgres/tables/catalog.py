"""Tables as the catalog knows them, and the lock under which they change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from psycopg2 import errors
from psycopg2.sql import SQL, Identifier

from target_deals_postgres.errors import DatabaseRefusedError
from target_deals_postgres.records.columns import SYSTEM_SCHEMAS, identifier

if TYPE_CHECKING:
    from psycopg2.extensions import cursor

KINDS = {"v": "a view", "m": "a materialized view", "S": "a sequence", "f": "a foreign table"}


@dataclass
class Table:
    """A table as the catalog knows it.

    Attributes:
        types: its columns' types, in their order.
        comments: its columns' comments.
        required: its columns that take no NULL and have no default.
        defaults: what its other columns hold when nothing is said, as SQL.
        kept: its columns that PostgreSQL fills when nothing is said, by a default or a sequence.
        key: its primary key.
        owned: whether the role may change it.
        filled: whether it has rows.
        secured: whether it has row-level security.
        used: how many columns it has, dropped ones included.
        rounding: its columns that round what they are given, such as numeric(12,2).
        generated: its columns that PostgreSQL computes.
        partitioned: whether its rows lie in partitions.
        judged: whether people's constraints, triggers or indexes may refuse a row.
    """

    schema: str
    name: str
    stream: str
    types: dict[str, str] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    defaults: dict[str, str] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    key_constraint: str = ""
    comment: str = ""
    exists: bool = False
    owned: bool = True
    filled: bool = False
    secured: bool = False
    used: int = 0
    rounding: set[str] = field(default_factory=set)
    generated: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    partitioned: bool = False
    judged: bool = False

    @property
    def sql(self) -> Identifier:
        """The table's name for SQL."""
        return Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def ensure_schema(cur: cursor, name: str, said_by: str = "default_target_schema") -> None:
    """Create the schema when it is missing.

    Args:
        cur: inside a transaction.
        name: the schema.
        said_by: what gave it this name, for the error.

    Raises:
        DatabaseRefusedError: it is missing and may not be created, or it is PostgreSQL's own.
    """
    if name.startswith(SYSTEM_SCHEMAS):
        raise DatabaseRefusedError(
            f"the schema {name} ({said_by}) is none for tables: PostgreSQL keeps pg_… and "
            "information_schema for itself"
        )
    cur.execute("SELECT FROM pg_namespace WHERE nspname = %s", (name,))
    if cur.rowcount:
        return
    lock(cur, name)
    try:
        cur.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(name)))
    except errors.InsufficientPrivilege:
        raise DatabaseRefusedError(
            f"the schema {name} ({said_by}) does not exist, and the connection's role may not "
            "create it"
        ) from None


def lock(cur: cursor, name: str) -> None:
    """Let no other target change what has this name until the end of the transaction."""
    cur.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('target-deals-postgres ' || %s, 0))", (name,)
    )


def columns(cur: cursor, schema: str, name: str) -> set[str]:
    """The columns of a table or view; none where there is no such thing.

    Raises:
        psycopg2.errors.InsufficientPrivilege: the schema may not be used.
    """
    cur.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(format('%%I.%%I', %s, %s)) "
        "AND attnum > 0 AND NOT attisdropped",
        (schema, name),
    )
    return {column for (column,) in cur.fetchall()}


def describe(cur: cursor, schema: str, stream: str) -> Table:
    """Read a stream's table from the catalog.

    Raises:
        DatabaseRefusedError: something else than a table has its name.
    """
    table = Table(schema, identifier(stream), stream)
    cur.execute(
        """
        SELECT c.oid, pg_has_role(c.relowner, 'USAGE'),
            coalesce(obj_description(c.oid, 'pg_class'), ''), c.relnatts, c.relrowsecurity,
            c.relkind,
            EXISTS (SELECT FROM pg_constraint WHERE conrelid = c.oid AND contype NOT IN ('p', 'n'))
            OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal)
            OR EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND NOT indisprimary
                AND (indisunique OR indpred IS NOT NULL OR indexprs IS NOT NULL))
            OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid
                AND (attgenerated <> '' OR attnotnull AND (atthasdef OR attidentity <> '')))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND c.relname = %s
        """,
        (schema, table.name),
    )
    row = cur.fetchone()
    if row is None:
        return table
    oid, table.owned, table.comment, table.used, table.secured, kind, table.judged = row
    if kind not in {"r", "p"}:
        raise DatabaseRefusedError(
            f"{table} exists and is no table ({KINDS.get(kind, kind)}), so the stream {stream} has "
            "no place: rename it, or choose another default_target_schema"
        )
    table.exists, table.partitioned = True, kind == "p"
    cur.execute(SQL("SELECT FROM {} LIMIT 1").format(table.sql))
    table.filled = cur.rowcount > 0
    cur.execute(
        """
        SELECT attname, regexp_replace(format_type(atttypid, atttypmod), '\\(.*?\\)', ''),
            attnotnull AND NOT atthasdef AND attidentity = '',
            coalesce(col_description(attrelid, attnum), ''),
            atttypmod >= 0 AND atttypid IN ('numeric'::regtype, 'timestamptz'::regtype,
                'timestamp'::regtype, 'time'::regtype), attgenerated <> '' OR attidentity = 'a',
            atthasdef OR attidentity <> '',
            CASE WHEN attidentity = 'd' THEN format('nextval(%%L::regclass)',
                    pg_get_serial_sequence(attrelid::regclass::text, attname))
                WHEN atthasdef AND attgenerated = '' THEN pg_get_expr(adbin, adrelid) END
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
        """,
        (oid,),
    )
    for name, type_, required, comment, rounding, generated, kept, default in cur.fetchall():
        table.types[name] = type_
        table.comments[name] = comment
        if required:
            table.required.add(name)
        if default is not None:
            table.defaults[name] = default
        if rounding:
            table.rounding.add(name)
        if generated:
            table.generated.add(name)
        if kept:
            table.kept.add(name)
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
