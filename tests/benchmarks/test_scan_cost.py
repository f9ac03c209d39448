"""What a small scan costs the service, beside an earlier commit: CPU of all its processes, time.

    .venv/bin/pytest -m benchmark -s tests/benchmarks/test_scan_cost.py

`BENCH_SCANS` scans one after the other; `BENCH_SCAN_ROUNDS=1` leaves the earlier commit out.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests
from harness.database import drop_database, new_database
from harness.earlier import COMMIT, earlier
from hubspot_simulator import Portal, Simulator
from scan_service.guard.vault import new_key
from service.kit import ROOT, order
from service.processes import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCANS = int(os.environ.get("BENCH_SCANS", "5"))
ROUNDS = int(os.environ.get("BENCH_SCAN_ROUNDS", "2"))
DEALS = 500
TENANTS = [f"tenant-{number}" for number in range(8)]
MOST_CPU_SECONDS = 1.8
MOST_SECONDS = 3.0


class Side:
    """One commit's server and one worker, on a database of their own.

    Args:
        root: of the commit's checkout.
        folder: for logs and runs.
        url: of an empty database.
        hubspot: where HubSpot answers.
        concurrency: scans at once.
    """

    def __init__(self, root: Path, folder: Path, url: str, hubspot: str, concurrency: int) -> None:
        self.program = str(root / ".venv/bin/scan-service")
        self.root = root
        self.log = folder / "log"
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME")},
            "DATABASE_URL": url,
            "SCAN_SERVICE_SECRET_KEYS": new_key(),
            "SCAN_SERVICE_HUBSPOT_BASE_URL": hubspot,
            "SCAN_SERVICE_RUN_DIRECTORY": str(folder / "runs"),
            "SCAN_SERVICE_PORT": str(port),
            "SCAN_SERVICE_CONCURRENCY": str(concurrency),
            "SCAN_SERVICE_BURST": "1000000",
            "SCAN_SERVICE_REQUESTS_PER_MINUTE": "1000000",
        }
        self.say("migrate")
        self.keys = {tenant: self.key(tenant) for tenant in TENANTS}
        self.processes = [self.begin(word) for word in ("serve", "work")]
        wait_for(lambda: b"worker started" in self.log.read_bytes(), seconds=60)
        wait_for(self.answers, seconds=60)
        self.worker = psutil.Process(self.processes[1].pid)
        time.sleep(5)  # whatever it does at first

    def say(self, *words: str) -> str:
        done = subprocess.run(
            [self.program, *words], cwd=self.root, env=self.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def key(self, tenant: str) -> str:
        """The word of the output that is a key."""
        said = self.say("keys", "create", "--tenant", tenant)
        return max(said.split(), key=len)

    def begin(self, word: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [self.program, word], cwd=self.root, env=self.environment, stdout=log, stderr=log
            )

    def answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.address}/health", timeout=5).ok
        return False

    def start(self, scan_id: str, tenant: str) -> None:
        body = order(scan_id, tenant, auth={"accessToken": token_of(tenant)}, rateLimitDelay=0)
        answer = requests.post(
            f"{self.address}/api/v1/scan/start", json=body, timeout=60,
            headers={"Authorization": f"Bearer {self.keys[tenant]}"},
        )  # fmt: skip
        assert answer.status_code == 202, answer.text

    def status(self, scan_id: str, tenant: str) -> dict[str, Any]:
        data: dict[str, Any] = requests.get(
            f"{self.address}/api/v1/scan/status/{scan_id}", timeout=60,
            headers={"Authorization": f"Bearer {self.keys[tenant]}"},
        ).json()["data"]  # fmt: skip
        return data

    def cpu(self) -> float:
        """Seconds of the worker and of all that it, or what it started, has waited for."""
        total = 0.0
        for process in (self.worker, *self.worker.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])
        return total

    def quiet(self) -> float:
        """The same once nothing runs any more."""
        wait_for(lambda: len(self.worker.children(recursive=True)) <= 1, seconds=30)
        return self.cpu()

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)


def token_of(tenant: str) -> str:
    return f"pat-na1-token-of-{tenant}"


@contextlib.contextmanager
def side(root: Path, folder: Path, server: str, hubspot: str, concurrency: int) -> Iterator[Side]:
    folder.mkdir()
    url = new_database(server)
    opened = Side(root, folder, url, hubspot, concurrency)
    try:
        yield opened
    finally:
        opened.stop()
        drop_database(server, url)


def one_by_one(service: Side) -> tuple[float, float]:
    """CPU seconds a scan, and the median of the seconds from POST to `completed`."""
    took = []
    tenant = TENANTS[0]
    for number in range(SCANS + 1):
        if number == 1:  # the first one finds what was never read
            before = service.quiet()
        name = f"scan-{number}"
        began = time.monotonic()
        service.start(name, tenant)
        wait_for(partial(over, service, name, tenant), pause=0.03)
        took.append(time.monotonic() - began)
    return (service.quiet() - before) / SCANS, statistics.median(took[1:])


def over(service: Side, name: str, tenant: str) -> bool:
    status = service.status(name, tenant)
    assert status["status"] in ("pending", "running", "completed"), status["errors"]
    return bool(status["status"] == "completed")


@pytest.fixture(name="hubspot")
def _hubspot() -> Iterator[Simulator]:
    portals = [
        Portal.generate(DEALS, seed=place, token=token_of(tenant))
        for place, tenant in enumerate(TENANTS)
    ]
    with Simulator(portals, latency_ms=0) as simulator:
        yield simulator


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_a_small_scan_is_cheap(hubspot: Simulator, postgres_server: str, tmp_path: Path) -> None:
    found: dict[str, list[tuple[float, float]]] = {"now": [], COMMIT: []}
    with contextlib.ExitStack() as stack:
        roots = {"now": ROOT}
        if ROUNDS > 1:
            roots[COMMIT] = stack.enter_context(earlier(tmp_path / "earlier"))
        for number in range(ROUNDS):  # in turn
            for name, root in roots.items():
                folder = tmp_path / f"{name}-{number}"
                with side(root, folder, postgres_server, hubspot.url, 3) as service:
                    found[name].append(one_by_one(service))
    print(f"\n{SCANS} scans of {DEALS} deals, one after the other; the best of {ROUNDS}")
    print("| service | CPU s a scan | s from POST to completed |\n|---|---|---|")
    for name, figures in found.items():
        if figures:
            cpu, took = (min(each) for each in zip(*figures, strict=True))
            print(f"| {name} | {cpu:.2f} | {took:.2f} |", flush=True)
    cpu, took = (min(each) for each in zip(*found["now"], strict=True))
    assert cpu <= MOST_CPU_SECONDS
    assert took <= MOST_SECONDS
