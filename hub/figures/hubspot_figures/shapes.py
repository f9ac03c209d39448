"""The tables of Fivetran's HubSpot connector, each as a query over ours.

Names and columns are those that the sources of the dbt package `fivetran/dbt_hubspot` are
documented with (models/staging/src_hubspot.yml, version 1.8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg2.sql import SQL, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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

GONE = SQL("(coalesce(t.archived, false) OR t.merged_into IS NOT NULL OR t.removed_at IS NOT NULL)")
LEFT = SQL("(coalesce(t.archived, false) OR t.removed_at IS NOT NULL)")
FOR_EVER = SQL("'9999-12-31 23:59:59.999+00'")


NO_LINKS = SQL(
    "SELECT NULL AS from_id, NULL AS to_id, NULL AS category, NULL AS type_id, NULL AS read_at "
    "WHERE false"
)


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


def shapes(tables: Tables) -> dict[str, Shape]:
    """All views that the tables give, by their names."""
    found: dict[str, Shape] = {}
    for name, singular in (("deals", "deal"), ("tickets", "ticket")):
        if name in tables:
            found[singular] = _record(tables, name, singular)
            found |= _pipelines(tables, singular)
    for name, singular in (("companies", "company"), ("contacts", "contact")):
        if name in tables:
            found[singular] = _record(tables, name, singular)
    if "deals" in tables:
        found["deal_stage"] = _stays(tables)
        found["merged_deal"] = _merged(tables)
    for singular in ("deal", "company", "contact", "ticket"):
        if singular in found and f"{singular}_property_history" in tables:
            found[f"{singular}_property_history"] = _history(tables, singular)
    found |= _pairs(tables, found)
    found |= _engagements(tables, found)
    if "owners" in tables:
        found |= _owners(tables)
    return found | _definitions(tables, found)


def _portal(tables: Tables) -> Column:
    if "account_details" not in tables:
        return ("portal_id", SQL("NULL"), "bigint")
    return (
        "portal_id",
        SQL("(SELECT t.id {} LIMIT 1)").format(tables.rows("account_details")),
        "bigint",
    )


def _number(what: Composable) -> Composable:
    """An id that may be empty."""
    return SQL("nullif({}::text, '')").format(what)


def _record(tables: Tables, table: str, singular: str) -> Shape:
    deals = singular == "deal"
    columns: list[Column] = [
        ("deal_id" if deals else "id", SQL("t.id"), "bigint"),
        _portal(tables),
        ("is_deleted", GONE, "boolean"),
        ("_fivetran_deleted", GONE, "boolean"),
        ("_fivetran_synced", SQL("t.read_at"), "timestamptz"),
    ]
    if deals:
        columns += [
            ("deal_pipeline_id", tables.value(table, "pipeline"), "text"),
            ("deal_pipeline_stage_id", tables.value(table, "dealstage"), "text"),
            ("owner_id", _number(tables.value(table, "hubspot_owner_id")), "bigint"),
        ]
    return Shape(columns + _typed(tables.properties(table, singular)), tables.rows(table))


def _typed(properties: list[Column]) -> list[Column]:
    """Owners are numbers there."""
    return [
        (name, _number(what), "bigint")
        if name == "property_hubspot_owner_id"
        else (name, what, kind)
        for name, what, kind in properties
    ]


def _pipelines(tables: Tables, singular: str) -> dict[str, Shape]:
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


def _stays(tables: Tables) -> Shape:
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
            SQL("coalesce(t.left_at, {})").format(FOR_EVER) if kept else FOR_EVER,
            "timestamptz",
        ),
        ("_fivetran_active", SQL("t.left_at IS NULL" if kept else "true"), "boolean"),
        ("_fivetran_synced", SQL("t.entered_at" if kept else "t.read_at"), "timestamptz"),
    ]
    if kept:
        return Shape(columns, tables.rows("deal_stages"))
    return Shape(columns, SQL("{} AND false").format(tables.rows("deals")))


def _merged(tables: Tables) -> Shape:
    columns: list[Column] = [
        ("deal_id", SQL("t.merged_into"), "bigint"),
        ("merged_deal_id", SQL("t.id"), "bigint"),
        ("_fivetran_synced", SQL("t.read_at"), "timestamptz"),
    ]
    return Shape(columns, SQL("{} AND t.merged_into IS NOT NULL").format(tables.rows("deals")))


def _history(tables: Tables, singular: str) -> Shape:
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


def _together(queries: Sequence[Composable]) -> Composable:
    return SQL("FROM ({}) t").format(SQL(" UNION ALL ").join(queries))


PLURALS = {"deal": "deals", "company": "companies", "contact": "contacts", "ticket": "tickets"}


def _pairs(tables: Tables, found: dict[str, Shape]) -> dict[str, Shape]:
    """Links between records that are no engagements."""
    pairs = (("deal", "company"), ("deal", "contact"), ("ticket", "company"), ("ticket", "contact"))
    made = {}
    for start, end in (*pairs, ("ticket", "deal")):
        links = tables.links(PLURALS[start], PLURALS[end])
        if start == "ticket" and end != "deal":
            links = links or NO_LINKS  # the package cannot do without them
        if start in found and links is not None:
            columns = _link_columns(f"{start}_id", f"{end}_id")
            made[f"{start}_{end}"] = Shape(columns, _together([links]))
    return made


def _engagements(tables: Tables, found: dict[str, Shape]) -> dict[str, Shape]:
    made: dict[str, Shape] = {}
    together = []
    there = {table: name for table, name in ENGAGEMENTS.items() if table in tables}
    for table, name in there.items():
        kind = SQL("{}").format(Literal(name.upper()))
        columns: list[Column] = [
            ("engagement_id", SQL("t.id"), "bigint"),
            ("type", kind, "text"),
            ("_fivetran_deleted", GONE, "boolean"),
            ("_fivetran_synced", SQL("t.read_at"), "timestamptz"),
        ]
        own = _typed(tables.properties(table, name))
        made[f"engagement_{name}"] = Shape(columns + own, tables.rows(table))
        at, owner = (
            tables.value(table, "hs_timestamp", "timestamptz"),
            _number(tables.value(table, "hubspot_owner_id")),
        )
        together.append(
            SQL(
                "SELECT t.id, {} AS type, t.created_at, {}::timestamptz AS at, {} AS owner, "
                "NOT {} AS active, t.read_at {}"
            ).format(kind, at, owner, GONE, tables.rows(table))
        )
    if "ticket" in found:
        links = _known(tables.links("tickets", t) for t in there) or [NO_LINKS]
        columns = _link_columns("ticket_id", "engagement_id")
        made["ticket_engagement"] = Shape(columns, _together(links))
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
            _portal(tables),
            ("_fivetran_synced", SQL("t.read_at"), "timestamptz"),
        ],
        _together(together),
    )
    for end in ("company", "contact", "deal"):
        if links := _known(tables.links(t, PLURALS[end]) for t in there):
            columns = _link_columns("engagement_id", f"{end}_id")
            made[f"engagement_{end}"] = Shape(columns, _together(links))
    return made


def _owners(tables: Tables) -> dict[str, Shape]:
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
                _portal(tables),
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


def _definitions(tables: Tables, found: dict[str, Shape]) -> dict[str, Shape]:
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
            _together(rows),
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
            ).format(_together(rows)),
        ),
    }
