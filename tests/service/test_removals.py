"""Removing a scan: gone at once for its tenant, row by row behind, whatever holds or returns."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import SecretStr
from scan_service.db import Database
from scan_service.ledger import removals
from service.kit import TENANT, Client, Ledger, order
from service_base.database import AWAY

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = 12_000
REMOVE = "/api/v1/scan/remove/{}?confirm=true"


def fill(client: Client, ledger: Ledger, scan_id: str, tenant: str = TENANT) -> None:
    """A finished scan of many deals, each with a link."""
    client.start(scan_id, tenantId=tenant)
    ledger.make_results(scan_id, [], tenant)
    ledger.run(
        "insert into scans.deals (_tenant_id, _scan_id, id) select %s, %s, n::text"
        " from generate_series(1, %s) as n", tenant, scan_id, MANY,
    )  # fmt: skip
    ledger.run(
        "insert into scans.associations (_tenant_id, _scan_id, from_id)"
        " select _tenant_id, _scan_id, id from scans.deals where _tenant_id = %s and _scan_id = %s",
        tenant, scan_id,
    )  # fmt: skip
    ledger.complete(scan_id, tenant)


def sweep(ledger: Ledger, steps: int = 1000) -> int:
    """What a worker does with removals; how many steps it took."""

    async def go_on() -> int:
        db = Database(SecretStr(ledger.url))
        await db.open()
        taken = 0
        try:
            while taken < steps and await removals.go_on(db):
                taken += 1
        finally:
            await db.close()
        return taken

    return asyncio.run(go_on())


def rows(ledger: Ledger, scan_id: str) -> int:
    ((found,),) = ledger.run(
        "select (select count(*) from scans.deals where _scan_id = %s)"
        " + (select count(*) from scans.associations where _scan_id = %s)"
        " + (select count(*) from page_mark where scan in"
        "  (select scan from removal where scan_id = %s))",
        scan_id, scan_id, scan_id,
    )  # fmt: skip
    number: int = found
    return number


@pytest.fixture
def held(client: Client, ledger: Ledger) -> Iterator[psycopg.Connection]:
    """A scan of which somebody holds one row, so that its removal cannot end."""
    fill(client, ledger, "big")
    with psycopg.connect(ledger.url) as holder:
        holder.execute("select from scans.deals where id = '9999' for update")
        yield holder


def test_a_removal_that_cannot_end_answers_and_is_finished_by_the_sweep(
    client: Client, ledger: Ledger, held: psycopg.Connection
) -> None:
    answer = client.delete(REMOVE.format("big"))

    assert answer.status_code == 200
    assert answer.json()["data"]["deletedRecords"] == {
        "scanJob": 1, "deals": MANY, "associations": MANY,
    }  # fmt: skip
    assert client.get("/api/v1/scan/status/big").status_code == 404
    assert client.get("/api/v1/stats").json()["data"]["storage"]["totalRecords"] == 0
    assert rows(ledger, "big") > 0
    assert client.start("big").status_code == 409, "its rows would mix with those that are left"

    held.rollback()
    sweep(ledger)

    assert rows(ledger, "big") == 0
    assert client.start("big").status_code == 202


@pytest.mark.usefixtures("held")
def test_a_removal_that_is_held_keeps_no_other_waiting(client: Client, ledger: Ledger) -> None:
    other = Client(client.http, ledger.key("tenant-b"))
    fill(other, ledger, "theirs", "tenant-b")
    client.delete(REMOVE.format("big"))

    # As if the server had been killed right after its first statement.
    with psycopg.connect(ledger.url, options="-c search_path=scan_service") as connection:
        connection.execute(
            "with gone as (delete from scan where scan_id = 'theirs' returning id)"
            " insert into removal (scan, tenant_id, scan_id) select id, 'tenant-b', 'theirs'"
            " from gone"
        )
    with pytest.raises(AWAY):
        sweep(ledger)
    sweep(ledger)

    assert rows(ledger, "theirs") == 0
    assert rows(ledger, "big") > 0


def test_each_step_is_a_small_transaction(client: Client, ledger: Ledger) -> None:
    fill(client, ledger, "big")
    ledger.run(
        "with gone as (delete from scan returning id, tenant_id, scan_id)"
        " insert into removal (scan, tenant_id, scan_id) select id, tenant_id, scan_id from gone"
    )
    before = rows(ledger, "big")

    sweep(ledger, steps=1)

    assert before - 10_000 <= rows(ledger, "big") < before
    assert sweep(ledger) > MANY * 2 / 10_000
    assert rows(ledger, "big") == 0


def test_what_a_thawed_loader_writes_after_a_removal_goes_too(
    client: Client, ledger: Ledger
) -> None:
    fill(client, ledger, "big")
    client.delete(REMOVE.format("big"))
    sweep(ledger)
    ledger.make_results("big", [{"id": "late"}])
    ledger.make_results("another", [{"id": "stays"}])

    assert sweep(ledger) == 0, "looked for after a while, not all the time"
    ledger.run("update removal set due_at = now()")
    sweep(ledger)

    assert ledger.run("select id from scans.deals") == [("stays",)]


def test_the_watch_for_late_rows_ends(client: Client, ledger: Ledger) -> None:
    fill(client, ledger, "big")
    client.delete(REMOVE.format("big"))
    sweep(ledger)
    ledger.run("update removal set due_at = now(), asked_at = now() - interval '8 days'")
    sweep(ledger)

    assert ledger.run("select from removal") == []


def expire(ledger: Ledger) -> int:
    """What a worker does each minute."""

    async def once() -> int:
        db = Database(SecretStr(ledger.url))
        await db.open()
        try:
            return await removals.expire(db)
        finally:
            await db.close()

    return asyncio.run(once())


def names(ledger: Ledger) -> list[str]:
    return [name for (name,) in ledger.run("select scan_id from scan order by scan_id")]


def test_a_scan_goes_so_many_days_after_its_end(client: Client, ledger: Ledger) -> None:
    ledger.make_results("short", [{"id": "1"}])
    for name, days in (("short", 1), ("long", 30), ("for-ever", None)):
        client.start(name, keepDays=days)
        ledger.complete(name)
    client.start("at-work", keepDays=1)
    ledger.run(
        "update scan set completed_at = now() - interval '25 hours', created_at = '2000-01-01'"
    )

    assert (expire(ledger), expire(ledger)) == (1, 0)

    assert names(ledger) == ["at-work", "for-ever", "long"]
    assert ledger.run("select count(*) from scans.deals") == [(0,)]


def test_a_schedule_keeps_its_last_finished_scans(client: Client, ledger: Ledger) -> None:
    config = order()["config"]
    del config["scanId"]
    for name, keep in (("two", 2), ("all", None)):
        body = {"scheduleId": name, "cron": "@daily", "config": config, "keepLast": keep}
        assert client.post("/api/v1/schedules", json={"schedule": body}).status_code == 201
    client.start("ours")
    for number in range(5):
        for name in ("two", "all"):
            scan = client.post(f"/api/v1/schedules/{name}/run").json()["data"]["scanId"]
            if number < 4:
                ledger.complete(scan)
            ledger.run("update scan set scan_id = %s where scan_id = %s", f"{name}-{number}", scan)

    assert (expire(ledger), expire(ledger)) == (2, 0)

    assert [name for name in names(ledger) if name.startswith("two")] == ["two-2", "two-3", "two-4"]
    assert len(names(ledger)) == 3 + 5 + 1


def test_failures_take_no_good_scan_of_a_schedule_away(client: Client, ledger: Ledger) -> None:
    config = order()["config"]
    del config["scanId"]
    body = {"scheduleId": "s", "cron": "@daily", "config": config, "keepLast": 2}
    assert client.post("/api/v1/schedules", json={"schedule": body}).status_code == 201
    for number, good in enumerate((True, False, True, True, False, False, False)):
        scan = client.post("/api/v1/schedules/s/run").json()["data"]["scanId"]
        if good:
            ledger.complete(scan)
        else:
            ledger.fail(scan, "HUBSPOT_API_ERROR")
        name = f"{'good' if good else 'failed'}-{number}"
        ledger.run("update scan set scan_id = %s where scan_id = %s", name, scan)

    assert (expire(ledger), expire(ledger)) == (3, 0)

    assert names(ledger) == ["failed-5", "failed-6", "good-2", "good-3"]


@pytest.mark.parametrize("days", [0, 3651, "7", 1.5])
def test_days_that_cannot_be_are_refused(days: Any, client: Client) -> None:
    assert client.start(keepDays=days).status_code == 400
