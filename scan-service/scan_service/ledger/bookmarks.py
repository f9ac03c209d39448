"""Knows where the next incremental scan of a kind goes on: what the newest completed one left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service_base.database import Connection


async def keep(
    connection: Connection,
    scan: Mapping[str, Any],
    state: Mapping[str, Any],
    columns: Mapping[str, Any],
) -> None:
    """Keep how far a completed scan got, unless one that began later was quicker.

    Args:
        connection: in the transaction that ends the scan.
        scan: its row.
        state: the Singer state that its run left.
        columns: the account's properties, as the scan row's `columns` has them.
    """
    await connection.execute(
        "insert into bookmark (tenant_id, fingerprint, state, read_at, columns)"
        " values (%s, %s, %s, %s, %s) on conflict (tenant_id, fingerprint) do update"
        " set state = excluded.state, read_at = excluded.read_at,"
        "  columns = excluded.columns where bookmark.read_at < excluded.read_at",
        [
            scan["tenant_id"],
            scan["fingerprint"],
            Jsonb(_for_others(state)),
            scan["started_at"],
            Jsonb(columns),
        ],
    )


def _for_others(state: Any) -> Any:
    """Return a state as another scan may use it: without the tap's note of whose it was.

    The tap compares that note with its settings, scan id included, and reads all when they differ;
    the scans of one fingerprint differ in nothing else.
    """
    if isinstance(state, dict):
        return {name: _for_others(part) for name, part in state.items() if name != "selection"}
    if isinstance(state, list):
        return [_for_others(part) for part in state]
    return state
