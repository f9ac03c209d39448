"""The jobs of meltano.yml load each source into a schema of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from harness.meltano import Project
from harness.vendors.arrivy import Arrivy
from harness.vendors.athena import Athena
from harness.vendors.callrail import CallRail
from harness.vendors.five9 import Five9
from harness.vendors.leadconduit import LeadConduit
from harness.vendors.marketsharp import MarketSharp
from harness.vendors.running import rows
from harness.vendors.salesrabbit import SalesRabbit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.vendors.server import Vendor


def callrail() -> tuple[Vendor, dict[str, Any], dict[str, int]]:
    vendor = CallRail()
    vendor.add_account("ACC", calls=300)
    counts = {"calls": 300, "companies": 3, "accounts": 1, "tags": 4}
    return vendor, {"API_KEY": vendor.key}, counts


def salesrabbit() -> tuple[Vendor, dict[str, Any], dict[str, int]]:
    vendor = SalesRabbit(leads=1200)
    counts = {"leads": 1200, "lead_status_histories": 2400, "users": 7}
    return vendor, {"API_TOKEN": vendor.token}, counts


def arrivy() -> tuple[Vendor, dict[str, Any], dict[str, int]]:
    vendor = Arrivy(tasks=600)
    counts = {"tasks": 603, "entities": 4, "groups": 2, "statuses": 2, "bookings": 5}
    return vendor, {"AUTH_KEY": vendor.key, "AUTH_TOKEN": vendor.token}, counts


def leadconduit() -> tuple[Vendor, dict[str, Any], dict[str, int]]:
    vendor = LeadConduit(leads=1500)
    return vendor, {"API_KEY": vendor.key}, {"leads": 1500}


def marketsharp() -> tuple[Vendor, dict[str, Any], dict[str, int]]:
    vendor = MarketSharp(leads=1500)
    names = {"COMPANY_ID": "4711", "API_KEY": vendor.key, "SECRET_KEY": vendor.secret}
    return vendor, names, {"leads": 1500, "lead_sources": 3}


def salespro() -> tuple[Vendor, dict[str, Any], dict[str, int]]:
    vendor = Athena(rows=1200)
    names = {"AWS_ACCESS_KEY_ID": vendor.key_id, "AWS_SECRET_ACCESS_KEY": vendor.secret}
    names |= {"DATABASE": "salespro", "ENDPOINT_URL": vendor.url}
    return vendor, names, {"customers": 1200, "lead_results": 1200}


def five9() -> tuple[Vendor, dict[str, Any], dict[str, int]]:
    vendor = Five9(contacts=300)
    return vendor, {"USERNAME": vendor.user, "PASSWORD": vendor.password}, {"contacts": 300}


# Two jobs run in the default suite, too: see `test_hub_all.py`.
CASES = [callrail, five9, salespro, marketsharp, leadconduit, arrivy, salesrabbit]


@pytest.mark.heavy
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_job_fills_the_tables_of_its_source(
    case: Callable[[], tuple[Vendor, dict[str, Any], dict[str, int]]],
    tmp_path: Path,
    database_url: str,
) -> None:
    source = case.__name__
    vendor, credentials, counts = case()
    prefix = f"TAP_{source.upper()}_"
    settings = {f"{prefix}{name}": value for name, value in credentials.items()}
    settings |= {
        f"{prefix}TENANT_ID": "acme",
        f"{prefix}BASE_URL": vendor.url,
        "TARGET_DEALS_POSTGRES_DATABASE_URL": database_url,
    }
    with vendor:
        finished = Project(tmp_path, settings).run(f"{source}-all")

    assert finished.code == 0, finished.text
    for stream, count in counts.items():
        told = f"select count(*) from {source}.{stream} where _tenant_id = 'acme'"
        assert rows(database_url, told) == [(count,)]
    secrets = [
        value for name, value in credentials.items() if name.endswith(("KEY", "TOKEN", "PASSWORD"))
    ]
    assert not any(secret in finished.text for secret in secrets)


@pytest.mark.heavy
def test_what_the_page_says_of_a_django_hub_s_options(tmp_path: Path, database_url: str) -> None:
    vendor = CallRail()
    vendor.add_account("ACC", calls=300)
    since = (datetime.now(UTC) - timedelta(days=10)).date()
    settings = {
        "TAP_CALLRAIL_API_KEY": vendor.key,
        "TAP_CALLRAIL_TENANT_ID": "acme",
        "TAP_CALLRAIL_BASE_URL": vendor.url,
        "TAP_CALLRAIL__SELECT": '["calls.*"]',
        "TARGET_DEALS_POSTGRES_DATABASE_URL": database_url,
    }
    tables = "select table_name from information_schema.tables where table_schema = 'callrail'"
    calls = "select count(*) from callrail.calls"
    with vendor:
        project = Project(tmp_path, settings)
        dry = project.run("callrail-all", TARGET_DEALS_POSTGRES_DRY_RUN="true")
        written = rows(database_url, tables)
        sample = project.run("callrail-all", TAP_CALLRAIL_MAX_RECORDS="5")
        sampled = rows(database_url, calls)
        recent = project.run("callrail-all", TAP_CALLRAIL_START_DATE=since.isoformat())
        found = rows(database_url, calls)

    assert [run.code for run in (dry, sample, recent)] == [0, 0, 0]
    assert written == []
    assert sampled == [(5,)]
    expected = sum(
        datetime.fromisoformat(c["start_time"]).astimezone(UTC).date() >= since
        for c in vendor.lists["ACC", "calls"]
    )
    assert found == [(expected + 5,)]
    assert ("companies",) not in rows(database_url, tables)
