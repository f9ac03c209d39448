"""Many scans of many tenants on several workers, while clients ask and download."""

from __future__ import annotations

import csv
import io
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests
from hubspot_simulator import Portal, Simulator
from service.kit import TENANT, Ledger
from service.processes import Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TENANTS = [f"tenant-{number}" for number in range(8)]
SCANS = 25
DEALS = 40
EXPORTED = 100_000
CLIENTS = 100


@pytest.fixture(scope="module")
def portals() -> list[Portal]:
    """One HubSpot account per tenant, each with other deals."""
    return [
        Portal.generate(DEALS + place, seed=place, token=f"pat-na1-token-of-tenant-{place}")
        for place in range(len(TENANTS))
    ]


@pytest.fixture
def service(postgres_server: str, portals: list[Portal], tmp_path: Path) -> Iterator[Installation]:
    with Simulator(portals, latency_ms=0) as hubspot:
        installation = Installation.fresh(
            postgres_server,
            tmp_path,
            hubspot.url,
            concurrency=3,
            lost_after_seconds=30,
            requests_per_minute=1_000_000,
            burst=1_000_000,
        )
        try:
            installation.serve()
            yield installation
        finally:
            installation.stop()


class Watch(threading.Thread):
    """Looks into the ledger again and again: how many places did a tenant hold at most?"""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(daemon=True)
        self.ledger = ledger
        self.most: dict[str, int] = {}
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(0.05):
            for tenant, count in self.ledger.run(
                "select tenant_id, count(slot) from scan group by tenant_id"
            ):
                self.most[tenant] = max(self.most.get(tenant, 0), count)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_200_scans_of_8_tenants_on_3_workers_lose_nothing_and_double_nothing(
    service: Installation, portals: list[Portal]
) -> None:
    keys = {tenant: service.ledger.key(tenant) for tenant in TENANTS}
    for _ in range(3):
        service.work()
    watch = Watch(service.ledger)
    watch.start()
    began = time.monotonic()

    def start(work: tuple[int, str]) -> None:
        number, tenant = work
        token = {"accessToken": f"pat-na1-token-of-{tenant}"}
        service.start(f"scan-{number}", tenant=tenant, key=keys[tenant], auth=token)

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(start, [(n, tenant) for n in range(SCANS) for tenant in TENANTS]))
    accepted = time.monotonic() - began
    wait_for(
        lambda: (
            service.ledger.run("select count(*) from scan where completed_at is null") == [(0,)]
        ),
        seconds=1500,
        pause=1,
        why=service.logs()[-5000:],
    )
    ended = time.monotonic() - began
    watch.stopping.set()
    watch.join()

    outcome = service.ledger.run("select status, count(*) from scan group by status")
    repeated = service.ledger.run("select sum(runs) from scan")[0][0]
    print(
        f"200 scans: accepted in {accepted:.1f} s, all ended in {ended:.0f} s, {repeated} runs,"
        f" places held at most {max(watch.most.values())}"
    )
    reasons = service.ledger.run("select tenant_id, scan_id, errors from scan where errors <> '[]'")
    assert outcome == [("completed", len(TENANTS) * SCANS)], reasons
    assert watch.most == dict.fromkeys(TENANTS, 5)
    rows = service.ledger.run(
        "select _tenant_id, _scan_id, array_agg(id order by id) from scans.deals group by 1, 2"
    )
    assert len(rows) == len(TENANTS) * SCANS
    expected = {
        tenant: sorted(portal.ids("deals")) for tenant, portal in zip(TENANTS, portals, strict=True)
    }
    assert all(ids == expected[tenant] for tenant, _, ids in rows)
    first = service.ledger.run(
        "select tenant_id, array_agg(scan_id order by started_at) from scan group by tenant_id"
    )
    assert all(set(names[:5]) <= {f"scan-{n}" for n in range(10)} for _, names in first)
    assert service.members() == []
    assert service.run_folders() == []


def fill(ledger: Ledger, rows: int) -> None:
    """Put a finished scan of many deals where a run would have."""
    ledger.make_results("big", [])
    ledger.run(
        "insert into scan (tenant_id, scan_id, status, config, fingerprint, started_at,"
        " completed_at) values (%s, 'big', 'completed', '{}', '', now(), now())",
        TENANT,
    )
    ledger.run(
        "insert into scans.deals (_tenant_id, _scan_id, id, read_at, archived, properties,"
        " custom_properties)"
        " select %s, 'big', 10000000000 + n, now(), false, jsonb_build_object("
        "  'dealname', 'Deal ' || n || repeat(' and more', 10), 'amount', n * 1.25, 'closedate',"
        "  '2025-12-31T00:00:00Z', 'dealstage', 'appointmentscheduled', 'pipeline', 'default',"
        "  'hubspot_owner_id', '42', 'hs_is_closed_won', false, 'hs_is_closed', false,"
        "  'createdate', '2025-01-15T10:30:00.123Z', 'description', repeat('text ', 40)),"
        " jsonb_build_object('region', 'north', 'score', n)"
        " from generate_series(1, %s) as n",
        TENANT,
        rows,
    )
    ledger.run("analyze scans.deals")


