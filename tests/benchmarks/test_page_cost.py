"""What those who watch a running scan cost; `BENCH_WATCH_SECONDS` says how long to look."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
import requests
from psycopg.types.json import Jsonb
from service.kit import TENANT
from service.processes import Deaf, Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = float(os.environ.get("BENCH_WATCH_SECONDS", "60"))
VIEWERS = (1, 10)
MOST_OF_A_CORE = 0.01  # of each page
TYPES = ("deals", "contacts", "companies")


@pytest.fixture
def service(postgres_server: str, tmp_path: Path) -> Iterator[Installation]:
    """A server alone, with a scan that runs elsewhere."""
    with closing(Deaf()) as hubspot:
        found = Installation.fresh(postgres_server, tmp_path, hubspot.url)
        found.serve()
        found.ledger.run(
            "insert into scan (tenant_id, scan_id, config, fingerprint, status, started_at, run_id,"
            " seen_at, total_items) values (%s, 'live', %s, '', 'running', now(),"
            " gen_random_uuid(), now() + interval '1 hour', 1000000)",
            TENANT, Jsonb({"objects": list(TYPES)}),
        )  # fmt: skip
        yield found
        found.stop()


def report(url: str, stop: threading.Event) -> None:
    """Write down every second how far the scan is, as its worker does."""
    with psycopg.connect(url, autocommit=True, options="-c search_path=scan_service") as connection:
        for second in range(1, 1_000_000):
            if stop.wait(1):
                return
            counts = {each: {"total": 300_000, "processed": 99 * second, "failed": 0}
                      for each in TYPES}  # fmt: skip
            points = [[second + at, (second + at) % 190, 190] for at in range(120)]
            connection.execute(
                "update scan set processed_items = %s, objects = %s, requests = %s",
                [300 * second, Jsonb(counts), Jsonb({"total": 9, "step": 1, "points": points})],
            )


class Viewer:
    """A browser that follows the scan, without one."""

    def __init__(self, url: str, cookies: requests.cookies.RequestsCookieJar) -> None:
        self._answer = requests.get(
            f"{url}/scans/live/live", cookies=cookies, stream=True, timeout=SECONDS + 60
        )
        assert self._answer.headers["Content-Type"].startswith("text/event-stream")
        self.parts = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for line in self._answer.iter_lines():
                self.parts += line == b"event: part"
        except (requests.RequestException, AttributeError):
            return  # closed

    def close(self) -> None:
        self._answer.close()


def are_told(viewers: list[Viewer]) -> bool:
    return all(each.parts for each in viewers)


def used(process: psutil.Process) -> float:
    """CPU seconds of a server, whatever it started included."""
    seconds: float = sum(
        each.cpu_times().user + each.cpu_times().system
        for each in (process, *process.children(recursive=True))
    )
    return seconds


@pytest.mark.benchmark
@pytest.mark.timeout(900)
def test_who_watches_costs_a_hundredth_of_a_core_at_most(service: Installation) -> None:
    with requests.Session() as session:
        session.post(
            f"{service.url}/sign-in", data={"key": service.key},
            headers={"Sec-Fetch-Site": "same-origin"}, timeout=30,
        )  # fmt: skip
        cookies = session.cookies
    server = psutil.Process(service.processes[0].pid)
    stop = threading.Event()
    reporting = threading.Thread(target=report, args=(service.ledger.url, stop))
    reporting.start()
    shares = {}
    try:
        for count in (0, *VIEWERS):
            viewers = [Viewer(service.url, cookies) for _ in range(count)]
            wait_for(partial(are_told, viewers), why="somebody is told nothing")
            before, told = used(server), sum(each.parts for each in viewers)
            began = time.monotonic()
            time.sleep(SECONDS)
            took = time.monotonic() - began
            shares[count] = (used(server) - before) / took
            parts = (sum(each.parts for each in viewers) - told) / took
            print(f"\n{count:2} watch: {100 * shares[count]:.2f} % of a core, {parts:.1f} parts/s")
            for each in viewers:
                each.close()
    finally:
        stop.set()
        reporting.join()
    for count in VIEWERS:
        share = (shares[count] - shares[0]) / count
        print(f"each of {count}: {100 * share:.2f} %")
        assert share < MOST_OF_A_CORE
