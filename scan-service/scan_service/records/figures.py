"""Knows what a finished scan's deals say about the pipeline: stages, months, and what stalls.

It says how things were when the scan ended. How deals passed through stages it takes from HubSpot's
own times of each stage, where the account has them; histories are another program's subject
(docs/figures.md).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.errors import ForeignKeyViolation

from scan_service.errors import NotFoundError
from scan_service.records.deals import CLOSED, MONEY, WON
from scan_service.records.objects import DEALS, Part, table_of
from scan_service.records.projection import OBJECTS, column, kinds_of, text, unpacked
from scan_service.records.storage import columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service_base.database import Connection

    from scan_service.db import Database

# HubSpot's properties of each stage; the first also exists for the stage that a deal is in.
_ENTERED, _SPENT = "hs_v2_date_entered_", "hs_v2_cumulative_time_in_"
_CURRENT = "current_stage"
_MOST_STALLED = 100
_NOTHING = {
    "stages": [], "months": [], "stalled": [], "passed": {}, "openDeals": 0, "openAmount": 0,
    "stalledDeals": 0, "stalledAmount": 0,
}  # fmt: skip


async def pipeline(db: Database, scan: Mapping[str, Any], part: Part, *, days: int) -> str:
    """Return the figures of a finished scan as JSON text.

    Args:
        db: the database.
        scan: whose deals; they are counted already.
        part: what it reads of deals.
        days: in its stage, after which an open deal counts as stalled.

    Raises:
        NotFoundError: the scan was removed before all was read.
    """
    async with db.tenant(scan["tenant_id"]) as connection:
        kept = [scan["id"], days]
        cursor = await connection.execute(
            "select answer from pipeline_figures where scan = %s and days = %s", kept
        )
        if (row := await cursor.fetchone()) is not None:
            return str(row["answer"])
        answer = await _worked_out(connection, scan, part, days)
        try:
            await connection.execute(
                "insert into pipeline_figures (scan, tenant_id, days, answer)"
                " values (%s, %s, %s, %s) on conflict do nothing",
                [scan["id"], scan["tenant_id"], days, answer],
            )
        except ForeignKeyViolation:  # removed meanwhile: the figures may be those of a part
            raise NotFoundError("Scan not found") from None
        return answer


async def _worked_out(
    connection: Connection, scan: Mapping[str, Any], part: Part, days: int
) -> str:
    present = await columns(connection, table_of(DEALS))
    if not present:
        return json.dumps(_NOTHING)
    deals = unpacked(part, present, scan)
    passed = await _passed(connection, scan, part, present)
    statement = _FIGURES.format(
        name=text("dealname"), pipeline=text("pipeline"), stage=text("dealstage"), money=MONEY,
        won=WON, closed=CLOSED, closedate=text("closedate"),
        current=_either(sql.Literal(_ENTERED + _CURRENT)),
        entered=_either(sql.SQL("({} || {})").format(sql.Literal(_ENTERED), text("dealstage"))),
        archived=column("archived", present), created=column("created_at", present),
        as_of=sql.Literal(scan["completed_at"]), days=sql.Literal(days),
        most=sql.Literal(_MOST_STALLED), deals=deals, passed=sql.Literal(json.dumps(passed)),
    )  # fmt: skip
    row = await (await connection.execute(statement)).fetchone() or {}
    return str(row["text"])


def _either(name: sql.Composable) -> sql.Composable:
    """Return a property as text, whichever of the two objects the tap put it into."""
    return sql.SQL("coalesce(d.custom_properties ->> {0}, d.properties ->> {0})").format(name)


_FIGURES = sql.SQL("""
with deal as materialized (
    select d.id, {name} as name, {pipeline} as pipeline, {stage} as stage, {money} as amount,
        {won} as won, {closed} as closed, {closedate}::timestamptz as closes,
        coalesce({current}, {entered})::timestamptz as entered,
        {created}::timestamptz as created
    {deals} where not coalesce({archived}, false)
), stay as (
    select *, coalesce(entered, created) as since,
        extract(epoch from {as_of}::timestamptz - coalesce(entered, created)) / 86400 as days
    from deal where not closed
)
select json_build_object(
    'stages', (select coalesce(json_agg(to_jsonb(each) - 'place' order by pipeline, place, stage),
        '[]') from (
        select pipeline, stage, closed, won, count(*) as deals, coalesce(sum(amount), 0) as amount,
            min(created) as place from deal group by pipeline, stage, closed, won) as each),
    'months', (select coalesce(json_agg(each order by month), '[]') from (
        select to_char(closes at time zone 'UTC', 'YYYY-MM') as month,
            count(*) filter (where won) as "wonDeals",
            coalesce(sum(amount) filter (where won), 0) as "wonAmount",
            count(*) filter (where not closed) as "openDeals",
            coalesce(sum(amount) filter (where not closed), 0) as "openAmount"
        from deal where closes between {as_of}::timestamptz - interval '18 months'
            and {as_of}::timestamptz + interval '12 months' group by 1) as each),
    'stalled', (select coalesce(json_agg(each order by amount desc nulls last, id), '[]') from (
        select id, name, pipeline, stage, amount, round(days, 1) as days,
            case when entered is null then 'created' else 'stage' end as by
        from stay where stay.days > {days}
        order by amount desc nulls last, id limit {most}) as each),
    'openDeals', (select count(*) from stay),
    'openAmount', (select coalesce(sum(amount), 0) from stay),
    'stalledDeals', (select count(*) from stay where days > {days}),
    'stalledAmount', (select coalesce(sum(amount), 0) from stay where days > {days}),
    'passed', {passed}::json)::text as text
""")


async def _passed(
    connection: Connection, scan: Mapping[str, Any], part: Part, present: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return how many deals ever entered each stage, and how long they stayed on average."""
    known = {name for of in OBJECTS for name in kinds_of(scan, part, of)}
    stages = sorted(
        name.removeprefix(_ENTERED)
        for name in known
        if name.startswith(_ENTERED) and name != _ENTERED + _CURRENT
    )
    if not stages:
        return {}
    chosen = sql.SQL(", ").join(
        sql.SQL("count({}), avg({}::numeric) / 1000").format(
            _either(sql.Literal(_ENTERED + stage)), _either(sql.Literal(_SPENT + stage))
        )
        for stage in stages
    )
    statement = sql.SQL(
        "select array[{}]::numeric[] as found {} where not coalesce({}, false)"
    ).format(chosen, unpacked(part, present, scan), column("archived", present))
    row = await (await connection.execute(statement)).fetchone() or {}
    numbers = row["found"]
    return {
        stage: {
            "deals": int(numbers[2 * place]),
            "averageSeconds": None
            if numbers[2 * place + 1] is None
            else round(float(numbers[2 * place + 1])),
        }
        for place, stage in enumerate(stages)
    }
