"""Knows what must be true before anything starts, and says of each whether it is."""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from service_base.migrations import MigrationChangedError

from scan_service.commands.keys import SEALED, say
from scan_service.db import LOADER, RESULTS, become, connect
from scan_service.door.hubspot import HubSpot
from scan_service.guard.vault import Vault, VaultError
from scan_service.ledger.migrations import pending
from scan_service.pipeline.folders import prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from service_base.database import Connection

    from scan_service.settings import Settings

_OLDEST_POSTGRESQL = 14
_MOST_SECONDS_APART = 30


class Fault(Exception):  # noqa: N818 - what a check finds is no error of ours
    """Something is not as it must be; the message says what, and what to do."""


async def check(settings: Settings) -> int:
    """Look at all that server and worker need, and print a line for each; return the exit code.

    Nothing is written: what is tried in the database is taken back.
    """
    steps: dict[str, Callable[[Settings], Awaitable[str]]] = {
        "database": _database,
        "rights": _rights,
        "migrations": _migrations,
        "loaders": _loaders,
        "clock": _clock,
        "secret keys": _secrets,
        "meltano": _meltano,
        "run directory": _run_directory,
        "HubSpot": _hubspot,
    }
    faults = 0
    for name, step in steps.items():
        try:
            said = f"ok       {name}: {await step(settings)}"
        except Fault as fault:
            said, faults = f"FAULT    {name}: {fault}", faults + 1
        except MigrationChangedError as error:
            said, faults = f"FAULT    {name}: {error}", faults + 1
        except psycopg.OperationalError:
            # The library's own words may hold the URL.
            said, faults = f"FAULT    {name}: the database cannot be reached", faults + 1
        say(said)
    say("All is ready" if not faults else f"{faults} faults")
    return 1 if faults else 0


async def _database(settings: Settings) -> str:
    async with await connect(settings.database_url) as connection:
        version: int = connection.info.server_version
    if version // 10_000 < _OLDEST_POSTGRESQL:
        raise Fault(
            f"PostgreSQL {version // 10_000} is too old; {_OLDEST_POSTGRESQL} is the oldest"
        )
    return f"PostgreSQL {version // 10_000}"


async def _rights(settings: Settings) -> str:
    """Try what migrations, requests and loaders do."""
    async with _trial(settings) as connection:
        try:
            row = await (await connection.execute(_OWNER)).fetchone() or {}
            if not row["ledger"]:
                await connection.execute("create schema scan_service_check")
            else:
                await connection.execute("create table scan_service.scan_service_check (id int)")
                await become(connection, "check")
                await connection.execute("select from scan limit 1")
                await connection.execute("set local role none")
            if row["results"]:
                place = sql.Identifier(RESULTS, "scan_service_check")
                await connection.execute(sql.SQL("create table {} (id int)").format(place))
        except psycopg.errors.InsufficientPrivilege as error:
            said = error.diag.message_primary
            raise Fault(f"{said}; see docs/operations.md, Database") from None
    return "tables can be made, requests can act for one tenant"


_OWNER = """
select to_regclass('scan_service.scan') is not null as ledger,
    to_regnamespace('scans') is not null as results
"""


async def _migrations(settings: Settings) -> str:
    if missing := await pending(settings.database_url):
        raise Fault(f"{len(missing)} are missing; run `scan-service migrate`")
    return "up to date"


async def _loaders(settings: Settings) -> str:
    """See whether loaders can act as their role, and whether the service can end them."""
    async with await connect(settings.loads_to) as connection:
        row = await (await connection.execute(_MEMBER, [LOADER])).fetchone() or {}
    if row["member"] is None:
        return "their role comes with the migrations"
    if not row["member"]:
        raise Fault(f"{row['login']} is no member of {LOADER}; see docs/operations.md, Database")
    async with await connect(settings.database_url) as connection:
        cursor = await connection.execute(
            "select current_user::text as me, pg_has_role(%s, 'usage') as may", [row["login"]]
        )
        found = await cursor.fetchone() or {}
    if not found["may"]:
        raise Fault(f"grant {row['login']} to {found['me']}: it has to end loaders that froze")
    return f"{row['login']} acts as {LOADER}"


_MEMBER = """
select current_user::text as login, (
    select pg_has_role(oid, 'usage') from pg_roles where rolname = %s) as member
"""


async def _clock(settings: Settings) -> str:
    async with await connect(settings.database_url) as connection:
        cursor = await connection.execute("select extract(epoch from clock_timestamp()) as now")
        row = await cursor.fetchone() or {}
    apart = abs(float(row["now"]) - time.time())
    if apart > _MOST_SECONDS_APART:
        raise Fault(f"this machine and the database are {apart:.0f} s apart; set the clocks")
    return f"{apart:.1f} s from the database's"


async def _secrets(settings: Settings) -> str:
    """Open all that is sealed: a key taken away too early is found before a scan needs it."""
    try:
        vault = Vault(settings.secret_keys)
    except VaultError as error:
        raise Fault(str(error)) from None
    if await pending(settings.database_url):
        return "well-formed"
    query = sql.SQL(" union all ").join(
        sql.SQL("select {0} as sealed from {1} where {0} is not null").format(
            sql.Identifier(column), sql.Identifier(table)
        )
        for table, column in SEALED
    )
    async with await connect(settings.database_url) as connection:
        rows = await (await connection.execute(query)).fetchall()
    shut = 0
    for row in rows:
        try:
            vault.reseal(bytes(row["sealed"]))
        except VaultError:
            shut += 1
    if shut:
        raise Fault(f"no key opens {shut} of {len(rows)} kept tokens; put the older key back")
    return f"all {len(rows)} kept tokens open"


async def _meltano(settings: Settings) -> str:
    project = settings.project_root / "meltano.yml"
    if not project.is_file():
        raise Fault("no meltano.yml; set SCAN_SERVICE_PROJECT_ROOT to its folder (workers need it)")
    if not os.access(settings.meltano, os.X_OK):
        raise Fault(f"{settings.meltano} is no command; set SCAN_SERVICE_MELTANO")
    return str(project)


async def _run_directory(settings: Settings) -> str:
    try:
        prepare(settings.run_directory)
    except OSError as error:
        raise Fault(error.strerror or "cannot be made") from None
    return str(settings.run_directory)


async def _hubspot(settings: Settings) -> str:
    hubspot = HubSpot(settings)
    try:
        reachable = await hubspot.is_reachable()
    finally:
        hubspot.close()
    if not reachable:
        raise Fault(f"{settings.hubspot_base_url} does not answer from here")
    return settings.hubspot_base_url


@asynccontextmanager
async def _trial(settings: Settings) -> AsyncIterator[Connection]:
    """Give a transaction that is taken back."""
    async with (
        await connect(settings.database_url) as connection,
        connection.transaction(force_rollback=True),
    ):
        yield connection
