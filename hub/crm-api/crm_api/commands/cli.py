"""Knows the commands: serve, migrate, setup, users, secret, dev."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from typing import TYPE_CHECKING

import psycopg
from pydantic import ValidationError
from pydantic_settings import SettingsError
from service_base.migrations import MigrationChangedError

from crm_api.commands import boot, people
from crm_api.commands.people import say
from crm_api.errors import ApiError
from crm_api.guard.tokens import KeyRefusedError
from crm_api.ledger.migrations import migrate
from crm_api.settings import PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; its exit code tells the truth."""
    chosen = _parser().parse_args(arguments)
    try:
        sys.exit(_run(chosen))
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            said = problem["msg"].removeprefix("Value error, ")
            _complain(f"{PREFIX}{name.removeprefix(PREFIX)}: {said}" if name else said)
    except SettingsError:
        _complain(f"{PREFIX}TICKET_CATEGORIES must be a JSON object")
    except (KeyRefusedError, boot.NotReadyError, MigrationChangedError, ApiError) as error:
        _complain(str(error))
    except psycopg.OperationalError:
        # The library's message may hold the URL, and with it the password.
        _complain("The database of CRM_API_DATABASE_URL cannot be reached")
    sys.exit(1)


def _complain(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - a command talks to its user


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crm-api", description="Register, log in, deals and tickets, for users of a HubSpot."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="answer HTTP requests")
    commands.add_parser("migrate", help="bring the database up to this version")
    commands.add_parser("setup", help="make the property in HubSpot that keeps creates single")
    commands.add_parser("secret", help="a fresh key for CRM_API_SECRET_KEYS")
    commands.add_parser(
        "dev", help="migrate, set up and serve with a secret of its own; prints lines to try"
    )
    of_users = commands.add_parser("users", help="the accounts")
    actions = of_users.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="all accounts")
    for name, told in (
        ("lock", "end its tokens and let it log in no more"),
        ("unlock", "let it log in again"),
        ("reset", "give it a new password, which is shown once, and end its tokens"),
        ("remove", "delete it; what it made in HubSpot stays"),
    ):
        actions.add_parser(name, help=told).add_argument("email")
    return parser


def _run(chosen: argparse.Namespace) -> int:
    if chosen.command == "secret":
        say(secrets.token_urlsafe(32))
        return 0
    if chosen.command == "dev":
        return boot.dev()
    settings = Settings.load()
    if chosen.command == "serve":
        return boot.serve(settings)
    if chosen.command == "setup":
        return asyncio.run(boot.set_up(settings))
    if chosen.command == "migrate":
        applied = asyncio.run(migrate(settings.database_url))
        say(f"{len(applied)} migrations applied" if applied else "up to date")
        return 0
    return asyncio.run(people.act(settings, chosen.action, getattr(chosen, "email", "")))
