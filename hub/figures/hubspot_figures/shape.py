"""One view in the form of a table of Fivetran's HubSpot connector, and what several share.

Names and columns are those that the sources of the dbt package `fivetran/dbt_hubspot` are
documented with (models/staging/src_hubspot.yml, version 1.8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg2.sql import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.sql import Composable

    from hubspot_figures.tables import Column, Tables

PLURALS = {"deal": "deals", "company": "companies", "contact": "contacts", "ticket": "tickets"}
"""The types that Fivetran calls otherwise, and our tables of them."""

GONE = SQL("(coalesce(t.archived, false) OR t.merged_into IS NOT NULL OR t.removed_at IS NOT NULL)")
LEFT = SQL("(coalesce(t.archived, false) OR t.removed_at IS NOT NULL)")
FOR_EVER = SQL("'9999-12-31 23:59:59.999+00'")


@dataclass(frozen=True)
class Shape:
    """One view.

    Args:
        columns: Its columns.
        source: What follows them: FROM and WHERE.
    """

    columns: list[Column]
    source: Composable

    def query(self) -> Composable:
        """The SELECT."""
        listed = [SQL("({})::{}").format(what, SQL(kind)) for _, what, kind in self.columns]
        return SQL("SELECT {} {}").format(SQL(", ").join(listed), self.source)


def portal(tables: Tables) -> Column:
    """The account's id, the same in all rows."""
    if "account_details" not in tables:
        return ("portal_id", SQL("NULL"), "bigint")
    return (
        "portal_id",
        SQL("(SELECT t.id {} LIMIT 1)").format(tables.rows("account_details")),
        "bigint",
    )


def number(what: Composable) -> Composable:
    """An id that may be empty."""
    return SQL("nullif({}::text, '')").format(what)


def typed(properties: list[Column]) -> list[Column]:
    """Owners are numbers there."""
    return [
        (name, number(what), "bigint")
        if name == "property_hubspot_owner_id"
        else (name, what, kind)
        for name, what, kind in properties
    ]


def together(queries: Sequence[Composable]) -> Composable:
    """Several queries as one source."""
    return SQL("FROM ({}) t").format(SQL(" UNION ALL ").join(queries))
