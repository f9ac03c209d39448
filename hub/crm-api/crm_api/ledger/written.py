"""Knows what users made: whose deal it is, and how a ticket's category was called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from service_base.database import Connection

    Shown = Mapping[str, str | None]


async def note_deal(
    connection: Connection, deal_id: str, *, user_id: int, contact_id: str, shown: Shown
) -> None:
    """Note a deal as its user's; noting it again changes nothing."""
    await connection.execute(
        "insert into deal (deal_id, user_id, contact_id, shown) values (%s, %s, %s, %s)"
        " on conflict do nothing",
        [deal_id, user_id, contact_id, Jsonb(dict(shown))],
    )


async def note_ticket(
    connection: Connection,
    ticket_id: str,
    *,
    user_id: int,
    deal_id: str,
    category: str,
    shown: Shown,
) -> None:
    """Note a ticket with the client's word for its category."""
    await connection.execute(
        "insert into ticket (ticket_id, user_id, deal_id, category, shown)"
        " values (%s, %s, %s, %s, %s) on conflict do nothing",
        [ticket_id, user_id, deal_id, category, Jsonb(dict(shown))],
    )


async def owns(connection: Connection, user_id: int, deal_id: str) -> bool:
    """Tell whether a user made a deal."""
    cursor = await connection.execute(
        "select 1 from deal where deal_id = %s and user_id = %s", [deal_id, user_id]
    )
    return await cursor.fetchone() is not None


async def categories(connection: Connection, ticket_ids: Sequence[str]) -> dict[str, str]:
    """Return the clients' words for the categories of those tickets that they made."""
    cursor = await connection.execute(
        "select ticket_id, category from ticket where ticket_id = any(%s)", [list(ticket_ids)]
    )
    return {row["ticket_id"]: row["category"] for row in await cursor.fetchall()}
