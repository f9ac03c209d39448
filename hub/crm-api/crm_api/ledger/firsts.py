"""Knows first answers: a request that comes again under its key gets the same one."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from crm_api.errors import UnavailableError, ValidationFailedError

if TYPE_CHECKING:
    from service_base.database import Connection

HEADER = "Idempotency-Key"
_KEPT_HOURS = 24
# One statement: of two requests at the same time one begins, the other sees that it did.
_BEGIN = """
insert into answer as kept (user_id, key, fingerprint, request_key, busy_until)
values (%(user)s, %(key)s, %(fingerprint)s, %(fresh)s, now() + make_interval(secs => %(busy)s))
on conflict (user_id, key) do update set
    fingerprint = excluded.fingerprint, busy_until = excluded.busy_until,
    request_key = case when kept.at < now() - make_interval(hours => %(hours)s)
        then excluded.request_key else kept.request_key end,
    status = case when kept.at < now() - make_interval(hours => %(hours)s)
        then null else kept.status end,
    at = case when kept.at < now() - make_interval(hours => %(hours)s)
        then now() else kept.at end
where kept.at < now() - make_interval(hours => %(hours)s)
    or (kept.fingerprint = excluded.fingerprint and kept.status is null
        and kept.busy_until < now())
returning request_key
"""


@dataclass(frozen=True)
class First:
    """A request under a key, or without one.

    Args:
        request_key: What its record is called in HubSpot's unique property.
        key: The client's; None without.
        answer: Status and body, where it was answered before.
    """

    request_key: uuid.UUID
    key: str | None = None
    answer: tuple[int, Any] | None = None


async def begin(
    connection: Connection,
    user_id: int,
    key: str | None,
    *,
    path: str,
    body: bytes,
    busy_seconds: float,
) -> First:
    """Begin a request, or find that it was answered.

    Args:
        connection: Of the ledger.
        user_id: Whose.
        key: The client's; None without.
        path: What is asked.
        body: The same.
        busy_seconds: After which a request whose process said nothing counts as dead.

    Raises:
        ValidationFailedError: The key was used for something else.
        UnavailableError: The first one is still at work.
    """
    fresh = uuid.uuid4()
    if key is None:
        return First(fresh)
    fingerprint = hashlib.sha256(path.encode() + b"\0" + body).digest()
    values = {
        "user": user_id, "key": key, "fingerprint": fingerprint, "fresh": fresh,
        "busy": busy_seconds, "hours": _KEPT_HOURS,
    }  # fmt: skip
    row = await (await connection.execute(_BEGIN, values)).fetchone()
    if row is not None:
        return First(row["request_key"], key)
    cursor = await connection.execute(
        "select fingerprint, request_key, status, body from answer where user_id = %s and key = %s",
        [user_id, key],
    )
    kept = await cursor.fetchone()
    if kept is not None and bytes(kept["fingerprint"]) != fingerprint:
        raise ValidationFailedError.field(HEADER, "was used for another request")
    if kept is None or kept["status"] is None:
        raise UnavailableError("The first request with this Idempotency-Key is at work", wait=1)
    return First(kept["request_key"], key, (kept["status"], kept["body"]))


async def keep(
    connection: Connection, user_id: int, first: First, *, status: int, body: Any
) -> None:
    """Keep an answer for whoever asks again."""
    if first.key is not None:
        await connection.execute(
            "update answer set status = %s, body = %s where user_id = %s and key = %s",
            [status, Jsonb(body), user_id, first.key],
        )


async def release(connection: Connection, user_id: int, first: First) -> None:
    """Let the same request try again at once."""
    if first.key is not None:
        await connection.execute(
            "update answer set busy_until = now() - interval '1 second'"
            " where user_id = %s and key = %s and status is null",
            [user_id, first.key],
        )


async def forget(connection: Connection) -> None:
    """Remove what is kept for longer than a day."""
    await connection.execute(
        "delete from answer where at < now() - make_interval(hours => %s)", [_KEPT_HOURS]
    )
