"""Knows the commands: serve, work, migrate, check, keys, tenant, dev."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

import psycopg
from pydantic import TypeAdapter, ValidationError
from service_base.migrations import MigrationChangedError

from scan_service.commands import keys, tenants
from scan_service.commands.keys import say
from scan_service.commands.ready import NotReadyError
from scan_service.errors import ServiceError
from scan_service.guard import auth
from scan_service.guard.vault import VaultError, new_key
from scan_service.ledger.migrations import migrate
from scan_service.ledger.words import Identifier
from scan_service.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; its exit code tells the truth."""
    chosen = _parser().parse_args(arguments)
    try:
        sys.exit(_run(chosen))
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            said = problem["msg"].removeprefix("Value error, ")
            _complain(f"SCAN_SERVICE_{name.removeprefix('SCAN_SERVICE_')}: {said}")
    except (VaultError, NotReadyError, MigrationChangedError, ServiceError) as error:
        _complain(str(error))
    except psycopg.OperationalError:
        # The library's message may hold the URL, and with it the password.
        _complain("The database of SCAN_SERVICE_DATABASE_URL cannot be reached")
    sys.exit(1)


def _complain(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - a command talks to its user


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a number from {least} to {most}")
        return int(text)

    return read


def _tenant(text: str) -> str:
    try:
        return TypeAdapter(Identifier).validate_python(text)
    except ValidationError:
        raise argparse.ArgumentTypeError(
            "must consist of letters, digits, dots, underscores and hyphens, as in `tenantId`"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scan-service", description="Scans HubSpot deals into PostgreSQL, for many tenants."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="answer HTTP requests")
    commands.add_parser("work", help="carry out scans")
    commands.add_parser("migrate", help="bring the database up to this version")
    commands.add_parser("check", help="say whether all is there that server and worker need")
    dev = commands.add_parser(
        "dev", help="serve and work in one process, with a demo tenant and a secret of its own"
    )
    dev.add_argument("--tenant", default="tenant-abc-123", help="the demo tenant")
    dev.add_argument(
        "--token", default="YOUR_HUBSPOT_TOKEN", help="HubSpot token for the lines to try"
    )
    of_keys = commands.add_parser("keys", help="API keys of tenants, and the service's own secret")
    actions = of_keys.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a key; it is shown once")
    create.add_argument("--tenant", type=_tenant, required=True)
    create.add_argument("--name", default="")
    create.add_argument(
        "--permission", action="append", choices=auth.PERMISSIONS, help="default: all three"
    )
    create.add_argument(
        "--days", type=_number(1, 36_500), help="valid for so many days; default: for ever"
    )
    shown = actions.add_parser("list", help="all keys, without what could be used")
    shown.add_argument("--tenant")
    revoke = actions.add_parser("revoke", help="end a key")
    revoke.add_argument("key", help="its id, its hint or itself")
    limit = actions.add_parser("limit", help="how many scans of a tenant may run at once")
    limit.add_argument("--tenant", required=True)
    limit.add_argument("--running", type=_number(1, 100), required=True)
    actions.add_parser("secret", help="a fresh secret for SCAN_SERVICE_SECRET_KEYS")
    actions.add_parser("reseal", help="encrypt all kept tokens with the first secret")
    of_tenants = commands.add_parser("tenant", help="tenants as a whole")
    remove = of_tenants.add_subparsers(dest="action", required=True).add_parser(
        "remove", help="end what runs for a tenant and remove all that is his, for good"
    )
    remove.add_argument("--tenant", type=_tenant, required=True)
    remove.add_argument(
        "--wait", type=_number(0, 3600), default=60, help="seconds to wait for his runs' ends"
    )
    return parser


def _run(chosen: argparse.Namespace) -> int:
    if chosen.command in ("serve", "dev"):
        return _serve(chosen)
    if chosen.command == "keys" and chosen.action == "secret":
        say(new_key())
        return 0
    settings = Settings.load()
    if chosen.command == "migrate":
        applied = asyncio.run(migrate(settings.database_url))
        say(f"{len(applied)} migrations applied" if applied else "up to date")
        return 0
    return asyncio.run(_act(settings, chosen))


def _serve(chosen: argparse.Namespace) -> int:
    from scan_service.commands import boot  # noqa: PLC0415 - takes longer than the others need

    if chosen.command == "dev":
        return boot.dev(chosen.tenant, chosen.token)
    return boot.serve(Settings.load())


async def _act(settings: Settings, chosen: argparse.Namespace) -> int:
    if chosen.command == "work":
        from scan_service.commands.work import work  # noqa: PLC0415 - the same

        return await work(settings)
    if chosen.command == "check":
        from scan_service.commands.check import check  # noqa: PLC0415 - the same

        return await check(settings)
    acts = tenants.act if chosen.command == "tenant" else keys.act
    return await acts(settings, chosen)
