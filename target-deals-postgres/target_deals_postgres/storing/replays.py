"""Rejected records that are tried again: a page of their list at a time, and nobody beside it.

While a page is tried no other run stores a record of the stream that would overtake one of it:
those that do share a lock of the stream's list, and whoever replays has it alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from psycopg2.extras import execute_values
from psycopg2.sql import SQL

from target_deals_postgres.records.columns import Kind
from target_deals_postgres.records.values import storable
from target_deals_postgres.storing.rejected_table import TABLE, named

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from psycopg2.extensions import cursor

    from target_deals_postgres.config import Settings

PAGE = 1000  # records in memory at once
LOCK = "hashtextextended('target-deals-postgres replay of ' || %s, 0)"


class Waiting(NamedTuple):
    """A record to try again: its number in the list, its JSON and its version."""

    number: int
    record: bytes
    version: int | None


class Again(NamedTuple):
    """What is said of a record that still does not fit, or not with all its values."""

    number: int
    reason: str
    nulled: list[str] | None


def hold(cur: cursor, settings: Settings, stream: str) -> None:
    """Wait for the lock of the stream's list, which the session has then until `let_go`."""
    cur.execute(f"SELECT pg_advisory_lock({LOCK})", (_list(settings, stream),))


def let_go(cur: cursor, settings: Settings, stream: str) -> None:
    """Give the lock of the stream's list back; a session that ended has none."""
    cur.execute(f"SELECT pg_advisory_unlock({LOCK})", (_list(settings, stream),))


def page(cur: cursor, settings: Settings, stream: str, after: int) -> list[Waiting]:
    """The next records of a stream that no later one has overtaken, in the order of the list.

    Args:
        cur: inside a transaction.
        settings: the run's.
        stream: the stream's name.
        after: the number after which to go on.
    """
    cur.execute(
        SQL(
            "SELECT id, payload, version FROM {} WHERE stream = %s AND overtaken IS NULL "
            "AND id > %s ORDER BY id LIMIT %s"
        ).format(named(settings)),
        (storable(stream, Kind.TEXT), after, PAGE),
    )
    return [Waiting(id_, payload.encode(), version) for id_, payload, version in cur.fetchall()]


def share(cur: cursor, settings: Settings, stream: str) -> None:
    """Let nobody replay the stream's list until the end of the transaction."""
    cur.execute(f"SELECT pg_advisory_xact_lock_shared({LOCK})", (_list(settings, stream),))


def keep(cur: cursor, settings: Settings, records: Sequence[Again]) -> None:
    """Leave records on the list where they stand, as old as they are; only what is said changes."""
    if records:
        execute_values(
            cur,
            SQL(
                "UPDATE {} AS one SET reason = new.reason, nulled = new.nulled, overtaken = NULL "
                "FROM (VALUES %s) AS new (id, reason, nulled) WHERE one.id = new.id"
            ).format(named(settings)),
            records,
            template="(%s::bigint, %s::text, %s::text[])",
        )


def strike(cur: cursor, settings: Settings, numbers: Collection[int]) -> None:
    """Take records off the list, in the transaction that stores them."""
    if numbers:
        cur.execute(
            SQL("DELETE FROM {} WHERE id = ANY(%s)").format(named(settings)), (list(numbers),)
        )


def _list(settings: Settings, stream: str) -> str:
    return f"{settings.default_target_schema}.{TABLE} {storable(stream, Kind.TEXT)}"
