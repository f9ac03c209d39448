"""Views of records, of the pipelines that they go through, and of their pasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2.sql import SQL

from hubspot_figures.shape import FOR_EVER, GONE, LEFT, Shape, number, portal, typed

if TYPE_CHECKING:
    from hubspot_figures.tables import Column, Tables


IS_LAST = "t.left_at IS NULL AND t.following IS NULL"


def record(tables: Tables, table: str, singular: str) -> Shape:
    """The records of one type, with a column for each property."""
    deals = singular == "deal"
    columns: list[Column] = [
        ("deal_id" if deals else "id", SQL("t.id"), "bigint"),
        portal(tables),
        ("is_deleted", GONE, "boolean"),
        ("_fivetran_deleted", GONE, "boolean"),
        ("_fivetran_synced", SQL("t.read_at"), "timestamptz"),
    ]
    if deals:
        columns += [
            ("deal_pipeline_id", tables.value(table, "pipeline"), "text"),
            ("deal_pipeline_stage_id", tables.value(table, "dealstage"), "text"),
            ("owner_id", number(tables.value(table, "hubspot_owner_id")), "bigint"),
        ]
    return Shape(columns + typed(tables.properties(table, singular)), tables.rows(table))


def pipelines(tables: Tables, singular: str) -> dict[str, Shape]:
    """The pipelines of deals or tickets, and their stages."""
    table = f"{singular}_pipelines"
    if table not in tables:
        return {}
    rows = tables.rows(table)
    now = ("_fivetran_synced", SQL("coalesce(t.updated_at, t.created_at)"), "timestamptz")
    pipelines: list[Column] = [
        ("pipeline_id", SQL("t.id"), "text"),
        ("label", SQL("t.label"), "text"),
        ("display_order", SQL("t.display_order"), "bigint"),
        ("active", SQL("NOT {}").format(LEFT), "boolean"),
        ("created_at", SQL("t.created_at"), "timestamptz"),
        ("updated_at", SQL("t.updated_at"), "timestamptz"),
        ("_fivetran_deleted", SQL("t.removed_at IS NOT NULL"), "boolean"),
        now,
    ]
    said = "s -> 'metadata' ->> "
    stages: list[Column] = [
        ("stage_id", SQL("s ->> 'id'"), "text"),
        ("pipeline_id", SQL("t.id"), "text"),
        ("label", SQL("s ->> 'label'"), "text"),
        ("display_order", SQL("s ->> 'display_order'"), "bigint"),
        (
            "active",
            SQL("NOT {} AND NOT coalesce((s ->> 'archived')::boolean, false)").format(LEFT),
            "boolean",
        ),
        (
            "is_closed",
            SQL(f"coalesce({said}'isClosed', ({said}'ticketState' = 'CLOSED')::text)"),
            "boolean",
        ),
        ("created_at", SQL("s ->> 'created_at'"), "timestamptz"),
        ("updated_at", SQL("s ->> 'updated_at'"), "timestamptz"),
        ("_fivetran_deleted", SQL("t.removed_at IS NOT NULL"), "boolean"),
        now,
    ]
    if singular == "deal":
        won = f"({said}'probability')::numeric"
        stages += [
            ("probability", SQL(won), "double precision"),
            (
                "closed_won",
                SQL(f"coalesce(({said}'isClosed')::boolean AND {won} = 1, false)"),
                "boolean",
            ),
        ]
    else:
        stages.append(("ticket_state", SQL(f"{said}'ticketState'"), "text"))
        pipelines.append(("object_type_id", SQL("'0-5'"), "text"))
    each = SQL("{} AND jsonb_typeof(t.stages) = 'array'").format(rows)
    source = SQL(" ").join(
        [SQL("FROM (SELECT t.*"), each, SQL(") t, jsonb_array_elements(t.stages) s")]
    )
    return {
        f"{singular}_pipeline": Shape(pipelines, rows),
        f"{singular}_pipeline_stage": Shape(stages, source),
    }


def stays(tables: Tables) -> Shape:
    """Stays in stages; none without the tap's `history`, as the package cannot do without it."""
    kept = "deal_stages" in tables
    columns: list[Column] = [
        ("deal_id", SQL("t.record_id" if kept else "t.id"), "bigint"),
        ("value", SQL("t.stage") if kept else tables.value("deals", "dealstage"), "text"),
        ("date_entered", SQL("t.entered_at" if kept else "t.created_at"), "timestamptz"),
        ("source", SQL("t.source_type" if kept else "NULL"), "text"),
        ("source_id", SQL("t.source_id" if kept else "NULL"), "text"),
        ("_fivetran_start", SQL("t.entered_at" if kept else "t.created_at"), "timestamptz"),
        (
            "_fivetran_end",
            SQL("coalesce(t.left_at, t.following, {})").format(FOR_EVER) if kept else FOR_EVER,
            "timestamptz",
        ),
        ("_fivetran_active", SQL(IS_LAST if kept else "true"), "boolean"),
        ("_fivetran_synced", SQL("t.entered_at" if kept else "t.read_at"), "timestamptz"),
    ]
    if kept:  # a stay before a gap has no end
        following = SQL(
            "FROM (SELECT t.*, lead(t.entered_at) OVER (PARTITION BY t.record_id "
            "ORDER BY t.entered_at) AS following {}) t"
        ).format(tables.rows("deal_stages"))
        return Shape(columns, following)
    return Shape(columns, SQL("{} AND false").format(tables.rows("deals")))


def merged(tables: Tables) -> Shape:
    """Which deals were merged into which."""
    columns: list[Column] = [
        ("deal_id", SQL("t.merged_into"), "bigint"),
        ("merged_deal_id", SQL("t.id"), "bigint"),
        ("_fivetran_synced", SQL("t.read_at"), "timestamptz"),
    ]
    return Shape(columns, SQL("{} AND t.merged_into IS NOT NULL").format(tables.rows("deals")))


def history(tables: Tables, singular: str) -> Shape:
    """The values that properties had."""
    instant = "timestamp_instant" if singular == "ticket" else "timestamp"
    columns: list[Column] = [
        (f"{singular}_id", SQL("t.record_id"), "bigint"),
        ("name", SQL("t.property"), "text"),
        ("value", SQL("t.value"), "text"),
        (instant, SQL('t."timestamp"'), "timestamptz"),
        ("source", SQL("t.source_type"), "text"),
        ("source_id", SQL("t.source_id"), "text"),
        ("_fivetran_synced", SQL('t."timestamp"'), "timestamptz"),
    ]
    rows = tables.rows(f"{singular}_property_history")
    if singular != "ticket":
        return Shape(columns, rows)
    columns += [
        ("_fivetran_start", SQL('t."timestamp"'), "timestamptz"),
        ("_fivetran_end", SQL("coalesce(t.following, {})").format(FOR_EVER), "timestamptz"),
    ]
    following = SQL(
        'FROM (SELECT t.*, lead(t."timestamp") OVER (PARTITION BY t.record_id, t.property '
        'ORDER BY t."timestamp", t.sequence) AS following {}) t'
    ).format(rows)
    return Shape(columns, following)
