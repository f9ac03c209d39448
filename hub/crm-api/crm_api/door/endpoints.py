"""Knows the operations of the API: what each takes, does and answers.

Each gets a caller who may ask now; the door (`app.py`) has seen to that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from service_base import bodies
from service_base.bodies import BodyError
from starlette.responses import JSONResponse, Response

from crm_api.crm import contacts, deals, listing, tickets
from crm_api.door.models import (
    CreateDeal,
    CreateTicket,
    ListQuery,
    Login,
    PipelinesQuery,
    Register,
    read_body,
    read_query,
)
from crm_api.door.once import make_once
from crm_api.errors import (
    ExistingUserError,
    InvalidCredentialsError,
    NotFoundError,
    ValidationFailedError,
)
from crm_api.guard import limits
from crm_api.guard.tokens import Claims
from crm_api.ledger import users, written

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool
    from service_base.database import Connection
    from starlette.requests import Request

    from crm_api.crm.catalog import Catalog
    from crm_api.crm.talk import HubSpot
    from crm_api.crm.warehouse import Warehouse
    from crm_api.door.once import Make, Note
    from crm_api.guard.passwords import Passwords
    from crm_api.guard.tokens import Tokens
    from crm_api.ledger.users import User
    from crm_api.settings import Settings

LARGEST_BODY = 64 * 1024
_LONGEST_ID = 20


@dataclass(frozen=True)
class Api:
    """What the operations work with."""

    settings: Settings
    pool: AsyncConnectionPool[Connection]
    hubspot: HubSpot
    catalog: Catalog
    warehouse: Warehouse
    passwords: Passwords
    tokens: Tokens


async def register(api: Api, request: Request) -> Response:
    """POST /api/register."""
    settings = api.settings
    if settings.registration == "closed":
        raise NotFoundError
    asked = read_body(Register, await _body(request))
    person = asked.model_dump(exclude={"password"})
    async with api.pool.connection() as connection:
        await limits.take(connection, "register", asked.email, settings.login_rate_limit)
    password_hash = await api.passwords.hash(asked.password)
    async with api.pool.connection() as connection:
        begun = await users.begin(
            connection, person, password_hash=password_hash, stale_seconds=settings.pending_seconds
        )
    if begun is None:
        raise ExistingUserError
    try:
        saved = await api.hubspot.ask(
            lambda talk: contacts.save(talk, person, settings.existing_contacts)
        )
    except BaseException:
        # Whatever HubSpot did: nothing is promised, and the same registration goes through later.
        async with api.pool.connection() as connection:
            await users.give_up(connection, begun)
        raise
    async with api.pool.connection() as connection:
        if not await users.complete(connection, begun, saved.id):
            raise ExistingUserError
    contact = {**saved.properties, "id": saved.id}
    return JSONResponse(
        {"message": "User registered successfully", "data": {"contact": contact}}, status_code=201
    )


async def login(api: Api, request: Request) -> Response:
    """POST /api/login."""
    asked = read_body(Login, await _body(request))
    async with api.pool.connection() as connection:
        await limits.take(connection, "login", asked.email, api.settings.login_rate_limit)
        known = await users.credentials(connection, asked.email)
    kept = known["password_hash"] if known else None
    if not await api.passwords.verify(kept, asked.password) or known is None:
        raise InvalidCredentialsError
    if api.passwords.is_outdated(known["password_hash"]):
        fresh = await api.passwords.hash(asked.password)
        async with api.pool.connection() as connection:
            await users.rehash(connection, known["id"], known["password_hash"], fresh)
    token = api.tokens.issue(Claims(known["id"], known["token_version"]))
    return JSONResponse(
        {"message": "User authenticated successfully", "data": {"access_token": token}}
    )


async def list_contacts(api: Api, request: Request, user: User) -> Response:
    """GET /api/new-crm-objects."""
    query = read_query(ListQuery, request.query_params)
    only = user if api.settings.contacts == "own" else None
    headers = {}
    if api.settings.reads == "warehouse":
        contact_id = None if only is None else only.contact_id
        page, as_of = await api.warehouse.read(
            limit=query.limit, cursor=query.cursor, only=contact_id
        )
        if as_of is not None:
            headers["X-Data-As-Of"] = as_of
    else:
        page = await api.hubspot.ask(
            lambda talk: listing.read(talk, limit=query.limit, cursor=query.cursor, only=only)
        )
        if only is not None and page.contacts and page.contacts[0]["id"] != only.contact_id:
            async with api.pool.connection() as connection:
                await users.move(connection, only.id, page.contacts[0]["id"])
        if ids := listing.ticket_ids(page):
            async with api.pool.connection() as connection:
                listing.name_categories(page, await written.categories(connection, ids))
    data = {"contacts": page.contacts, "next_after": page.next_after}
    return JSONResponse(
        {"message": "Contacts retrieved successfully", "data": {"data": data}}, headers=headers
    )


async def list_pipelines(api: Api, request: Request, user: User) -> Response:  # noqa: ARG001
    """GET /api/pipelines."""
    kind = read_query(PipelinesQuery, request.query_params).kind
    found = await api.hubspot.ask(lambda talk: api.catalog.pipelines(talk, kind))
    listed = [
        {
            "id": each.id,
            "label": each.label,
            "stages": [
                {"id": stage.id, "label": stage.label, "display_order": stage.display_order}
                for stage in sorted(each.stages, key=lambda stage: stage.display_order)
                if not stage.archived
            ],
        }
        for each in found
    ]
    return JSONResponse(
        {"message": f"Pipeline {kind} retrieved successfully", "data": {"data": listed}}
    )


async def create_deal(api: Api, request: Request, user: User) -> Response:
    """POST /api/deals."""

    async def make(body: bytes, key: str) -> tuple[dict[str, Any], Note]:
        values = read_body(CreateDeal, body).values()
        made = await api.hubspot.ask(
            lambda talk: deals.create(talk, api.catalog, user, values, key=key)
        )
        record = made.record
        data = {**values, **record.properties, "id": record.id}
        shown = {**{name: data.get(name) for name in deals.SHOWN}, "hs_object_id": record.id}

        async def note(connection: Connection) -> None:
            if made.contact_id != user.contact_id:
                await users.move(connection, user.id, made.contact_id)
            await written.note_deal(
                connection, record.id, user_id=user.id, contact_id=made.contact_id, shown=shown
            )

        return {"message": "Deal created successfully", "data": _own(record.properties, data)}, note

    return await _once(api, request, user, make)


async def create_ticket(api: Api, request: Request, user: User) -> Response:
    """POST /api/tickets/{deal_id}."""
    deal_id = str(request.path_params["deal_id"])
    is_id = deal_id.isascii() and deal_id.isdecimal() and len(deal_id) <= _LONGEST_ID
    if not is_id or not 0 < int(deal_id) <= listing.LARGEST_ID:
        raise NotFoundError
    deal_id = str(int(deal_id))
    async with api.pool.connection() as connection:
        owned = await written.owns(connection, user.id, deal_id)
    if not owned:
        contact_id = await api.hubspot.ask(lambda talk: deals.contact_of(talk, deal_id, user))
        if contact_id is None:
            raise NotFoundError
        if contact_id != user.contact_id:
            async with api.pool.connection() as connection:
                await users.move(connection, user.id, contact_id)
            user = replace(user, contact_id=contact_id)

    async def make(body: bytes, key: str) -> tuple[dict[str, Any], Note]:
        values = read_body(CreateTicket, body).values()
        record = await api.hubspot.ask(
            lambda talk: tickets.create(
                talk, api.catalog, user, deal_id, values,
                categories=api.settings.ticket_categories, key=key,
            )
        )  # fmt: skip
        properties = record.properties
        shown = tickets.shown(properties, record.id, values["category"])
        data = {
            **_own(properties, {**properties, "id": record.id}),
            "category": values["category"],
            "description": properties.get("content", values["description"]),
            "pipeline": properties.get("hs_pipeline", values["pipeline"]),
        }

        async def note(connection: Connection) -> None:
            await written.note_ticket(
                connection, record.id,
                user_id=user.id, deal_id=deal_id, category=values["category"], shown=shown,
            )  # fmt: skip

        return {"message": "Ticket created successfully", "data": data}, note

    return await _once(api, request, user, make)


def _own(properties: dict[str, str | None], data: dict[str, Any]) -> dict[str, Any]:
    """Return what HubSpot answered, but our own key in it."""
    names = {*properties, "id"} - {"crm_api_key"}
    return {name: data[name] for name in sorted(names)}


async def _once(api: Api, request: Request, user: User, make: Make) -> Response:
    seconds = api.settings.hubspot_seconds
    body = await _body(request)
    return await make_once(api.pool, request, body, make, user_id=user.id, seconds=seconds)


async def _body(request: Request) -> bytes:
    try:
        return await bodies.read_json(request, most=LARGEST_BODY)
    except BodyError as error:
        problem = (
            "must be 64 KiB at the most"
            if error.status == bodies.TOO_LARGE
            else "must be application/json"
        )
        raise ValidationFailedError(status=error.status, details={"body": [problem]}) from None
