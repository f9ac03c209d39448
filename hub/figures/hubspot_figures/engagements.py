"""Views of links between records, and of engagements, which are six types of ours together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2.sql import SQL, Literal

from hubspot_figures.shape import GONE, PLURALS, Shape, number, portal, together, typed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg2.sql import Composable

    from hubspot_figures.tables import Column, Tables

ENGAGEMENTS = {
    "calls": "call",
    "communications": "communication",
    "emails": "email",
    "meetings": "meeting",
    "notes": "note",
    "tasks": "task",
}
"""Our tables of engagements, and what each is called in the singular."""

NO_LINKS = SQL(
    "SELECT NULL AS from_id, NULL AS to_id, NULL AS category, NULL AS type_id, NULL AS read_at "
    "WHERE false"
)


def _link_columns(first: str, second: str) -> list[Column]:
    return [
        (first, SQL("t.from_id"), "bigint"),
        (second, SQL("t.to_id"), "bigint"),
        ("category", SQL("t.category"), "text"),
        ("type_id", SQL("t.type_id"), "bigint"),
        ("_fivetran_synced", SQL("t.read_at"), "timestamptz"),
    ]


def _known(links: Iterable[Composable | None]) -> list[Composable]:
    return [each for each in links if each is not None]


def pairs(tables: Tables, found: dict[str, Shape]) -> dict[str, Shape]:
    """Links between records that are no engagements."""
    pairs = (("deal", "company"), ("deal", "contact"), ("ticket", "company"), ("ticket", "contact"))
    made = {}
    for start, end in (*pairs, ("ticket", "deal")):
        links = tables.links(PLURALS[start], PLURALS[end])
        if start == "ticket" and end != "deal":
            links = links or NO_LINKS  # the package cannot do without them
        if start in found and links is not None:
            columns = _link_columns(f"{start}_id", f"{end}_id")
            made[f"{start}_{end}"] = Shape(columns, together([links]))
    return made


def engagements(tables: Tables, found: dict[str, Shape]) -> dict[str, Shape]:
    """Each type of engagement, all together, and the links to and from them."""
    made: dict[str, Shape] = {}
    every = []
    there = {table: name for table, name in ENGAGEMENTS.items() if table in tables}
    for table, name in there.items():
        kind = SQL("{}").format(Literal(name.upper()))
        columns: list[Column] = [
            ("engagement_id", SQL("t.id"), "bigint"),
            ("type", kind, "text"),
            ("_fivetran_deleted", GONE, "boolean"),
            ("_fivetran_synced", SQL("t.read_at"), "timestamptz"),
        ]
        own = typed(tables.properties(table, name))
        made[f"engagement_{name}"] = Shape(columns + own, tables.rows(table))
        at, owner = (
            tables.value(table, "hs_timestamp", "timestamptz"),
            number(tables.value(table, "hubspot_owner_id")),
        )
        every.append(
            SQL(
                "SELECT t.id, {} AS type, t.created_at, {}::timestamptz AS at, {} AS owner, "
                "NOT {} AS active, t.read_at {}"
            ).format(kind, at, owner, GONE, tables.rows(table))
        )
    if "ticket" in found:
        links = _known(tables.links("tickets", t) for t in there) or [NO_LINKS]
        columns = _link_columns("ticket_id", "engagement_id")
        made["ticket_engagement"] = Shape(columns, together(links))
    if not there:
        return made
    made["engagement"] = Shape(
        [
            ("id", SQL("t.id"), "bigint"),
            ("type", SQL("t.type"), "text"),
            ("created_at", SQL("t.created_at"), "timestamptz"),
            ("timestamp", SQL("t.at"), "timestamptz"),
            ("owner_id", SQL("t.owner"), "bigint"),
            ("active", SQL("t.active"), "boolean"),
            portal(tables),
            ("_fivetran_synced", SQL("t.read_at"), "timestamptz"),
        ],
        together(every),
    )
    for end in ("company", "contact", "deal"):
        if links := _known(tables.links(t, PLURALS[end]) for t in there):
            columns = _link_columns("engagement_id", f"{end}_id")
            made[f"engagement_{end}"] = Shape(columns, together(links))
    return made
