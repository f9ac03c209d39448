"""Changes of a table as a whole: several of its columns at once, its key."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg2
from psycopg2.sql import SQL, Identifier

from target_deals_postgres.errors import DatabaseRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.extensions import cursor
    from psycopg2.sql import Composable

    from target_deals_postgres.tables.catalog import Table

logger = logging.getLogger("target-deals-postgres")


def alter(cur: cursor, table: Table, changes: Sequence[Composable]) -> None:
    """Make some changes in one statement."""
    if changes:
        cur.execute(SQL("ALTER TABLE {} {}").format(table.sql, SQL(", ").join(changes)))


def rekey(cur: cursor, table: Table, key: Sequence[str]) -> None:
    """Give a table another primary key.

    Raises:
        DatabaseRefusedError: its rows cannot take it.
    """
    drop: Composable = SQL("")
    if table.key_constraint:
        drop = SQL("DROP CONSTRAINT {}, ").format(Identifier(table.key_constraint))
    logger.info("%s: the primary key becomes (%s)", table, ", ".join(key))
    try:
        cur.execute(
            SQL("ALTER TABLE {} {}ADD PRIMARY KEY ({})").format(table.sql, drop, names_of(key))
        )
    except psycopg2.Error as error:
        raise DatabaseRefusedError(
            f"the stream {table.stream} has the key ({', '.join(key)}), but {table} "
            f"has ({', '.join(table.key)}) and cannot take the new one "
            f"({error.diag.message_primary}): rename or empty the table"
        ) from None
    table.key = tuple(key)


def names_of(names: Sequence[str]) -> Composable:
    """Names with commas between them."""
    return SQL(", ").join(map(Identifier, names))
