"""Pages of a large scan: the last is as fast as the first. `BENCH_PAGE_DEALS` says how large."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from typing import TYPE_CHECKING

import pytest
from harness.database import new_database
from hubspot_simulator import Portal, Simulator
from pydantic import SecretStr
from scan_service.door.app import create_app
from scan_service.guard.vault import new_key
from scan_service.ledger.migrations import migrate
from scan_service.settings import Settings
from scan_service.web import site
from service.kit import ROOT, TENANT, TOKEN, Client, Ledger
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEALS = int(os.environ.get("BENCH_PAGE_DEALS", "1000000"))
SIZE = 100
ROUNDS = 15


def fill(ledger: Ledger) -> None:
    """Put the rows of an ended scan where a run would have; 20 properties, some 1.4 KB each."""
    ledger.make_results("big", [])
    ledger.run(
        "insert into scan (tenant_id, scan_id, status, config, fingerprint, started_at,"
        " completed_at) values (%s, 'big', 'completed', '{}', '', now(), now())",
        TENANT,
    )
    ledger.run(
        "update scan set defined = jsonb_build_object('deals', (select jsonb_object_agg("
        " 'property_' || n, jsonb_build_object('label', 'Property ' || n, 'type', 'text',"
        "  'custom', n > 100, 'filled', n)) from generate_series(1, 300) as n))"
    )
    ledger.run(
        "insert into scans.deals (_tenant_id, _scan_id, id, read_at, archived, properties,"
        " custom_properties)"
        " select %s, 'big', (10000000000 + n)::text, now(), false, jsonb_build_object("
        "  'dealname', 'Deal ' || n, 'amount', n * 1.25, 'closedate', '2025-12-31T00:00:00Z',"
        "  'dealstage', 'appointmentscheduled', 'pipeline', 'default', 'hs_is_closed', false,"
        "  'createdate', '2025-01-15T10:30:00.123Z', 'description', repeat(md5(n::text), 30)),"
        " (select jsonb_object_agg('custom_' || c, md5((n * c)::text))"
        "  from generate_series(1, 12) as c)"
        " from generate_series(1, %s) as n",
        TENANT,
        DEALS,
    )
    ledger.run("vacuum analyze scans.deals")


@pytest.fixture
def client(postgres_server: str, tmp_path: Path) -> Iterator[Client]:
    url = new_database(postgres_server)
    asyncio.run(migrate(SecretStr(url)))
    ledger = Ledger(url)
    key = ledger.key()
    fill(ledger)
    began = time.monotonic()
    assert ledger.count() == 1
    print(f"\n{DEALS:,} deals counted and marked in {time.monotonic() - began:.1f} s")
    with Simulator([Portal.generate(1, token=TOKEN)], latency_ms=0) as hubspot:
        settings = Settings.load(
            database_url=url, secret_keys=new_key(), hubspot_base_url=hubspot.url,
            project_root=ROOT, run_directory=tmp_path, requests_per_minute=100_000, burst=100_000,
        )  # fmt: skip
        with TestClient(create_app(settings, site.routes)) as http:
            yield Client(http, key)


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
def test_the_last_page_takes_no_longer_than_three_first_ones(client: Client) -> None:
    def took(query: str) -> tuple[float, list[str], str]:
        began = time.perf_counter()
        answer = client.http.get(
            f"/api/v1/scan/result/big?page_size={SIZE}&{query}",
            headers={"Authorization": f"Bearer {client.key}"},
        )
        seconds = time.perf_counter() - began
        assert answer.status_code == 200, answer.text
        data = answer.json()["data"]
        assert data["pagination"]["total_items"] == DEALS
        return seconds, [d["dealId"] for d in data["deals"]], data["pagination"]["next_cursor"]

    last = DEALS // SIZE
    cursor = took(f"page={last - 1}")[2]
    queries = {"first": "page=1", "middle": f"page={last // 2}", "last": f"page={last}",
               "last by cursor": f"cursor={cursor}"}  # fmt: skip
    shown = {name: took(query)[1] for name, query in queries.items()}  # and a warm cache for all
    times: dict[str, list[float]] = {name: [] for name in queries}
    for _ in range(ROUNDS):
        for name, query in queries.items():
            times[name].append(took(query)[0])

    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, median in medians.items():
        print(f"{name:>15}: {1000 * median:.1f} ms")
    ids = [str(10_000_000_000 + n) for n in range(1, DEALS + 1)]
    assert shown["first"] == ids[:SIZE]
    assert shown["last"] == shown["last by cursor"] == ids[-SIZE:]
    assert medians["last"] < 3 * medians["first"]
    assert medians["last by cursor"] < 3 * medians["first"]


WEB_PAGES = (
    "/", "/start", "/pipeline", "/schema", "/loads", "/schedules", "/connections", "/webhooks",
    "/keys", "/scans/big",
    "/scans/big/records", "/scans/big/records/10000000001",
)  # fmt: skip
WEB_ROUNDS = 40


@pytest.mark.benchmark
def test_how_long_each_web_page_takes(client: Client) -> None:
    assert client.key
    http = client.http
    http.post("/sign-in", data={"key": client.key}, headers={"Sec-Fetch-Site": "same-origin"})
    print(f"\n{DEALS:,} deals, {WEB_ROUNDS} looks at each page: first, median and p95 in ms")
    for path in WEB_PAGES:
        taken = []
        for _ in range(WEB_ROUNDS):
            began = time.perf_counter()
            assert http.get(path).status_code == 200
            taken.append((time.perf_counter() - began) * 1000)
        p95 = sorted(taken)[int(0.95 * WEB_ROUNDS) - 1]
        print(f"{path:32} {taken[0]:8.1f} {statistics.median(taken):8.1f} {p95:8.1f}")
