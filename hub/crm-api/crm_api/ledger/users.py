"""Knows the accounts: registering, finding, locking and removing them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service_base.database import Connection

# A registration that never ended counts as none after a while: its process died.
_BEGIN = """
insert into user_account (email, firstname, lastname, phone, password_hash, attempt)
values (%(email)s, %(firstname)s, %(lastname)s, %(phone)s, %(password_hash)s, %(attempt)s)
on conflict (email) do update set
    firstname = excluded.firstname, lastname = excluded.lastname, phone = excluded.phone,
    password_hash = excluded.password_hash, attempt = excluded.attempt, updated_at = now()
where user_account.state = 'pending'
    and user_account.updated_at < now() - make_interval(secs => %(stale)s)
returning id
"""


@dataclass(frozen=True)
class User:
    """An account that may ask."""

    id: int
    email: str
    contact_id: str
    token_version: int


@dataclass(frozen=True)
class Registration:
    """A registration that is still open: it ends as an account, or as nothing."""

    user_id: int
    attempt: uuid.UUID


async def begin(
    connection: Connection, person: dict[str, str], *, password_hash: str, stale_seconds: int
) -> Registration | None:
    """Reserve an address; None where somebody has it."""
    attempt = uuid.uuid4()
    values = {
        **person, "password_hash": password_hash, "attempt": attempt, "stale": stale_seconds
    }  # fmt: skip
    row = await (await connection.execute(_BEGIN, values)).fetchone()
    return None if row is None else Registration(row["id"], attempt)


async def complete(connection: Connection, registration: Registration, contact_id: str) -> bool:
    """Make the account; False where another registration has taken its place."""
    cursor = await connection.execute(
        "update user_account set state = 'active', contact_id = %s, updated_at = now()"
        " where id = %s and attempt = %s and state = 'pending'",
        [contact_id, registration.user_id, registration.attempt],
    )
    return cursor.rowcount == 1


async def give_up(connection: Connection, registration: Registration) -> None:
    """Leave nothing of a registration."""
    await connection.execute(
        "delete from user_account where id = %s and attempt = %s and state = 'pending'",
        [registration.user_id, registration.attempt],
    )


async def credentials(connection: Connection, email: str) -> dict[str, Any] | None:
    """Return id, hash and token version of an account that may log in."""
    cursor = await connection.execute(
        "select id, password_hash, token_version from user_account"
        " where email = %s and state = 'active'",
        [email],
    )
    return await cursor.fetchone()


async def find(connection: Connection, user_id: int, version: int) -> User | None:
    """Return the account that a token of this version belongs to."""
    cursor = await connection.execute(
        "select id, email, contact_id, token_version from user_account"
        " where id = %s and token_version = %s and state = 'active'",
        [user_id, version],
    )
    row = await cursor.fetchone()
    return None if row is None else User(**row)


async def move(connection: Connection, user_id: int, contact_id: str) -> None:
    """Note that a user's contact is another one now: HubSpot merged it."""
    await connection.execute(
        "update user_account set contact_id = %s, updated_at = now() where id = %s",
        [contact_id, user_id],
    )


async def rehash(connection: Connection, user_id: int, old: str, new: str) -> None:
    """Replace a hash by one of the same password."""
    await connection.execute(
        "update user_account set password_hash = %s where id = %s and password_hash = %s",
        [new, user_id, old],
    )


async def listed(connection: Connection) -> list[dict[str, Any]]:
    """Return all accounts, without anything that could be used."""
    cursor = await connection.execute(
        "select id, email, contact_id, state, created_at from user_account order by id"
    )
    return await cursor.fetchall()


async def lock(connection: Connection, email: str, *, locked: bool = True) -> bool:
    """Lock an account, or unlock it; its tokens are worthless from now on."""
    states = ("active", "locked") if locked else ("locked", "active")
    cursor = await connection.execute(
        "update user_account set state = %s, token_version = token_version + 1, updated_at = now()"
        " where email = %s and state = %s",
        [states[1], email, states[0]],
    )
    return cursor.rowcount == 1


async def reset(connection: Connection, email: str, password_hash: str) -> bool:
    """Give an account a new password; its tokens are worthless from now on."""
    cursor = await connection.execute(
        "update user_account set password_hash = %s, token_version = token_version + 1,"
        " updated_at = now() where email = %s and state <> 'pending'",
        [password_hash, email],
    )
    return cursor.rowcount == 1


async def remove(connection: Connection, email: str) -> bool:
    """Remove an account; what it made in HubSpot stays there."""
    cursor = await connection.execute("delete from user_account where email = %s", [email])
    return cursor.rowcount == 1
