"""What the tap's economies are worth: the same run without each of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
from harness.beside import Cost, cost_of, hubspot_beside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEALS = int(os.environ.get("BENCH_TAP_DEALS", "20000"))
ROUNDS = int(os.environ.get("BENCH_TAP_ROUNDS", "3"))
NOISE = 1.05
START = "from tap_hubspot_deals.__main__ import main\nmain()\n"
SESSION = """
import threading, requests
from hubspot_client import wire
sessions = threading.local()
def exchange(self, method, url, content, *, token, what):
    session = getattr(sessions, "own", None)
    if session is None:
        session = sessions.own = requests.Session()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = session.request(method, url, data=content, headers=headers, timeout=60)
    return wire.Answer(answer.status_code, answer.headers, answer.content)
wire.Wire.exchange = exchange
"""
HEAPS = """
from tap_hubspot_deals import process
process.HEAPS = 64
"""
COLLECTOR = """
from tap_hubspot_deals import process, tap
tap.economize = lambda: None
"""
RUNS = {
    "as it is": START,
    "a session of requests, instead of its adapter": SESSION + START,
    "a heap for each thread": HEAPS + START,
    "the collector as Python has it, and a heap for each thread": COLLECTOR + START,
}


@pytest.fixture(name="hubspot")
def _hubspot() -> Iterator[str]:
    with hubspot_beside(DEALS) as url:
        yield url


def start(code: str, folder: Path, meter: list[str]) -> subprocess.Popen[bytes]:
    command = [*meter, sys.executable, "-c", code, "--config", str(folder / "config.json")]
    with (folder / "out").open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE)


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_each_economy_is_worth_its_lines(hubspot: str, tmp_path: Path) -> None:
    settings = {"access_token": "pat-na1-first", "tenant_id": "acme", "base_url": hubspot}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    found: dict[str, list[Cost]] = {name: [] for name in RUNS}
    for _ in range(ROUNDS):
        for name, code in RUNS.items():
            cost, ended, log = cost_of(partial(start, code, tmp_path))
            assert ended == 0, log[-3000:]
            found[name].append(cost)
    print(f"\n{DEALS:,} deals with two kinds of links; the best of {ROUNDS}")
    print("| run | CPU us/deal | x as it is | peak MB |\n|---|---|---|---|")
    cpu = {name: min(cost.cpu for cost in costs) for name, costs in found.items()}
    peak = {name: min(cost.peak for cost in costs) for name, costs in found.items()}
    for name in RUNS:
        ratio = cpu[name] / cpu["as it is"]
        print(f"| {name} | {cpu[name] / DEALS * 1e6:.0f} | {ratio:.2f} | {peak[name]:.0f} |")
    assert cpu["as it is"] <= NOISE * min(cpu.values())
    assert peak["as it is"] <= NOISE * min(peak.values())
