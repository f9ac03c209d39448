"""Production: the service's database user is no superuser, and policies bind even table owners."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from harness.database import connect
from pydantic import SecretStr
from scan_service.ledger.migrations import migrate, pending
from service.processes import Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hubspot_simulator import Portal, Simulator


COUNTS = (
    "select count(*) from scans.deals",
    "select count(*) from scans.contacts",
    "select count(*) from scans.companies",
)


OTHERS = ("contacts", "companies")
ROLES = ("scan_service_tenant", "scan_service_loader")


@pytest.fixture
def ordinary(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database owned by a user who may make roles, or was given ours, and no more."""
    name = f"app_{uuid.uuid4().hex[:10]}"
    right = getattr(request, "param", "createrole")
    with connect(postgres_server) as admin, admin.cursor() as cursor:
        cursor.execute(f'create role "{name}" login {right}')
        for role in ROLES:
            cursor.execute("select from pg_roles where rolname = %s", [role])
            is_there = cursor.fetchone() is not None
            if right == "nocreaterole" and not is_there:
                cursor.execute(f"create role {role} nologin")
            if right == "nocreaterole" or is_there:
                cursor.execute(f'grant {role} to "{name}"')
        cursor.execute(f'create database "{name}" owner "{name}"')
        parts = urlsplit(postgres_server)
        host = parts.netloc.rpartition("@")[2]
        yield urlunsplit(parts._replace(netloc=f"{name}@{host}", path=f"/{name}"))
        cursor.execute(f'drop database "{name}" with (force)')


@pytest.mark.parametrize("ordinary", ["nocreaterole"], indirect=True)
def test_an_ordinary_user_migrates_scans_reads_and_removes(
    ordinary: str, hubspot: Simulator, portal: Portal, tmp_path: Path
) -> None:
    asyncio.run(migrate(SecretStr(ordinary)))
    service = Installation(ordinary, tmp_path, hubspot.url)
    try:
        service.serve()
        service.work()
        service.start("scan-1", objects=["deals", *OTHERS], associations=["contacts"])
        data = service.finished("scan-1")
        shown = service.ask("GET", "/api/v1/scan/result/scan-1").json()["data"]
        csv = service.ask("GET", "/api/v1/scan/download/scan-1/csv").text
        with psycopg.connect(ordinary) as owner:
            unseen = [owner.execute(each).fetchone() for each in COUNTS]
            owner.execute("select set_config('app.tenant_id', %s, false)", ["tenant-b"])
            others = [owner.execute(each).fetchone() for each in COUNTS]
        gone = service.ask("DELETE", "/api/v1/scan/remove/scan-1?confirm=true").json()["data"]
    finally:
        service.stop()

    counts = {name: len(portal.ids(name)) for name in ("deals", *OTHERS)}
    count = counts["deals"]
    assert data["status"] == "completed", data["errors"]
    assert data["progress"]["processedItems"] == sum(counts.values())
    assert shown["summary"]["totalDeals"] == count
    assert len(shown["deals"]) == count
    assert csv.count("\n") > count
    assert unseen == others == [(0,)] * 3
    assert gone["deletedRecords"]["objects"] == counts
    assert gone["deletedRecords"]["deals"] == count
    assert gone["deletedRecords"]["associations"] == len(portal.true_links("deals", "contacts"))


LOADERS = (
    "select usename from pg_stat_activity"
    " where datname = current_database() and application_name ~ '^scan-service-load'"
)


def test_loaders_log_in_as_somebody_else(
    ordinary: str, postgres_server: str, hubspot: Simulator, portal: Portal, tmp_path: Path
) -> None:
    asyncio.run(migrate(SecretStr(ordinary)))
    owner, login = urlsplit(ordinary).username, f"loads_{uuid.uuid4().hex[:10]}"
    with connect(postgres_server) as admin, admin.cursor() as cursor:
        cursor.execute(f'create role "{login}" login in role scan_service_loader')
        cursor.execute(f'grant "{login}" to "{owner}"')
    service = Installation(
        ordinary, tmp_path, hubspot.url,
        loader_database_url=ordinary.replace(f"//{owner}@", f"//{login}@"),
    )  # fmt: skip
    try:
        service.serve()
        service.work()
        service.start("scan-1", associations=["contacts"])
        seen = wait_for(lambda: service.ledger.run(LOADERS), pause=0.02, why=service.logs())
        data = service.finished("scan-1")
    finally:
        service.stop()

    assert seen == [(login,)]
    assert data["status"] == "completed", data["errors"]
    assert data["progress"]["processedItems"] == len(portal.ids("deals"))


def test_many_processes_may_migrate_at_once(ordinary: str) -> None:
    url = SecretStr(ordinary)
    assert asyncio.run(pending(url))

    async def all_at_once() -> list[list[str]]:
        return await asyncio.gather(*(migrate(url) for _ in range(4)))

    applied = asyncio.run(all_at_once())

    assert sorted(map(bool, applied)) == [False, False, False, True]
    assert asyncio.run(pending(url)) == []
