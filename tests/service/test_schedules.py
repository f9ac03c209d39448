"""Scans that start by themselves."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from scan_service.db import Database
from scan_service.engine.jobs import Engine
from scan_service.guard.vault import Vault
from scan_service.ledger import schedules
from service.kit import ROOT, TENANT, TOKEN, Client, Ledger, order
from service.processes import Installation, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from scan_service.settings import Settings


def schedule(name: str = "nightly", cron: str = "0 3 * * *", **config: Any) -> dict[str, Any]:
    body = order(**config)["config"]
    del body["scanId"]
    return {"schedule": {"scheduleId": name, "cron": cron, "config": body}}


def fire(settings: Settings) -> int:
    """What a worker's sweep does."""

    async def once() -> int:
        db, engine = Database(settings.database_url), Engine()
        await db.open()
        await engine.open(db.pool)
        try:
            return await schedules.fire(db, engine, Vault(settings.secret_keys), max_pending=100)
        finally:
            await db.close()

    return asyncio.run(once())


def test_a_worker_whose_clock_is_late_fires_a_tick_once(
    client: Client, ledger: Ledger, settings: Settings
) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("faketime (Debian's package) gives a process a clock of its own")
    client.post("/api/v1/schedules", json=schedule(cron="* * * * *"))
    ledger.run("update schedule set next_run_at = date_trunc('minute', now())")
    program = (
        "import sys; from pydantic import SecretStr; sys.path.insert(0, 'tests');"
        "from service.test_schedules import fire; from scan_service.settings import Settings;"
        "print('started', fire(Settings.load()))"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "SCAN_SERVICE_SECRET_KEYS": settings.secret_keys.get_secret_value(),
    }

    done = subprocess.run(
        ["faketime", "-f", "-90s", sys.executable, "-c", program],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.stdout.strip() == "started 1", done.stderr
    assert ledger.run("select next_run_at > clock_timestamp() from schedule") == [(True,)]
    assert ledger.run("select count(*) from scan") == [(1,)]


@pytest.mark.parametrize(("given", "kept"), [("@daily", "0 0 * * *"), ("@HOURLY", "0 * * * *")])
def test_crons_own_names_of_times_are_taken(given: str, kept: str, client: Client) -> None:
    made = client.post("/api/v1/schedules", json=schedule(cron=given))

    assert made.json()["data"]["cron"] == kept


def test_a_schedule_is_made_listed_and_removed(client: Client, ledger: Ledger) -> None:
    made = client.post("/api/v1/schedules", json=schedule(mode="incremental"))
    again = client.post("/api/v1/schedules", json=schedule())
    listed = client.get("/api/v1/schedules").json()["data"]["schedules"]
    removed = client.delete("/api/v1/schedules/nightly")

    assert made.status_code == 201
    assert made.json()["data"]["config"]["mode"] == "incremental"
    assert made.json()["data"]["nextRunAt"].endswith("T03:00:00Z")
    assert TOKEN not in made.text
    assert again.status_code == 409
    assert [each["scheduleId"] for each in listed] == ["nightly"]
    assert removed.status_code == 200
    assert client.delete("/api/v1/schedules/nightly").status_code == 404
    assert ledger.run("select count(*) from schedule") == [(0,)]


@pytest.mark.parametrize(
    "cron", ["* * * *", "61 * * * *", "0 0 30 2 *", "@often", "", "* * * * * *"]
)
def test_a_cron_that_never_comes_true_is_refused(cron: str, client: Client) -> None:
    response = client.post("/api/v1/schedules", json=schedule(cron=cron))

    assert response.status_code == 400
    assert response.json()["error"]["details"][0]["field"] == "schedule.cron"


def test_a_due_schedule_starts_one_scan_however_many_workers_sweep(
    client: Client, ledger: Ledger, settings: Settings
) -> None:
    client.post("/api/v1/schedules", json=schedule())
    due = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
    ledger.run("update schedule set next_run_at = %s", due)

    assert fire(settings) == 1
    assert fire(settings) == 0

    ((name, status, token),) = ledger.run("select scan_id, status, token from scan")
    assert name == f"nightly-{due:%Y%m%dT%H%M%SZ}"
    assert status == "pending"
    opened = Vault(settings.secret_keys).environment(token, tenant_id=TENANT)
    assert TOKEN in opened.values()
    ((following,),) = ledger.run("select next_run_at from schedule")
    assert following > datetime.now(UTC)
    assert client.get("/api/v1/schedules").json()["data"]["schedules"][0]["lastScanId"] == name


def test_a_tick_is_left_out_while_the_last_scan_is_at_work(
    client: Client, ledger: Ledger, settings: Settings
) -> None:
    client.post("/api/v1/schedules", json=schedule())
    for hours in (5, 4):
        moment = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=hours)
        ledger.run("update schedule set next_run_at = %s", moment)
        fire(settings)

    assert ledger.run("select count(*) from scan") == [(1,)]


