"""Knows how a record is made once, however often the same request comes under its key."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from service_base.database import AWAY
from service_base.logs import logger
from starlette.responses import JSONResponse, Response

from crm_api.door.models import LONGEST_KEY
from crm_api.errors import OutcomeUnknownError, ValidationFailedError
from crm_api.ledger import firsts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from psycopg_pool import AsyncConnectionPool
    from service_base.database import Connection
    from starlette.requests import Request

    Note = Callable[[Connection], Awaitable[None]]
    Make = Callable[[bytes, str], Awaitable[tuple[dict[str, Any], Note]]]

_log = logger(__name__)
_BUSY_MARGIN = 15.0
"""Seconds that a request may need besides HubSpot's: its body, the database."""


async def make_once(
    pool: AsyncConnectionPool[Connection],
    request: Request,
    body: bytes,
    make: Make,
    *,
    user_id: int,
    seconds: float,
) -> Response:
    """Make a record, or give the first answer again.

    Args:
        pool: Of the ledger.
        request: With an `Idempotency-Key`, perhaps.
        body: Of it.
        make: Takes the body and the record's key, gives the answer and what is to be noted of it.
        user_id: Who asks.
        seconds: That `make` may take.
    """
    key = _key(request)
    async with pool.connection() as connection:
        first = await firsts.begin(
            connection, user_id, key, path=request.url.path, body=body,
            busy_seconds=seconds + _BUSY_MARGIN,
        )  # fmt: skip
    if first.answer is not None:
        status, kept = first.answer
        headers = {"Retry-After": "5"} if status == OutcomeUnknownError.status else {}
        return JSONResponse(kept, status_code=status, headers=headers)
    try:
        answer, note = await make(body, first.request_key.hex)
    except BaseException as error:
        # Where the database is away too, the client still hears what became of HubSpot's part.
        with contextlib.suppress(*AWAY):
            async with pool.connection() as connection:
                if isinstance(error, OutcomeUnknownError) and not error.is_findable:
                    # Another try could make a second record: it is told the same.
                    kept = error.body()
                    await firsts.keep(connection, user_id, first, status=error.status, body=kept)
                else:
                    await firsts.release(connection, user_id, first)
        raise
    try:
        async with pool.connection() as connection:
            await note(connection)
            await firsts.keep(connection, user_id, first, status=201, body=answer)
    except AWAY as error:
        # It is made, and linked to its user in HubSpot: `try again` would make a second one.
        _log.error("made, but not noted", id=answer["data"]["id"], reason=type(error).__name__)
    return JSONResponse(answer, status_code=201)


def _key(request: Request) -> str | None:
    name = request.headers.get(firsts.HEADER)
    if name is not None and not (
        0 < len(name) <= LONGEST_KEY and name.isascii() and name.isprintable()
    ):
        raise ValidationFailedError.field(
            firsts.HEADER, f"must have 1 to {LONGEST_KEY} printable characters of ASCII"
        )
    return name
