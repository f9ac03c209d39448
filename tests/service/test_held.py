"""What somebody holds in the ledger, for however long, keeps nobody else's scans waiting."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import SecretStr
from scan_service.db import Database
from scan_service.engine.jobs import Engine
from scan_service.guard.vault import Vault
from scan_service.ledger import deliveries, removals, repairs
from scan_service.pipeline.worker import Worker
from service.kit import TENANT, Client, Ledger
from service.test_schedules import fire, schedule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from scan_service.settings import Settings
    from starlette.testclient import TestClient

OTHER = "tenant-b"


@pytest.fixture
def clients(http: TestClient, ledger: Ledger) -> dict[str, Client]:
    return {tenant: Client(http, ledger.key(tenant)) for tenant in (TENANT, OTHER)}


@contextmanager
def held(ledger: Ledger, statement: str, *values: Any) -> Iterator[None]:
    """A transaction that does not end: an operator's, or that of a server that froze in it."""
    with psycopg.connect(ledger.url, options="-c search_path=scan_service") as holder:
        holder.execute(statement, values)
        yield
        holder.rollback()


def carried_out(ledger: Ledger, what: Callable[[Database, Engine], Awaitable[Any]]) -> Any:
    """What a worker does with the ledger."""

    async def once() -> Any:
        db, engine = Database(SecretStr(ledger.url)), Engine()
        await db.open()
        await engine.open(db.pool)
        try:
            return await what(db, engine)
        finally:
            await db.close()

    return asyncio.run(once())


def sweep(ledger: Ledger) -> dict[str, int]:
    found: dict[str, int] = carried_out(
        ledger, lambda db, engine: repairs.sweep(db, engine, lost_after=15, max_attempts=3)
    )
    return found


def lost(ledger: Ledger, tenant: str, status: str = "running", attempt: int = 1) -> None:
    """Let a tenant's scan be one whose worker has died."""
    ledger.run(
        "update scan set status = %s, run_id = gen_random_uuid(), attempt = %s,"
        " started_at = now(), seen_at = now() - interval '1 hour',"
        " token = case when %s = 'running' then token end where tenant_id = %s",
        status, attempt, status, tenant,
    )  # fmt: skip


def running(ledger: Ledger, tenant: str) -> int:
    return len(ledger.run("select from scan where tenant_id = %s and run_id is not null", tenant))


# A server freezes in the transaction that starts or ends a scan: it has this lock.
SLOTS = "select pg_advisory_xact_lock(hashtextextended('admit/' || %s, 0))"


@pytest.mark.parametrize(("status", "attempt"), [("running", 3), ("cancelled", 1)])
def test_lost_scans_are_repaired_beside_a_tenant_who_is_held(
    clients: dict[str, Client], ledger: Ledger, status: str, attempt: int
) -> None:
    for tenant, client in clients.items():
        client.start("one", tenantId=tenant)
        lost(ledger, tenant, status, attempt)

    with held(ledger, SLOTS, TENANT):
        during = sweep(ledger)
        left = running(ledger, TENANT), running(ledger, OTHER)
    after = sweep(ledger)

    assert during["failed"] + during["freed"] == 1
    assert left == (1, 0)
    assert after["failed"] + after["freed"] == 1
    assert running(ledger, TENANT) == 0


def test_a_waiting_scan_that_is_held_lets_those_of_others_and_the_next_one_pass(
    clients: dict[str, Client], ledger: Ledger
) -> None:
    for number in range(7):
        clients[TENANT].start(f"scan-{number}")
    clients[OTHER].start("one", tenantId=OTHER)
    lost(ledger, OTHER)
    ledger.run("update scan set slot = null, status = 'cancelled', token = null"
               " where scan_id = 'scan-0'")  # fmt: skip

    with held(ledger, "select from scan where scan_id = 'scan-5' for update"):
        during = sweep(ledger)

    assert during == {"moved": 1, "failed": 0, "freed": 0, "admitted": 1}
    waiting = ledger.run("select scan_id from scan where status = 'pending' and slot is null")
    assert waiting == [("scan-5",)]


def test_schedules_fire_beside_one_whose_tenant_is_held(
    clients: dict[str, Client], ledger: Ledger, settings: Settings
) -> None:
    for tenant, client in clients.items():
        for name in ("first", "second"):
            assert client.post(
                "/api/v1/schedules", json=schedule(name, "* * * * *", tenantId=tenant)
            ).status_code == 201  # fmt: skip
    ledger.run("update schedule set next_run_at = now() - interval '1 minute'")
    ledger.run(
        "update schedule set next_run_at = now() - interval '1 hour' where tenant_id = %s", TENANT
    )

    with held(ledger, SLOTS, TENANT):
        during = fire(settings)
    after = fire(settings)

    assert (during, after) == (2, 2)
    assert ledger.run("select last_error from schedule") == [(None,)] * 4


def test_late_scans_are_told_beside_one_that_is_held(
    clients: dict[str, Client], ledger: Ledger
) -> None:
    for tenant, client in clients.items():
        client.start("one", tenantId=tenant)
    ledger.run("update scan set created_at = now() - interval '1 day'")

    def told() -> Any:
        return carried_out(ledger, lambda db, _: deliveries.note_late(db, minutes=60))

    with held(ledger, "select from scan where tenant_id = %s for update", TENANT):
        during = told()

    assert (during, told()) == (1, 1)


def test_scans_whose_time_is_over_go_beside_one_that_is_held(
    clients: dict[str, Client], ledger: Ledger
) -> None:
    for tenant, client in clients.items():
        client.start("one", tenantId=tenant, keepDays=1)
        client.post("/api/v1/scan/cancel/one")
    ledger.run("update scan set completed_at = now() - interval '9 days'")
    ledger.run(
        "update scan set completed_at = now() - interval '10 days' where tenant_id = %s", TENANT
    )

    with held(ledger, "select from scan where tenant_id = %s for update", TENANT):
        carried_out(ledger, lambda db, _: removals.expire(db))

    assert ledger.run("select tenant_id from scan") == [(TENANT,)]


@pytest.mark.parametrize("trouble", ["held", "odd"])
def test_what_a_dead_worker_left_is_counted_beside_what_cannot_be(
    clients: dict[str, Client], ledger: Ledger, settings: Settings, trouble: str
) -> None:
    amounts = {TENANT: "1.5", OTHER: "2.5"}
    if trouble == "odd":
        amounts[TENANT] = '"a text that is no number"'
    ledger.make_results("one", [])
    for tenant, client in clients.items():
        client.start("one", tenantId=tenant)
        ledger.run(
            "insert into scans.deals (_tenant_id, _scan_id, id, properties)"
            f" values (%s, 'one', '1', '{{\"amount\": {amounts[tenant]}}}')", tenant,
        )  # fmt: skip
        ledger.run(
            "update scan set status = 'failed', token = null, slot = null, started_at = now(),"
            " completed_at = clock_timestamp() where tenant_id = %s", tenant,
        )  # fmt: skip

    async def counted(db: Database, _: Engine) -> int:
        worker = Worker(settings, db, Vault(settings.secret_keys))
        return await worker._count() + await worker._count()

    statement = "select from scan where tenant_id = %s for update"
    with held(ledger, statement if trouble == "held" else "select %s", TENANT):
        number = carried_out(ledger, counted)

    left = ledger.run("select tenant_id from scan where records is null")
    assert (number, left) == (1, [(TENANT,)])
