"""Views of what belongs to the account: owners with their teams, and property definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2.sql import SQL, Literal

from hubspot_figures.shape import LEFT, PLURALS, Shape, portal, together

if TYPE_CHECKING:
    from hubspot_figures.tables import Column, Tables


def owners(tables: Tables) -> dict[str, Shape]:
    """Owners, the users that they are, and their teams."""
    rows = tables.rows("owners")
    synced = ("_fivetran_synced", SQL("coalesce(t.updated_at, t.created_at)"), "timestamptz")
    gone = ("_fivetran_deleted", SQL("t.removed_at IS NOT NULL"), "boolean")
    teams = SQL(
        "FROM (SELECT t.* {} AND jsonb_typeof(t.teams) = 'array') t, "
        "jsonb_array_elements(t.teams) m"
    ).format(rows)
    team_id = ("team_id", SQL("m ->> 'id'"), "bigint")
    user = SQL("coalesce(t.user_id, t.user_id_including_inactive)")
    primary = SQL(
        "(SELECT m ->> 'id' FROM jsonb_array_elements(CASE jsonb_typeof(t.teams) WHEN 'array' "
        "THEN t.teams END) m WHERE (m ->> 'primary')::boolean LIMIT 1)"
    )
    named: list[Column] = [
        ("email", SQL("t.email"), "text"),
        ("first_name", SQL("t.first_name"), "text"),
        ("last_name", SQL("t.last_name"), "text"),
    ]
    return {
        "owner": Shape(
            [
                ("owner_id", SQL("t.id"), "bigint"),
                ("active_user_id", SQL("t.user_id"), "bigint"),
                ("type", SQL("t.type"), "text"),
                *named,
                ("is_active", SQL("NOT {}").format(LEFT), "boolean"),
                ("created_at", SQL("t.created_at"), "timestamptz"),
                ("updated_at", SQL("t.updated_at"), "timestamptz"),
                portal(tables),
                synced,
            ],
            rows,
        ),
        "owner_team": Shape(
            [
                ("owner_id", SQL("t.id"), "bigint"),
                team_id,
                ("is_team_primary", SQL("m ->> 'primary'"), "boolean"),
                gone,
                synced,
            ],
            teams,
        ),
        "team": Shape(
            [
                ("id", SQL("m ->> 'id'"), "bigint"),
                ("name", SQL("max(m ->> 'name')"), "text"),
                ("_fivetran_deleted", SQL("false"), "boolean"),
                (
                    "_fivetran_synced",
                    SQL("max(coalesce(t.updated_at, t.created_at))"),
                    "timestamptz",
                ),
            ],
            SQL("{} GROUP BY m ->> 'id'").format(teams),
        ),
        "team_user": Shape(
            [
                team_id,
                ("user_id", user, "bigint"),
                (
                    "is_secondary_user",
                    SQL("NOT coalesce((m ->> 'primary')::boolean, false)"),
                    "boolean",
                ),
                gone,
                synced,
            ],
            SQL("{} WHERE {} IS NOT NULL").format(teams, user),
        ),
        "users": Shape(
            [
                ("id", user, "bigint"),
                ("primary_team_id", primary, "bigint"),
                ("role_id", SQL("NULL"), "bigint"),
                *named,
                gone,
                synced,
            ],
            SQL("{} AND {} IS NOT NULL").format(rows, user),
        ),
        "role": Shape(
            [
                ("id", SQL("NULL"), "bigint"),
                ("name", SQL("NULL"), "text"),
                ("requires_billing_write", SQL("NULL"), "boolean"),
                ("_fivetran_deleted", SQL("false"), "boolean"),
                ("_fivetran_synced", SQL("NULL"), "timestamptz"),
            ],
            SQL("WHERE false"),
        ),
    }


def definitions(tables: Tables, found: dict[str, Shape]) -> dict[str, Shape]:
    """Property definitions and their options, of all types together."""
    singulars = [s for s in PLURALS if s in found and f"{s}_properties" in tables]
    if not singulars:
        return {}
    rows = [
        SQL("SELECT {} AS object, t.* {} AND t.removed_at IS NULL").format(
            Literal(singular), tables.rows(f"{singular}_properties")
        )
        for singular in singulars
    ]
    key = SQL("t.object || '.' || t.name")
    synced = ("_fivetran_synced", SQL("coalesce(t.updated_at, t.created_at)"), "timestamptz")
    texts = ("name", "label", "description", "group_name", "type", "field_type")
    return {
        "property": Shape(
            [
                ("_fivetran_id", key, "text"),
                ("hubspot_object", SQL("t.object"), "text"),
                *((name, SQL(f"t.{name}"), "text") for name in texts),
                ("calculated", SQL("t.calculated"), "boolean"),
                ("hubspot_defined", SQL("t.hubspot_defined"), "boolean"),
                ("show_currency_symbol", SQL("NULL"), "boolean"),
                ("created_at", SQL("t.created_at"), "timestamptz"),
                ("updated_at", SQL("t.updated_at"), "timestamptz"),
                synced,
            ],
            together(rows),
        ),
        "property_option": Shape(
            [
                ("property_id", key, "text"),
                ("hubspot_object", SQL("t.object"), "text"),
                ("name", SQL("t.name"), "text"),
                ("label", SQL("o ->> 'label'"), "text"),
                ("value", SQL("o ->> 'value'"), "text"),
                ("display_order", SQL("o ->> 'displayOrder'"), "bigint"),
                ("hidden", SQL("o ->> 'hidden'"), "boolean"),
                synced,
            ],
            SQL(
                "{}, jsonb_array_elements(CASE jsonb_typeof(t.options) WHEN 'array' "
                "THEN t.options END) o"
            ).format(together(rows)),
        ),
    }
