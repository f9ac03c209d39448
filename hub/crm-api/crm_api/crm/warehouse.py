"""Knows how contacts with their deals and tickets are read from the tables of a run: one statement.

What users made here and no run has read yet is added from our own tables.
"""

from __future__ import annotations

import time
from datetime import UTC
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from crm_api.crm.listing import LARGEST_ID, Page
from crm_api.errors import UnavailableError

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool
    from service_base.database import Connection

    from crm_api.settings import Settings

_AS_OF_SECONDS = 30.0
MISSING = "The tables of the warehouse are missing: run `meltano run hubspot-all` first"
# A moment as HubSpot writes it: with milliseconds, unless they are none.
_MOMENT = (
    "replace(to_char({} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), '.000Z', 'Z')"
)
_READ = """
with page as (
    select id, row_to_json(shown) as shown from (
        select c.id::bigint as id, {contact_createdate} as createdate, c.email, c.firstname,
            c.id as hs_object_id, {lastmodifieddate} as lastmodifieddate, c.lastname
        from {schema}.contacts as c
        where c._tenant_id = %(tenant)s and c.removed_at is null and not coalesce(c.archived, false)
            and c.merged_into is null and c.id::bigint >= %(cursor)s
            and (%(only)s::text is null or c.id = %(only)s)
        union all
        select u.contact_id::bigint, {user_created}, u.email, u.firstname, u.contact_id,
            {user_created}, u.lastname
        from user_account as u
        where u.contact_id is not null and u.contact_id::bigint >= %(cursor)s
            and (%(only)s::text is null or u.contact_id = %(only)s)
            and not exists (select from {schema}.contacts as c
                where c._tenant_id = %(tenant)s and c.id = u.contact_id)
    ) as shown order by id limit %(limit)s + 1
), link as (
    select l.from_id as deal_id, l.to_id as contact_id from {schema}.current_associations as l
    where l._tenant_id = %(tenant)s and l.from_object_type = 'deals'
        and l.to_object_type = 'contacts' and l.to_id in (select id::text from page)
    union
    select deal_id, contact_id from deal where contact_id in (select id::text from page)
), deals as (
    select d.id, {amount} as amount, {closedate} as closedate, {deal_createdate} as createdate,
        d.dealname, d.dealstage, {deal_modified} as hs_lastmodifieddate, d.id as hs_object_id,
        d.pipeline
    from {schema}.deals as d
    where d._tenant_id = %(tenant)s and d.removed_at is null and not coalesce(d.archived, false)
        and d.merged_into is null and d.id in (select deal_id from link)
    union all
    select o.deal_id, shown ->> 'amount', shown ->> 'closedate', shown ->> 'createdate',
        shown ->> 'dealname', shown ->> 'dealstage', shown ->> 'hs_lastmodifieddate', o.deal_id,
        shown ->> 'pipeline'
    from deal as o where o.deal_id in (select deal_id from link)
        and not exists (select from {schema}.deals as d
            where d._tenant_id = %(tenant)s and d.id = o.deal_id)
), ticket_link as (
    select l.from_id as deal_id, l.to_id as ticket_id from {schema}.current_associations as l
    where l._tenant_id = %(tenant)s and l.from_object_type = 'deals'
        and l.to_object_type = 'tickets' and l.from_id in (select id from deals)
    union
    select deal_id, ticket_id from ticket where deal_id in (select id from deals)
), tickets as (
    select t.id, coalesce(own.category, {category}) as category, {ticket_createdate} as createdate,
        t.content as description, {ticket_modified} as hs_lastmodifieddate, t.id as hs_object_id,
        t.hs_pipeline_stage, t.hs_ticket_priority, t.hs_pipeline as pipeline, t.subject
    from {schema}.tickets as t left join ticket as own on own.ticket_id = t.id
    where t._tenant_id = %(tenant)s and t.removed_at is null and not coalesce(t.archived, false)
        and t.merged_into is null and t.id in (select ticket_id from ticket_link)
    union all
    select o.ticket_id, o.category, shown ->> 'createdate', shown ->> 'description',
        shown ->> 'hs_lastmodifieddate', o.ticket_id, shown ->> 'hs_pipeline_stage',
        shown ->> 'hs_ticket_priority', shown ->> 'pipeline', shown ->> 'subject'
    from ticket as o where o.ticket_id in (select ticket_id from ticket_link)
        and not exists (select from {schema}.tickets as t
            where t._tenant_id = %(tenant)s and t.id = o.ticket_id)
)
select (select coalesce(json_agg(shown order by id), '[]') from page) as contacts,
    (select coalesce(json_agg(json_build_array(contact_id, deal_id)), '[]') from link) as links,
    (select coalesce(json_agg(deals order by id::bigint), '[]') from deals) as deals,
    (select coalesce(json_agg(json_build_array(deal_id, ticket_id)), '[]') from ticket_link)
        as ticket_links,
    (select coalesce(json_agg(tickets order by id::bigint), '[]') from tickets) as tickets,
    case when %(asks)s then (select max(read_at) from {schema}.contacts
        where _tenant_id = %(tenant)s) end as as_of
"""
# A multi-select is a list there, and `A;B` in HubSpot's words.
_CATEGORY = """coalesce(t.custom_properties ->> 'category',
        case jsonb_typeof(to_jsonb(t.hs_ticket_category)) when 'array' then
            (select nullif(string_agg(each, ';'), '')
                from jsonb_array_elements_text(to_jsonb(t.hs_ticket_category)) as each)
        else to_jsonb(t.hs_ticket_category) #>> '{}' end)"""


