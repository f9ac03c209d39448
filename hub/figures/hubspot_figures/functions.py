"""The functions: their SQL, and how they come into a schema and out of it."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

from psycopg2.sql import SQL, Identifier

if TYPE_CHECKING:
    from psycopg2.extensions import cursor

TABLES = {
    "deals": {"_tenant_id", "id", "archived", "archived_at", "merged_into", "removed_at"},
    "deal_stages": {"_tenant_id", "record_id", "entered_at", "left_at", "pipeline", "stage"},
    "deal_property_history": {"_tenant_id", "record_id", "property", "timestamp", "value_number"},
    "deal_pipelines": {"_tenant_id", "id", "stages"},
}
"""What has to be there: tables of tap-hubspot-deals with its setting `history`."""

AMOUNT = "amount_in_home_currency"


class FiguresError(Exception):
    """Why the figures cannot be made, as a sentence for people."""


def statements() -> dict[str, tuple[str, str]]:
    """Each function's sentence and its SQL, by its name, in the order in which they are made."""
    text = (files(__package__) / "figures.sql").read_text()
    parts = re.split(r"^-- (\w+): (.+)\n", text, flags=re.MULTILINE)[1:]
    return {
        name: (sentence, body.strip())
        for name, sentence, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }


def missing(cur: cursor, schema: str) -> list[str]:
    """What a schema lacks of `TABLES`, as `table.column`."""
    cur.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s",
        (schema,),
    )
    found = set(cur.fetchall())
    return sorted(
        f"{table}.{column}"
        for table, columns in TABLES.items()
        for column in columns
        if (table, column) not in found
    )


def install(cur: cursor, schema: str) -> list[str]:
    """Make the functions, in place of older ones, within the caller's transaction.

    Args:
        cur: Of a connection with the right to create functions in the schema.
        schema: Where the tables are, and where the functions go.

    Returns:
        The tenants of which no amount's history is there: their amounts are all zero.

    Raises:
        FiguresError: If a table or column is not there.
    """
    if lacks := missing(cur, schema):
        raise FiguresError(
            f"The schema {schema} lacks {', '.join(lacks[:3])}. Set the tap's `history` to "
            f"[{AMOUNT}, hubspot_owner_id], run tap and target, and try again."
        )
    remove(cur, schema)
    cur.execute(SQL("SET LOCAL search_path = {}").format(Identifier(schema)))
    for _, statement in statements().values():
        cur.execute(statement)
    cur.execute(
        "SELECT DISTINCT _tenant_id FROM deal_stages s WHERE NOT EXISTS (SELECT FROM "
        "deal_property_history h WHERE h._tenant_id = s._tenant_id AND h.property = %s) ORDER BY 1",
        (AMOUNT,),
    )
    return [tenant for (tenant,) in cur.fetchall()]


def remove(cur: cursor, schema: str) -> None:
    """Take the functions away; others of the same names, with other arguments, stay."""
    for name, (_, statement) in reversed(statements().items()):
        head = re.match(r"CREATE FUNCTION \w+\((.*?)\)\nRETURNS", statement, flags=re.DOTALL)
        types = [a.split()[1] for a in head[1].split(",")] if head else []
        cur.execute(
            SQL("DROP FUNCTION IF EXISTS {} ({})").format(
                Identifier(schema, name), SQL(", ").join(map(SQL, types))
            )
        )
