"""Views in the form of Fivetran's tables: how they come into a schema and out of it.

Each view reads a function, whose body is a text: nothing depends on the mirror's tables, so that
the target may go on to change their columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2
from psycopg2.sql import SQL, Identifier, Literal

from hubspot_figures.shapes import shapes
from hubspot_figures.tables import Tables

if TYPE_CHECKING:
    from psycopg2.extensions import cursor

    from hubspot_figures.shape import Shape

MARK = "hubspot-fivetran"
"""What the comments of all that is made here begin with."""

ABSENT = ("email_event", "contact_list", "contact_list_member", "contact_form")
"""What of the package no tap of ours reads: its models are switched off."""

SWITCHES = {
    "company": "company",
    "company_property_history": "company_property_history",
    "contact": "contact",
    "contact_property_history": "contact_property_history",
    "deal": "deal",
    "deal_company": "deal_company",
    "deal_contact": "deal_contact",
    "deal_property_history": "deal_property_history",
    "engagement": "engagement",
    "engagement_call": "engagement_call",
    "engagement_communication": "engagement_communication",
    "engagement_company": "engagement_company",
    "engagement_contact": "engagement_contact",
    "engagement_deal": "engagement_deal",
    "engagement_email": "engagement_email",
    "engagement_meeting": "engagement_meeting",
    "engagement_note": "engagement_note",
    "engagement_task": "engagement_task",
    "merged_deal": "merged_deal",
    "owner": "owner",
    "property": "property",
    "ticket": "service",
    "ticket_deal": "ticket_deal",
}
"""The package's variables `hubspot_<...>_enabled`, by the view that each of them needs."""


class FivetranError(Exception):
    """Why the views cannot be made, as a sentence for people."""


def install(
    cur: cursor, schema: str, into: str, *, tenant: str | None = None, cascade: bool = False
) -> dict[str, bool]:
    """Make the views, in place of older ones, within the caller's transaction.

    Args:
        cur: Of a connection with the right to create a schema.
        schema: Where the mirror's tables are.
        into: The schema of the views.
        tenant: Whose records; None: the only one there is.
        cascade: Whether what others built on older views goes with them.

    Returns:
        The variables for the dbt package.

    Raises:
        FivetranError: If there is nothing to show, or the tenant has to be named.
    """
    tables = Tables(cur, schema, tenant or _only_tenant(cur, schema))
    made = shapes(tables)
    if not made:
        raise FivetranError(f"The schema {schema} has no table that a view could be made of.")
    remove(cur, into, cascade=cascade)
    cur.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(into)))
    for name, shape in made.items():
        _make(cur, into, name, shape)
    return variables(set(made))


def _make(cur: cursor, into: str, name: str, shape: Shape) -> None:
    reader = Identifier(into, f"_{name}")
    columns = [SQL("{} {}").format(Identifier(c), SQL(kind)) for c, _, kind in shape.columns]
    text = shape.query().as_string(cur)
    cur.execute(
        SQL("CREATE FUNCTION {}() RETURNS TABLE ({}) LANGUAGE sql STABLE AS {}").format(
            reader, SQL(", ").join(columns), Literal(text)
        )
    )
    cur.execute(SQL("CREATE VIEW {} AS SELECT * FROM {}()").format(Identifier(into, name), reader))
    comment = Literal(f"{MARK}: as Fivetran's table {name}")
    for kind, what in (("FUNCTION", SQL("{}()").format(reader)), ("VIEW", Identifier(into, name))):
        cur.execute(SQL("COMMENT ON {} {} IS {}").format(SQL(kind), what, comment))


def _only_tenant(cur: cursor, schema: str) -> str:
    try:
        cur.execute(
            SQL("SELECT DISTINCT _tenant_id FROM {} ORDER BY 1 LIMIT 3").format(
                Identifier(schema, "owners")
            )
        )
    except psycopg2.errors.UndefinedTable:
        raise FivetranError(
            f"The schema {schema} has no table `owners` that tells whose it is: name the tenant."
        ) from None
    tenants = [tenant for (tenant,) in cur.fetchall()]
    if len(tenants) != 1:
        raise FivetranError(
            f"The tables hold {'no tenant' if not tenants else 'several tenants'}: name one with "
            "--tenant. The dbt package knows none, so each needs views of its own."
        )
    return str(tenants[0])


def remove(cur: cursor, into: str, *, cascade: bool = False) -> None:
    """Take the views away, and their schema where nothing else is in it."""
    cur.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relkind = 'v' AND obj_description(c.oid) LIKE %s",
        (into, f"{MARK}:%"),
    )
    end = SQL("CASCADE" if cascade else "RESTRICT")
    for (name,) in cur.fetchall():
        cur.execute(SQL("DROP VIEW {} {}").format(Identifier(into, name), end))
        cur.execute(SQL("DROP FUNCTION {}() {}").format(Identifier(into, f"_{name}"), end))
    cur.execute(
        "SELECT FROM pg_namespace n WHERE n.nspname = %s "
        "AND NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid) "
        "AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = n.oid)",
        (into,),
    )
    if cur.fetchone() is not None:
        cur.execute(SQL("DROP SCHEMA {} RESTRICT").format(Identifier(into)))


def variables(made: set[str]) -> dict[str, bool]:
    """What the dbt package has to be told: which of its sources are there."""
    found = {f"hubspot_{switch}_enabled": view in made for view, switch in SWITCHES.items()}
    return found | {f"hubspot_{name}_enabled": False for name in ABSENT}
