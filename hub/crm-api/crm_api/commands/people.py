"""Knows the commands about accounts."""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING

from crm_api.db import PLACE
from crm_api.door.models import address
from crm_api.ledger import users

if TYPE_CHECKING:
    from crm_api.settings import Settings

_LENGTH = 16


def say(text: str) -> None:
    """Tell the one who gave the command."""
    print(text)  # noqa: T201 - a command talks to its user


async def act(settings: Settings, action: str, email: str) -> int:
    """Carry out one action of `users`; return the exit code."""
    async with await PLACE.connect(settings.database_url) as connection:
        if action == "list":
            for row in await users.listed(connection):
                say(
                    f"{row['id']}  {row['email']}  contact {row['contact_id'] or '-'}"
                    f"  {row['state']}  since {row['created_at']:%Y-%m-%d}"
                )
            return 0
        try:
            email = address(email)
        except ValueError:
            say("there is no such account")
            return 1
        if action == "reset":
            password = _password()
            passwords = settings.passwords()
            try:
                done = await users.reset(connection, email, await passwords.hash(password))
            finally:
                passwords.close()
            said = password
        elif action == "remove":
            done, said = await users.remove(connection, email), "removed"
        else:
            done = await users.lock(connection, email, locked=action == "lock")
            said = f"{action}ed"
        say(said if done else "there is no such account")
        return 0 if done else 1


def _password() -> str:
    """Return one that keeps the rule for new passwords."""
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(_LENGTH)) + "aA1"