def test_a_schedule_that_cannot_start_says_why(
    client: Client, ledger: Ledger, settings: Settings
) -> None:
    client.post("/api/v1/schedules", json=schedule())
    due = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    client.start(f"nightly-{due:%Y%m%dT%H%M%SZ}")
    ledger.run("update schedule set next_run_at = %s", due)

    assert fire(settings) == 0
    (shown,) = client.get("/api/v1/schedules").json()["data"]["schedules"]
    assert shown["lastError"] == "Scan with this ID already exists"


def test_a_scheduled_scan_reads_the_objects_of_its_schedule(
    client: Client, ledger: Ledger, settings: Settings
) -> None:
    wanted = [{"name": "contacts", "properties": ["email"]}, "companies"]
    made = client.post("/api/v1/schedules", json=schedule(objects=wanted, mode="incremental"))
    ledger.run("update schedule set next_run_at = now() - interval '1 hour'")

    assert fire(settings) == 1

    assert made.json()["data"]["config"]["objects"] == wanted
    ((config, counts, same),) = ledger.run(
        "select scan.config, scan.objects, scan.fingerprint = schedule.fingerprint"
        " from scan, schedule"
    )
    assert config["objects"] == wanted
    assert counts.keys() == {"contacts", "companies"}
    assert same


def test_a_schedule_that_cannot_be_read_keeps_no_other_waiting(
    client: Client, ledger: Ledger, settings: Settings
) -> None:
    for name in ("broken", "sealed-elsewhere", "sound"):
        client.post("/api/v1/schedules", json=schedule(name))
    ledger.run("update schedule set next_run_at = now() - interval '1 hour'")
    ledger.run("update schedule set config = '{\"batchSize\": 0}' where schedule_id = 'broken'")
    ledger.run("update schedule set token = 'x' where schedule_id = 'sealed-elsewhere'")

    assert fire(settings) == 1
    assert fire(settings) == 0

    shown = client.get("/api/v1/schedules").json()["data"]["schedules"]
    errors = {each["scheduleId"]: each["lastError"] for each in shown}
    assert errors["broken"] == "The scan could not be started"
    assert "no key" in errors["sealed-elsewhere"]
    assert errors["sound"] is None


def test_a_worker_that_dies_while_it_starts_a_tick_leaves_the_tick_to_the_next(
    client: Client, ledger: Ledger, settings: Settings, tmp_path: Path
) -> None:
    client.post("/api/v1/schedules", json=schedule())
    due = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
    ledger.run("update schedule set next_run_at = %s", due)
    workers = Installation(
        ledger.url,
        tmp_path,
        settings.hubspot_base_url,
        secret_keys=settings.secret_keys.get_secret_value(),
    )
    try:
        with psycopg.connect(ledger.url) as holder:
            # Who starts a scan needs this lock: the worker has the tick and cannot go on.
            holder.execute(
                "select pg_advisory_xact_lock(hashtextextended('admit/' || %s, 0))", [TENANT]
            )
            first = workers.work()
            wait_for(
                lambda: ledger.run(
                    "select 1 from pg_stat_activity where datname = current_database()"
                    " and wait_event = 'advisory'"
                ),
                seconds=20,
            )
            first.kill()
            first.wait()
        assert ledger.run("select next_run_at from schedule") == [(due,)]
        assert ledger.run("select count(*) from scan") == [(0,)]
    finally:
        workers.stop()

    assert (fire(settings), fire(settings)) == (1, 0)
    name = f"nightly-{due:%Y%m%dT%H%M%SZ}"
    assert ledger.run("select scan_id from scan") == [(name,)]
    ((following, last),) = ledger.run("select next_run_at, last_scan_id from schedule")
    assert following > datetime.now(UTC)
    assert last == name


def test_an_incremental_scan_begins_with_the_bookmark_of_its_kind_only(
    client: Client, ledger: Ledger
) -> None:
    client.start("first", mode="incremental", filters={"pipeline": "default"})
    ledger.run("insert into bookmark select tenant_id, fingerprint, '{\"b\": 1}', now() from scan")

    client.start("same", mode="incremental", filters={"pipeline": "default"})
    client.start("other", mode="incremental", filters={"pipeline": "elsewhere"})
    client.start("full", filters={"pipeline": "default"})

    states = dict(ledger.run("select scan_id, state from scan"))
    assert states == {"first": None, "same": {"b": 1}, "other": None, "full": None}


