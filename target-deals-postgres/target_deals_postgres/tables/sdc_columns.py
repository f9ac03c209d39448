"""The `_sdc_` columns: what a record gets there, and the rows that a newer version leaves."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from psycopg2.sql import SQL, Identifier, Literal

from target_deals_postgres.records.columns import DELETED, TENANT, VERSION, Kind
from target_deals_postgres.records.values import NULL, escape

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from psycopg2.extensions import cursor
    from psycopg2.sql import Composable

    from target_deals_postgres.records.messages import Message
    from target_deals_postgres.tables.catalog import Table

METADATA = {
    "_sdc_extracted_at": Kind.TIMESTAMP,
    "_sdc_received_at": Kind.TIMESTAMP,
    "_sdc_batched_at": Kind.TIMESTAMP,
    DELETED: Kind.TIMESTAMP,
    "_sdc_sequence": Kind.BIGINT,
    VERSION: Kind.BIGINT,
    "_sdc_sync_started_at": Kind.BIGINT,
}
# Metadata says when a row last changed: being seen again is no change.
UNCOMPARED = frozenset(METADATA) - {DELETED, VERSION}


def metadata_of(message: Message, names: Sequence[str], started: datetime) -> list[str]:
    """The texts of a record's metadata.

    Args:
        message: the record's message.
        names: the columns.
        started: when the run started.
    """
    now = time.time()
    moment = datetime.fromtimestamp(now, UTC).isoformat()
    known = {
        "_sdc_extracted_at": escape(message.time_extracted) if message.time_extracted else NULL,
        "_sdc_received_at": moment,
        "_sdc_batched_at": moment,
        "_sdc_sequence": str(round(now * 1000)),
        VERSION: NULL if message.version is None else str(message.version),
        "_sdc_sync_started_at": str(round(started.timestamp() * 1000)),
    }
    return [known.get(name, NULL) for name in names]


def activate(
    cur: cursor,
    table: Table,
    version: int,
    *,
    scope: Sequence[str],
    written: Collection[tuple[str | None, ...]],
    spared: Collection[str | None] = (),
    hard: bool,
) -> int:
    """Delete the rows of older versions.

    Args:
        cur: inside the transaction of the rows before the message.
        table: the stream's table.
        version: rows of an older one, or of none, are gone from the source.
        scope: the columns that say whose rows they are; empty: the whole table.
        written: the values of these columns that the run wrote; no other rows are touched.
        spared: tenants of whom a record is missing, so that nothing of theirs may go; None: it is
            not known whose record that is.
        hard: delete rows instead of marking them.

    Returns:
        How many rows were deleted or marked.
    """
    if spared and (None in spared or TENANT not in scope):
        return 0
    if spared:
        at = scope.index(TENANT)
        written = [values for values in written if values[at] not in spared]
    if scope and not written:
        return 0
    condition = SQL("({0} IS NULL OR {0} < {1})").format(
        Identifier(VERSION), SQL(str(int(version)))
    )
    if scope:
        whose = SQL(" OR ").join(_is(scope, values) for values in written)
        condition += SQL(" AND ({})").format(whose)
    if hard:
        statement = SQL("DELETE FROM {} WHERE {}").format(table.sql, condition)
    else:
        statement = SQL("UPDATE {} SET {} = now() WHERE {} AND {} IS NULL").format(
            table.sql, Identifier(DELETED), condition, Identifier(DELETED)
        )
    cur.execute(statement)
    return cur.rowcount


def _is(names: Sequence[str], values: Sequence[str | None]) -> Composable:
    return SQL("({})").format(
        SQL(" AND ").join(
            SQL("{} IS NULL").format(Identifier(name))
            if value is None
            else SQL("{}::text = {}").format(Identifier(name), Literal(value))
            for name, value in zip(names, values, strict=True)
        )
    )
