"""Records that could not be stored: each is kept with its reason in `_rejected_records`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg2.extras import execute_values
from psycopg2.sql import SQL, Identifier

from target_deals_postgres.columns import Kind
from target_deals_postgres.values import storable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg2.extensions import cursor

TABLE = "_rejected_records"
DEFINITION = """
    stream text NOT NULL, _tenant_id text, record_key text, reason text NOT NULL, payload text NOT NULL,
    rejected_at timestamp with time zone NOT NULL DEFAULT now(), run_started_at timestamp with time zone NOT NULL
"""


@dataclass(frozen=True)
class Rejected:
    """One record that is not in its table.

    Attributes:
        stream: its stream.
        tenant: its `_tenant_id`, if it has one.
        key: its key as JSON.
        reason: why it was rejected.
        payload: the record as JSON.
        lacks_key: whether that is because it has no key.
    """

    stream: str
    tenant: str | None
    key: str
    reason: str
    payload: str
    lacks_key: bool = False


def make_table(cur: cursor, schema: str) -> None:
    """Make the table for rejected records."""
    cur.execute(
        SQL("CREATE TABLE IF NOT EXISTS {} (" + DEFINITION + ")").format(Identifier(schema, TABLE))
    )
    cur.execute(
        SQL("COMMENT ON TABLE {} IS 'Records that could not be stored in their tables'").format(
            Identifier(schema, TABLE)
        )
    )


def insert(cur: cursor, schema: str, rejected: Sequence[Rejected], started: datetime) -> None:
    """Store rejected records, in the transaction of the batch they come from."""
    execute_values(
        cur,
        SQL(
            "INSERT INTO {} (stream, _tenant_id, record_key, reason, payload, run_started_at) VALUES %s"
        ).format(Identifier(schema, TABLE)),
        [
            (
                *(
                    None if text is None else storable(text, Kind.TEXT)
                    for text in (one.stream, one.tenant, one.key, one.reason, one.payload)
                ),
                started,
            )
            for one in rejected
        ],
    )
