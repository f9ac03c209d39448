"""Knows scans that start by themselves: cron, in UTC."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cronsim import CronSim
from psycopg.errors import LockNotAvailable
from psycopg.types.json import Jsonb
from service_base.database import AWAY
from service_base.logs import logger

from scan_service.db import become, step_out
from scan_service.errors import ConflictError, NotFoundError, ServiceError
from scan_service.guard.vault import VaultError
from scan_service.ledger import connections, scans
from scan_service.ledger.entries import one_more
from scan_service.ledger.extraction import Extraction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service_base.database import Connection

    from scan_service.db import Database
    from scan_service.engine.jobs import Engine
    from scan_service.guard.vault import Vault

_log = logger(__name__)
_MOST = 100


class NoAccountError(ConflictError):
    """The account that a schedule names cannot be used until somebody mends it."""


def next_time(cron: str, after: datetime) -> datetime:
    """Return when a cron expression comes true next."""
    return next(CronSim(cron, after.astimezone(UTC)))


async def create(
    db: Database,
    config: Extraction,
    *,
    schedule_id: str,
    cron: str,
    token: bytes | None,
    keep_last: int | None = None,
) -> dict[str, Any]:
    """Enter a schedule into the ledger; return its row."""
    async with db.tenant(config.tenant_id) as connection:
        async with one_more(connection, "schedule", config.tenant_id, most=_MOST) as now:
            cursor = await connection.execute(
                "insert into schedule (tenant_id, schedule_id, organization_id, cron, config,"
                " fingerprint, token, next_run_at, keep_last)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
                " returning *",
                [
                    config.tenant_id, schedule_id, config.organization_id, cron,
                    Jsonb(config.stored()), config.fingerprint(), token,
                    next_time(cron, now), keep_last,
                ],
            )  # fmt: skip
        return await cursor.fetchone() or {}


async def listed(db: Database, tenant_id: str) -> list[dict[str, Any]]:
    """Return the tenant's schedules."""
    async with db.tenant(tenant_id) as connection:
        cursor = await connection.execute(
            "select * from schedule where tenant_id = %s order by schedule_id",
            [tenant_id],
        )
        return await cursor.fetchall()


async def remove(db: Database, tenant_id: str, schedule_id: str) -> None:
    """Remove a schedule; scans that it started stay."""
    async with db.tenant(tenant_id) as connection:
        cursor = await connection.execute(
            "delete from schedule where tenant_id = %s and schedule_id = %s",
            [tenant_id, schedule_id],
        )
        if not cursor.rowcount:
            raise NotFoundError("Schedule not found")


async def change(
    db: Database,
    tenant_id: str,
    schedule_id: str,
    *,
    changes: Mapping[str, Any],
    config: Extraction | None = None,
    token: bytes | None = None,
) -> dict[str, Any]:
    """Change what is named of a schedule, and let it start over; return its row.

    Args:
        db: the database.
        tenant_id: whose.
        schedule_id: which.
        changes: any of `cron`, `keep_last` and `paused`.
        config: instead of the old one, with its token.
        token: sealed; none where the configuration names a connection.

    Raises:
        NotFoundError: there is no such schedule.
    """
    async with db.tenant(tenant_id) as connection:
        row = await _locked(connection, tenant_id, schedule_id)
        cron = changes.get("cron", row["cron"])
        paused = changes.get("paused", row["paused_at"] is not None)
        # One that goes on after a pause makes up for nothing: its next time is a time to come.
        moves = cron != row["cron"] or (row["paused_at"] is not None and not paused)
        cursor = await connection.execute(
            "update schedule set cron = %s, keep_last = %s, next_run_at = %s, refusals = 0,"
            "  paused_at = case when %s then coalesce(paused_at, clock_timestamp()) end,"
            "  config = coalesce(%s, config), fingerprint = coalesce(%s, fingerprint),"
            "  organization_id = case when %s then %s else organization_id end,"
            "  token = case when %s then %s else token end, last_error = null"
                " where id = %s returning *",
            [
                cron, changes.get("keep_last", row["keep_last"]),
                next_time(cron, row["now"]) if moves else row["next_run_at"], paused,
                Jsonb(config.stored()) if config else None,
                config.fingerprint() if config else None,
                config is not None, config.organization_id if config else None,
                config is not None, token, row["id"],
            ],
        )  # fmt: skip
        return await cursor.fetchone() or {}


async def run_now(
    db: Database, engine: Engine, vault: Vault, tenant_id: str, schedule_id: str, *,
    max_pending: int,
) -> str:  # fmt: skip
    """Start a scan of a schedule beside its times, also of one that is paused; return its name.

    Raises:
        NotFoundError: there is no such schedule.
        ConflictError: its last scan is still at work, or its account cannot be used.
    """
    async with db.tenant(tenant_id) as connection:
        row = await _locked(connection, tenant_id, schedule_id)
        scan_id = await _start(
            connection, engine, vault, {**row, "next_run_at": row["now"]}, max_pending=max_pending
        )
        if scan_id is None:
            raise ConflictError(f"The schedule's scan {row['last_scan_id']} is still at work")
        await connection.execute(
            "update schedule set last_scan_id = %s where id = %s", [scan_id, row["id"]]
        )
        return scan_id