@pytest.mark.heavy
@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_100_000_deals_download_at_once_with_flat_memory_while_100_clients_ask(
    service: Installation,
) -> None:
    fill(service.ledger, EXPORTED)
    service.start("asked-about", auth={"accessToken": "pat-na1-token-of-tenant-0"})
    server = psutil.Process(service.processes[0].pid)
    figures: dict[str, float] = {}
    memory = [server.memory_info().rss]
    stop = threading.Event()

    def measure() -> None:
        while not stop.wait(0.05):
            memory.append(server.memory_info().rss)

    def poll(_: int) -> list[float]:
        took = []
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {service.key}"
            while not stop.is_set():
                began = time.perf_counter()
                answer = session.get(f"{service.url}/api/v1/scan/status/asked-about", timeout=30)
                took.append(time.perf_counter() - began)
                assert answer.status_code == 200
                stop.wait(1)
        return took

    def download(form: str) -> bytes:
        began = time.perf_counter()
        response = service.ask("GET", f"/api/v1/scan/download/big/{form}", stream=True)
        assert response.status_code == 200
        pieces = response.iter_content(65536)
        content = [next(pieces)]
        figures[f"{form} first byte"] = time.perf_counter() - began
        content += pieces
        figures[f"{form} all"] = time.perf_counter() - began
        return b"".join(content)

    watching = threading.Thread(target=measure, daemon=True)
    watching.start()
    alone = {form: download(form) for form in ("csv", "json")}
    quiet = dict(figures)
    with ThreadPoolExecutor(CLIENTS) as clients:
        polling = [clients.submit(poll, number) for number in range(CLIENTS)]
        time.sleep(2)
        for form in ("csv", "json"):
            download(form)
        time.sleep(3)
        stop.set()
        times = sorted(second for client in polling for second in client.result())
    watching.join()

    rows = sum(1 for _ in csv.reader(io.StringIO(alone["csv"].decode()))) - 1
    p99 = statistics.quantiles(times, n=100)[98]
    for name, busy in figures.items():
        print(f"{name}: {quiet[name]:.2f} s alone, {busy:.2f} s beside 100 clients")
    print(f"status: {len(times)} answers, p50 {times[len(times) // 2] * 1000:.0f} ms")
    print(f"status p99 {p99 * 1000:.0f} ms; memory of the server {max(memory) / 2**20:.0f} MB")
    assert rows == EXPORTED
    assert quiet["csv first byte"] < 1
    assert quiet["json first byte"] < 1
    assert max(memory) - memory[0] < 30 * 2**20
    assert p99 < 2


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_an_excel_file_of_20_000_deals_does_not_block_the_server(service: Installation) -> None:
    fill(service.ledger, 20_000)
    stop = threading.Event()
    slowest = [0.0]

    def poll() -> None:
        while not stop.is_set():
            began = time.perf_counter()
            service.ask("GET", "/api/v1/scan/list")
            slowest[0] = max(slowest[0], time.perf_counter() - began)

    asking = threading.Thread(target=poll, daemon=True)
    asking.start()
    began = time.perf_counter()
    response = service.ask("GET", "/api/v1/scan/download/big/excel")
    took = time.perf_counter() - began
    stop.set()
    asking.join()

    print(f"excel of 20,000 deals: {took:.1f} s; slowest other answer {slowest[0] * 1000:.0f} ms")
    assert response.status_code == 200
    assert slowest[0] < 2


@pytest.mark.heavy
def test_leaving_clients_give_their_connections_back(service: Installation) -> None:
    fill(service.ledger, 50_000)
    for _ in range(8):
        response = service.ask("GET", "/api/v1/scan/download/big/csv", stream=True)
        next(response.iter_content(1024))
        response.close()

    def busy() -> Any:
        return service.ledger.run(
            "select count(*) from pg_stat_activity where query ilike 'copy%%' and state = 'active'"
        )[0][0]

    wait_for(lambda: busy() == 0, seconds=15)
    assert service.ask("GET", "/api/v1/scan/download/big/csv").status_code == 200
