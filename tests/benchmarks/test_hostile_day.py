"""A hostile day: all that could make others wait, at once. `BENCH_HOSTILE_DEALS`: of a big scan."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
from service.kit import TENANT, order
from service.processes import Deaf, Installation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DEALS = int(os.environ.get("BENCH_HOSTILE_DEALS", "100000"))
SECONDS = 45.0
WATCHER = "tenant-b"
STATUS, HEALTH = 0.5, 1.0


@pytest.fixture
def service(postgres_server: str, tmp_path: Path) -> Iterator[Installation]:
    deaf = Deaf()
    found = Installation.fresh(
        postgres_server, tmp_path, deaf.url, requests_per_minute=60_000, burst=60_000,
        hubspot_probe_seconds=2, max_pending=100_000,
    )  # fmt: skip
    try:
        found.serve()
        yield found
    finally:
        found.stop()
        deaf.close()


def fill(service: Installation, scan_id: str) -> None:
    service.ledger.run(
        "insert into scans.deals (_tenant_id, _scan_id, id, read_at, archived, properties)"
        " select %s, %s, (10000000000 + n)::text, now(), false, jsonb_build_object("
        "  'dealname', 'Deal ' || n, 'amount', n * 1.25, 'description', repeat(md5(n::text), 20))"
        " from generate_series(1, %s) as n", TENANT, scan_id, DEALS,
    )  # fmt: skip


class Day:
    """What goes on until the day is over.

    Attributes:
        done: what was answered or done, by who did it.
    """

    def __init__(self, service: Installation, key: str) -> None:
        self.service = service
        self.key = key
        self.over = threading.Event()
        self.done: dict[str, list[Any]] = {}
        self._threads: list[threading.Thread] = []

    def let(self, what: Callable[[], Any], times: int = 1) -> None:
        """Do something again and again, so often at the same time."""
        noted = self.done.setdefault(what.__name__, [])

        def again() -> None:
            while not self.over.is_set():
                with suppress(requests.RequestException, OSError):
                    noted.append(what())

        for _ in range(times):
            thread = threading.Thread(target=again, daemon=True)
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(20)

    def ask(self, method: str, path: str, **options: Any) -> int:
        headers = {"Authorization": f"Bearer {self.key}"}
        url = f"{self.service.url}{path}"
        answer = requests.request(method, url, headers=headers, timeout=90, **options)
        return answer.status_code

    def flood(self) -> int:
        return requests.get(f"{self.service.url}/api/v1/scan/list", timeout=30).status_code

    def start(self) -> int:
        body = order(f"scan-{time.monotonic_ns()}-{threading.get_ident()}")
        return self.ask("POST", "/api/v1/scan/start", json=body)

    def cancel_locked(self) -> int:
        return self.ask("POST", "/api/v1/scan/cancel/locked")

    def read_slowly(self) -> int:
        return self._download("csv", 1024, 1.0)

    def read_nothing(self) -> int:
        return self._download("json", 0, 1.0)

    def _download(self, kind: str, octets: int, pause: float) -> int:
        """Ask for a file and read so much of it at a time."""
        where = urlsplit(self.service.url)
        with socket.create_connection((where.hostname, where.port), timeout=20) as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.sendall(
                f"GET /api/v1/scan/download/ended/{kind} HTTP/1.1\r\nHost: {where.netloc}\r\n"
                f"Authorization: Bearer {self.key}\r\n\r\n".encode()
            )
            code = int(reader.recv(12).rpartition(b" ")[2] or 0)
            while code == 200 and not self.over.wait(pause):
                if octets and not reader.recv(octets):
                    break
            return code


@contextmanager
def locked(service: Installation) -> Iterator[None]:
    with psycopg.connect(service.ledger.url, options="-c search_path=scan_service") as holder:
        holder.execute("select 1 from scan where scan_id = 'locked' for update")
        yield


def watch(url: str, key: str) -> tuple[list[float], list[float]]:
    """How long each `status` and each `/health` takes for a while."""
    statuses: list[float] = []
    healths: list[float] = []
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        for path, times in (("api/v1/scan/status/theirs", statuses), ("health", healths)):
            began = time.monotonic()
            answer = session.get(f"{url}/{path}", timeout=60)
            times.append(time.monotonic() - began)
            assert answer.status_code == 200, answer.text
        time.sleep(0.02)
    return statuses, healths


def part(times: list[float], share: float) -> float:
    """The time under which this share of all is."""
    return sorted(times)[int(len(times) * share)]


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_status_and_health_of_another_tenant_on_a_hostile_day(service: Installation) -> None:
    key, other = service.ledger.key(TENANT), service.ledger.key(WATCHER)
    for name in ("ended", "big", "locked"):
        service.start(name, key=key)
    service.start("theirs", tenant=WATCHER, key=other)
    service.ledger.make_results("ended", [])
    for name in ("ended", "big"):
        fill(service, name)
    service.ledger.complete("ended")
    finishing: list[float] = []

    def finish() -> None:
        began = time.monotonic()
        service.ledger.complete("big")
        finishing.append(time.monotonic() - began)

    day = Day(service, key)
    # A process of its own, forked before there are threads: it measures the service, not the crowd.
    forks = multiprocessing.get_context("fork")
    told = forks.SimpleQueue()
    watcher = forks.Process(target=lambda: told.put(watch(service.url, other)))
    watcher.start()
    with locked(service):
        day.let(day.read_slowly, 4)
        day.let(day.read_nothing, 4)
        day.let(day.flood, 4)
        day.let(day.start, 40)
        day.let(day.cancel_locked, 24)
        counting = threading.Thread(target=finish)
        counting.start()
        watcher.join()
        day.end()
    counting.join(120)
    statuses, healths = told.get()

    for what, times in (("status", statuses), ("/health", healths)):
        print(
            f"{what}: {len(times)} times, p50 {part(times, 0.5) * 1000:.0f} ms,"
            f" p99 {part(times, 0.99) * 1000:.0f} ms, most {max(times) * 1000:.0f} ms"
        )
    for name, codes in day.done.items():
        print(f"{name}: " + ", ".join(f"{codes.count(each)} x {each}" for each in {*codes}))
    print(f"the finish of {DEALS:,} deals took {finishing[0]:.1f} s")
    assert {*day.done["cancel_locked"]} == {503}
    assert 200 in day.done["read_slowly"] + day.done["read_nothing"]
    assert part(statuses, 0.99) < STATUS
    assert part(healths, 0.99) < HEALTH
