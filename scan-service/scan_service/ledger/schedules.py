"""Knows scans that start by themselves: cron, in UTC."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cronsim import CronSim
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb
from service_base.database import AWAY
from service_base.logs import logger

from scan_service.db import become, step_out
from scan_service.errors import ConflictError, NotFoundError, ServiceError
from scan_service.guard.vault import VaultError
from scan_service.ledger import scans
from scan_service.ledger.extraction import Extraction

if TYPE_CHECKING:
    from service_base.database import Connection

    from scan_service.db import Database
    from scan_service.engine.jobs import Engine
    from scan_service.guard.vault import Vault

_log = logger(__name__)
_MOST = 100


def next_time(cron: str, after: datetime) -> datetime:
    """Return when a cron expression comes true next."""
    return next(CronSim(cron, after.astimezone(UTC)))


async def create(
    db: Database, config: Extraction, *, schedule_id: str, cron: str, token: bytes
) -> dict[str, Any]:
    """Enter a schedule into the ledger; return its row."""
    async with db.tenant(config.tenant_id) as connection:
        await connection.execute(
            "select pg_advisory_xact_lock(hashtextextended('schedules/' || %s, 0))",
            [config.tenant_id],
        )
        cursor = await connection.execute(
            "select count(*) as n, clock_timestamp() as now from schedule where tenant_id = %s",
            [config.tenant_id],
        )
        row = await cursor.fetchone() or {}
        if row["n"] >= _MOST:
            raise ConflictError(f"There are {_MOST} schedules already")
        try:
            cursor = await connection.execute(
                "insert into schedule (tenant_id, schedule_id, organization_id, cron, config,"
                " fingerprint, token, next_run_at) values (%s, %s, %s, %s, %s, %s, %s, %s)"
                " returning *",
                [
                    config.tenant_id, schedule_id, config.organization_id, cron,
                    Jsonb(config.stored()), config.fingerprint(), token,
                    next_time(cron, row["now"]),
                ],
            )  # fmt: skip
        except UniqueViolation:
            raise ConflictError("Schedule with this ID already exists") from None
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


async def fire(db: Database, engine: Engine, vault: Vault, *, max_pending: int) -> int:
    """Start the scans that are due; return how many.

    A tick whose schedule still has a scan at work is left out: two scans of one kind would only
    read the same changes twice. Ticks missed while no worker ran are made up for once.
    """
    started = 0
    while (tick := await _carry_out_one(db, engine, vault, max_pending=max_pending)) is not None:
        started += tick
    return started


async def _carry_out_one(
    db: Database, engine: Engine, vault: Vault, *, max_pending: int
) -> bool | None:
    """Start what one due schedule asks for; tell whether there was a scan, None without any due.

    The schedule moves on in the very transaction that starts its scan: a worker that dies here
    leaves the tick to the next one, whole.
    """
    async with db.system() as connection:
        cursor = await connection.execute(
            "select *, clock_timestamp() as now from schedule"
            " where next_run_at <= clock_timestamp() order by next_run_at"
            " limit 1 for update skip locked"
        )
        due = await cursor.fetchone()
        if due is None:
            return None
        scan_id, problem = None, None
        try:
            async with connection.transaction():  # a scan that cannot start takes itself back
                scan_id = await _start(connection, engine, vault, due, max_pending=max_pending)
        except (ServiceError, VaultError) as error:
            problem = getattr(error, "message", str(error))
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
    # The token is not needed to read the stored configuration; the model insists on one.
    extraction = Extraction.model_validate({
        **due["config"],
        "tenantId": tenant_id,
        "organizationId": due["organization_id"],
        "auth": {"accessToken": "not-needed"},
    })  # fmt: skip
    tick: datetime = due["next_run_at"]
    scan_id = f"{due['schedule_id']}-{tick.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    await scans.start(
        connection,
        engine,
        extraction,
        scan_id=scan_id,
        token=vault.reseal(due["token"]),
        totals=dict.fromkeys(extraction.parts()),
        max_pending=max_pending,
    )
    return scan_id
