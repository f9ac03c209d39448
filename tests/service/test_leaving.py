"""A tenant that leaves: not a byte of his stays, and nobody else loses one."""

from __future__ import annotations

import subprocess
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import pytest
from harness.database import binaries, default_version
from hubspot_simulator import Portal, Simulator
from service.kit import TOKEN, Client
from service.processes import Installation, wait_for
from service.test_commands import scan_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scan_service.settings import Settings
    from service.kit import Ledger
    from starlette.testclient import TestClient

LEAVING, STAYING = "leaving-tenant-7f3a", "staying-tenant-9c21"


@pytest.fixture
def service(postgres_server: str, tmp_path: Path) -> Iterator[Installation]:
    portal = Portal.generate(40, seed=11, token=TOKEN, counts={"contacts": 10})
    with Simulator([portal], latency_ms=0) as hubspot:
        installation = Installation.fresh(postgres_server, tmp_path, hubspot.url)
        try:
            installation.serve()
            yield installation
        finally:
            installation.stop()


def dump(ledger: Ledger) -> str:
    """All that the database holds, as text."""
    program = binaries()[default_version()] / "pg_dump"
    return subprocess.run(
        [str(program), "--inserts", ledger.url],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def ended(service: Installation, key: str) -> bool:
    return bool(service.status("full", key)["status"] == "completed")


def remove(service: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    return scan_service("tenant", "remove", "--tenant", LEAVING, *words, **service.environment)


def test_not_a_byte_of_a_removed_tenant_stays(service: Installation) -> None:
    keys = {name: service.ledger.key(name) for name in (LEAVING, STAYING)}
    service.work()
    for name, key in keys.items():
        body = {"webhook": {"webhookId": "main", "url": "https://example.com/" + name}}
        assert service.ask("POST", "/api/v1/webhooks", key, json=body).status_code == 201
        service.start(
            "full", tenant=name, key=key, mode="incremental", organizationId="org " + name
        )
    for key in keys.values():
        wait_for(partial(ended, service, key), why=service.logs())
    for name, key in keys.items():
        config = {"tenantId": name, "auth": {"accessToken": TOKEN}}
        schedule = {"schedule": {"scheduleId": "daily", "cron": "@daily", "config": config}}
        assert service.ask("POST", "/api/v1/schedules", key, json=schedule).status_code == 201
        service.start("second", tenant=name, key=key)
    before = dump(service.ledger)

    done = remove(service)

    assert done.returncode == 0, done.stderr
    after = dump(service.ledger)
    assert before.count(LEAVING) > 50
    assert LEAVING not in after
    assert after.count(STAYING) >= before.count(STAYING)
    assert service.ask("GET", "/api/v1/scan/list", keys[LEAVING]).status_code == 401
    assert service.ask("GET", "/api/v1/scan/list", keys[STAYING]).status_code == 200
    assert not [path for path in service.run_folders() if LEAVING in str(list(path.rglob("*")))]
    assert remove(service).returncode == 1


@pytest.fixture
def alone(ledger: Ledger, settings: Settings, tmp_path: Path) -> Installation:
    """An installation without a process."""
    return Installation(
        ledger.url, tmp_path, settings.hubspot_base_url,
        secret_keys=settings.secret_keys.get_secret_value(),
    )  # fmt: skip


def run(http: TestClient, ledger: Ledger) -> None:
    """A scan of the leaving tenant that somebody runs, and does not end."""
    assert Client(http, ledger.key(LEAVING)).start("first", tenantId=LEAVING).status_code == 202
    ledger.run("update scan set status = 'running', run_id = gen_random_uuid(), seen_at = now()")


def test_what_a_request_of_his_writes_meanwhile_goes_too(
    alone: Installation, http: TestClient, ledger: Ledger
) -> None:
    run(http, ledger)
    removing = alone.command("tenant", "remove", "--tenant", LEAVING, "--wait", "60")
    wait_for(lambda: alone.row("first", LEAVING)["status"] == "cancelled", why=alone.logs())
    with psycopg.connect(ledger.url, options="-c search_path=scan_service") as request:
        request.execute(
            "insert into scan (tenant_id, scan_id, config, fingerprint)"
            " select tenant_id, 'second', config, fingerprint from scan"
        )
        ledger.run("update scan set run_id = null, slot = null")
        wait_for(
            lambda: ledger.run(
                "select pid from pg_stat_activity where datname = current_database()"
                " and wait_event_type = 'Lock'"
            ),
            why=alone.logs(),
        )
        request.commit()

    assert removing.wait(60) == 0, alone.logs()
    assert LEAVING not in dump(ledger)


def test_a_run_that_nobody_ends_is_told_and_the_removal_can_be_repeated(
    alone: Installation, http: TestClient, ledger: Ledger
) -> None:
    run(http, ledger)

    held = remove(alone, "--wait", "1")
    ledger.run("update scan set run_id = null, slot = null")
    done = remove(alone, "--wait", "1")

    assert held.returncode == 1
    assert "have not ended" in held.stderr
    assert "Traceback" not in held.stderr
    assert done.returncode == 0, done.stderr
    assert ledger.run("select count(*) from scan") == [(0,)]