async def _locked(connection: Connection, tenant_id: str, schedule_id: str) -> dict[str, Any]:
    cursor = await connection.execute(
        "select *, clock_timestamp() as now from schedule"
        " where tenant_id = %s and schedule_id = %s for update",
        [tenant_id, schedule_id],
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("Schedule not found")
    return row


async def fire(db: Database, engine: Engine, vault: Vault, *, max_pending: int) -> int:
    """Start the scans that are due; return how many.

    A tick whose schedule still has a scan at work is left out: two scans of one kind would only
    read the same changes twice. Ticks missed while no worker ran are made up for once. A schedule
    whose account is gone rests, and that is told. One whose tenant somebody holds lets the others
    pass, and is due at the next call still.
    """
    started, held = 0, list[str]()
    while True:
        tick = await _carry_out_one(db, engine, vault, held, max_pending=max_pending)
        if tick is None:
            return started
        started += tick


async def _carry_out_one(
    db: Database, engine: Engine, vault: Vault, held: list[str], *, max_pending: int
) -> bool | None:
    """Start what one due schedule asks for; tell whether there was a scan, None without any due.

    A tenant whom somebody holds is noted in `held`, and not looked at again.

    The schedule moves on in the very transaction that starts its scan: a worker that dies here
    leaves the tick to the next one, whole.
    """
    async with db.system() as connection:
        cursor = await connection.execute(
            "select *, clock_timestamp() as now from schedule"
            " where next_run_at <= clock_timestamp() and paused_at is null and tenant_id <> all(%s)"
            " order by next_run_at limit 1 for update skip locked",
            [held],
        )
        due = await cursor.fetchone()
        if due is None:
            return None
        scan_id, problem, rests = None, None, False
        try:
            async with connection.transaction():  # a scan that cannot start takes itself back
                scan_id = await _start(connection, engine, vault, due, max_pending=max_pending)
        except (ServiceError, VaultError) as error:
            problem = getattr(error, "message", str(error))
            rests = isinstance(error, NoAccountError)
        except LockNotAvailable:
            held.append(due["tenant_id"])
            return False
        except AWAY:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the schedules behind it must not wait
            _log.exception("schedule failed", schedule=due["schedule_id"])
            problem = "The scan could not be started"
        if problem:
            _log.warning("schedule could not start its scan", schedule=due["schedule_id"])
        await connection.execute(
            "update schedule set next_run_at = %s, last_scan_id = coalesce(%s, last_scan_id),"
            " last_error = case when %s then %s else last_error end where id = %s",
            [
                next_time(due["cron"], due["now"]), scan_id,
                bool(scan_id or problem), problem, due["id"],
            ],
        )  # fmt: skip
        if rests:
            await connection.execute(
                "select pause_schedule(%s, %s, %s, %s)",
                [due["id"], f"{due['id']}/{due['next_run_at']}", NotFoundError.code, problem],
            )
        return scan_id is not None


async def _start(
    connection: Connection, engine: Engine, vault: Vault, due: dict[str, Any], *, max_pending: int
) -> str | None:
    """Start the scan of a tick and return its name; None while the last one is at work."""
    tenant_id = due["tenant_id"]
    await become(connection, tenant_id)
    if due["last_scan_id"]:
        with contextlib.suppress(NotFoundError):
            last = await scans.find_in(connection, tenant_id, due["last_scan_id"])
            if last["status"] in scans.ACTIVE:
                await step_out(connection)
                return None
    config = dict(due["config"])
    named = config.pop("connection", None)
    token = due["token"]
    if named is not None:
        token = await _token(connection, tenant_id, named)
    # A token is not needed to read the stored configuration; the model insists on one.
    extraction = Extraction.model_validate({
        **config,
        "tenantId": tenant_id,
        "organizationId": due["organization_id"],
        "auth": {"connection": named} if named else {"accessToken": "not-needed"},
    })  # fmt: skip
    tick: datetime = due["next_run_at"]
    scan_id = f"{due['schedule_id']}-{tick.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    await scans.start(
        connection,
        engine,
        extraction,
        scan_id=scan_id,
        token=vault.reseal(token),
        totals=dict.fromkeys(extraction.parts()),
        max_pending=max_pending,
        schedule_id=due["schedule_id"],
    )
    return scan_id


async def _token(connection: Connection, tenant_id: str, named: str) -> bytes:
    """Return the sealed token of the connection that a schedule names.

    Raises:
        NoAccountError: there is none, and none will come by itself.
        ConflictError: its user has been asked and may still say yes.
    """
    try:
        found = await connections.find_in(connection, tenant_id, named)
    except NotFoundError as error:
        raise NoAccountError(error.message) from None
    token: bytes | None = found["secret"]
    if token is not None:
        return token
    problem = f"The connection {named} is not connected"
    if found["state_hash"] is not None and found["asked_until"] > found["now"]:
        raise ConflictError(problem)
    raise NoAccountError(problem)