def _statement(schema: str) -> sql.Composed:
    def moment(column: str) -> sql.Composed:
        return sql.SQL(_MOMENT).format(sql.SQL(column))

    return sql.SQL(_READ).format(
        schema=sql.Identifier(schema),
        contact_createdate=moment("c.createdate"),
        lastmodifieddate=moment("c.lastmodifieddate"),
        user_created=moment("u.created_at"),
        amount=sql.SQL("coalesce(d.amount::text, d.unparsed_properties ->> 'amount')"),
        closedate=moment("d.closedate"),
        deal_createdate=moment("d.createdate"),
        deal_modified=moment("d.hs_lastmodifieddate"),
        category=sql.SQL(_CATEGORY),
        ticket_createdate=moment("t.createdate"),
        ticket_modified=moment("t.hs_lastmodifieddate"),
    )


class Warehouse:
    """The tables that the tap and the target of a run filled.

    Args:
        settings: Which schema, and whose rows.
        pool: Of the database that holds them beside our own.
    """

    def __init__(self, settings: Settings, pool: AsyncConnectionPool[Connection]) -> None:
        self._tenant_id = settings.tenant_id
        self._statement = _statement(settings.warehouse_schema)
        self._pool = pool
        self._as_of: str | None = None
        self._asked_at = -_AS_OF_SECONDS

    async def read(
        self, *, limit: int, cursor: str | None, only: str | None
    ) -> tuple[Page, str | None]:
        """Read a page, with the arguments of `listing.read`; nothing is asked of HubSpot.

        Returns:
            The page, and the moment of the newest row of contacts, known for half a minute.

        Raises:
            UnavailableError: There are no such tables yet.
        """
        start = int(cursor or 0)
        if start > LARGEST_ID:
            return Page([], None), self._as_of
        asks = time.monotonic() - self._asked_at >= _AS_OF_SECONDS
        values = {
            "tenant": self._tenant_id, "cursor": start, "only": only, "limit": limit, "asks": asks
        }  # fmt: skip
        try:
            async with self._pool.connection() as connection:
                row = await (await connection.execute(self._statement, values)).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            raise UnavailableError(MISSING) from None
        if row is None:
            raise LookupError("the statement returned no row")
        if asks:
            moment = row["as_of"]
            self._as_of = moment and moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
            self._asked_at = time.monotonic()
        return _page(row, limit), self._as_of


def _page(row: dict[str, Any], limit: int) -> Page:
    tickets = {each["id"]: _unset(each) for each in row["tickets"]}
    deals = {each["id"]: {**_unset(each), "tickets": []} for each in row["deals"]}
    for deal_id, ticket_id in sorted(row["ticket_links"], key=_place):
        if deal_id in deals and ticket_id in tickets:
            deals[deal_id]["tickets"].append(tickets[ticket_id])
    found = {each["id"]: {**each, "deals": []} for each in _named(row["contacts"][:limit])}
    for contact_id, deal_id in sorted(row["links"], key=_place):
        if contact_id in found and deal_id in deals:
            found[contact_id]["deals"].append(deals[deal_id])
    more = row["contacts"][limit:]
    return Page(list(found.values()), more[0]["hs_object_id"] if more else None)


def _named(contacts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**_unset(each), "id": each["hs_object_id"]} for each in contacts]


def _unset(record: dict[str, Any]) -> dict[str, Any]:
    """What was cleared is an empty text; it is unset like what never was."""
    return {name: value or None for name, value in record.items()}


def _place(link: list[str]) -> tuple[int, int]:
    return int(link[0]), int(link[1])
