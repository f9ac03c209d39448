"""The table `_proofs`: what each comparison found, a row for each type and pair of types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from psycopg2.sql import SQL, Identifier

from hubspot_verify.findings import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.extensions import cursor

    from hubspot_verify.findings import Findings

PROOFS = "_proofs"
COLUMNS = {
    "_tenant_id": "text NOT NULL",
    "type": "text NOT NULL",
    "started_at": "timestamptz NOT NULL",
    "finished_at": "timestamptz NOT NULL",
    "requests": "bigint NOT NULL",
    "in_hubspot": "bigint NOT NULL",
    "in_tables": "bigint NOT NULL",
    "digest_hubspot": "text NOT NULL",
    "digest_tables": "text NOT NULL",
    **dict.fromkeys(KINDS, "bigint NOT NULL"),
    "behind": "bigint NOT NULL",
    "repaired": "bigint NOT NULL",
    "verdict": "text NOT NULL",
    "named": "jsonb NOT NULL",
}


def write(cur: cursor, schema: str, tenant: str, found: Sequence[Findings], like: str) -> None:
    """Write what was found; makes the table where it is not there.

    Args:
        cur: Of a session that sees the tenant's rows.
        schema: Where the tables are.
        tenant: Whose.
        found: What.
        like: A table of the same schema: `_proofs` gets row-level security where that has it.
    """
    name = Identifier(schema, PROOFS)
    cur.execute("SELECT to_regclass(format('%%I.%%I', %s, %s))", (schema, PROOFS))
    if cur.fetchone() == (None,):
        columns = ", ".join(f"{column} {kind}" for column, kind in COLUMNS.items())
        cur.execute(
            SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY (_tenant_id, type, started_at))")
            .format(name, SQL(columns))
        )  # fmt: skip
        _protect(cur, schema, like)
    cur.executemany(
        SQL("INSERT INTO {} VALUES ({})").format(name, SQL(", ".join(["%s"] * len(COLUMNS)))),
        [_row(tenant, each) for each in found],
    )


def _row(tenant: str, found: Findings) -> tuple[object, ...]:
    named: dict[str, list[object]] = {}
    for each in found.differences:
        named.setdefault(each.kind, []).append(each.named())
    return (
        tenant,
        found.name,
        found.started_at,
        found.finished_at,
        found.requests,
        found.in_hubspot,
        found.in_tables,
        f"{found.digest_hubspot:016x}",
        f"{found.digest_tables:016x}",
        *(found.counts[kind] for kind in KINDS),
        found.behind,
        found.repaired,
        found.verdict,
        json.dumps(named),
    )


def _protect(cur: cursor, schema: str, like: str) -> None:
    """Show a session its tenant's proofs alone, where the other table does the same."""
    cur.execute(
        "SELECT relrowsecurity FROM pg_class WHERE oid = format('%%I.%%I', %s, %s)::regclass",
        (schema, like),
    )
    if cur.fetchone() == (True,):
        name = Identifier(schema, PROOFS)
        cur.execute(
            SQL(
                "CREATE POLICY tenant ON {0} "
                "USING (_tenant_id = current_setting('app.tenant_id', true)); "
                "ALTER TABLE {0} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
            ).format(name)
        )