def test_a_schedule_is_changed_in_what_is_named_only(
    client: Client, ledger: Ledger, settings: Settings
) -> None:
    made = client.post("/api/v1/schedules", json=schedule()).json()["data"]

    changed = client.patch(
        "/api/v1/schedules/nightly", json={"schedule": {"cron": "@hourly", "keepLast": 3}}
    ).json()["data"]
    other = schedule(objects=["contacts"])["schedule"]["config"]
    objects = client.patch("/api/v1/schedules/nightly", json={"schedule": {"config": other}})
    all_kept = client.patch("/api/v1/schedules/nightly", json={"schedule": {"keepLast": None}})

    assert changed["cron"] == "0 * * * *"
    assert changed["nextRunAt"] != made["nextRunAt"]
    assert changed["config"] == made["config"]
    assert objects.json()["data"]["config"]["objects"] == ["contacts"]
    assert objects.json()["data"]["keepLast"] == 3
    assert all_kept.json()["data"]["keepLast"] is None
    assert all_kept.json()["data"]["cron"] == "0 * * * *"
    ledger.run("update schedule set next_run_at = now()")
    assert fire(settings) == 1
    assert ledger.run("select config -> 'objects', schedule_id from scan") == [
        (["contacts"], "nightly")
    ]


@pytest.mark.parametrize(
    "changes", [{"cron": "never"}, {"keepLast": 0}, {"paused": "yes"}, {"scheduleId": "x"}]
)
def test_changes_that_mean_nothing_are_refused(changes: dict[str, Any], client: Client) -> None:
    client.post("/api/v1/schedules", json=schedule())

    assert client.patch("/api/v1/schedules/nightly", json={"schedule": changes}).status_code == 400
    assert client.patch("/api/v1/schedules/other", json={"schedule": {}}).status_code == 404


def test_a_paused_schedule_rests_and_makes_up_for_nothing(
    client: Client, ledger: Ledger, settings: Settings
) -> None:
    client.post("/api/v1/schedules", json=schedule())
    paused = client.patch("/api/v1/schedules/nightly", json={"schedule": {"paused": True}})
    ledger.run("update schedule set next_run_at = now() - interval '1 day'")

    assert paused.json()["data"]["pausedAt"] is not None
    assert fire(settings) == 0
    resumed = client.patch("/api/v1/schedules/nightly", json={"schedule": {"paused": False}})
    assert resumed.json()["data"]["pausedAt"] is None
    assert fire(settings) == 0
    assert ledger.run("select next_run_at > now() from schedule") == [(True,)]


def test_a_schedule_runs_now_once_at_a_time(client: Client, ledger: Ledger) -> None:
    client.post("/api/v1/schedules", json=schedule())
    client.patch("/api/v1/schedules/nightly", json={"schedule": {"paused": True}})

    started = client.post("/api/v1/schedules/nightly/run")
    again = client.post("/api/v1/schedules/nightly/run")

    assert started.status_code == 202
    data = started.json()["data"]
    assert started.headers["Location"] == data["statusUrl"]
    assert client.get(data["statusUrl"]).json()["data"]["status"] == "pending"
    assert again.status_code == 409
    assert client.post("/api/v1/schedules/other/run").status_code == 404
    assert ledger.run("select last_scan_id from schedule") == [(data["scanId"],)]


def refuse(ledger: Ledger, client: Client, code: str = "HUBSPOT_AUTH_ERROR") -> None:
    """A scan of the schedule that ends so."""
    name = client.post("/api/v1/schedules/nightly/run").json()["data"]["scanId"]
    ledger.fail(name, code)
    # Names have seconds: the next one needs another.
    ledger.run("update scan set scan_id = scan_id || '-' || place where scan_id = %s", name)


def test_a_token_that_is_refused_three_times_in_a_row_pauses_its_schedule_and_tells(
    client: Client, ledger: Ledger
) -> None:
    client.post("/api/v1/schedules", json=schedule())
    body = {"webhook": {"webhookId": "main", "url": "https://example.com/"}}
    client.post("/api/v1/webhooks", json=body)
    for code in ("HUBSPOT_AUTH_ERROR", "HUBSPOT_AUTH_ERROR", "HUBSPOT_API_ERROR"):
        refuse(ledger, client, code)
    refuse(ledger, client)
    refuse(ledger, client)
    before = ledger.run("select paused_at, refusals from schedule")
    refuse(ledger, client)

    assert before == [(None, 2)]
    assert ledger.run("select paused_at is not null, last_error from schedule") == [
        (True, "HubSpot refused the token of 3 scans in a row")
    ]
    told = (
        "select count(*), max(data ->> 'scheduleId'), max(data ->> 'code') from delivery"
        " where event = 'schedule.paused'"
    )
    assert ledger.run(told) == [(1, "nightly", "HUBSPOT_AUTH_ERROR")]
    client.patch("/api/v1/schedules/nightly", json={"schedule": {"paused": False}})
    assert ledger.run("select paused_at, refusals from schedule") == [(None, 0)]
