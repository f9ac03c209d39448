"""Contacts into HubSpot: whole runs of the target against the account's limit, 250 ms away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests
from harness.beside import Cost, cost_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTACTS = int(os.environ.get("BENCH_WRITE_CONTACTS", "100000"))
TOKEN = "pat-na1-first"
LATENCY_MS = 250
IN_FLIGHT = 4
INTERVAL = 10.0
AT_MOST = IN_FLIGHT * INTERVAL * 1000 / LATENCY_MS
"""Requests in ten seconds that so many in flight can make at this latency."""


class Hub:
    """The simulator in a process of its own, with a limit that it enforces."""

    def __init__(self) -> None:
        options = ["--port", "0", "--deals", "1", "--contacts-per-deal", "0", "--limits"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hubspot_simulator", *options, "--latency-ms", str(LATENCY_MS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]
        self.portal = self.ask("/portals")[0]["portal_id"]

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """One of the simulator's own endpoints."""
        url = f"{self.url}/_simulator{path}"
        return requests.request(method, url, json=body, timeout=120).json()

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate()


@pytest.fixture
def hub() -> Iterator[Hub]:
    running = Hub()
    yield running
    running.stop()


def messages(path: Path, count: int) -> Path:
    """A stream of contacts, in a file."""
    names = ("email", "firstname", "lastname", "city", "zip", "phone")
    kinds = {name: {"type": "string"} for name in names}
    schema = {"properties": kinds}
    with path.open("w") as file:
        first = {"type": "SCHEMA", "stream": "contacts", "schema": schema}
        file.write(json.dumps({**first, "key_properties": ["email"]}) + "\n")
        for n in range(count):
            values = (f"p{n}@example.com", "Ada", f"Muster{n}", "Ulm", "01067", "0711 1")
            record = dict(zip(names, values, strict=True))
            message = {"type": "RECORD", "stream": "contacts", "record": record}
            file.write(json.dumps(message) + "\n")
    return path


def loaded(hub: Hub, folder: Path, count: int, *, limit: int, compare: bool) -> tuple[Cost, Any]:
    """Run the target over so many contacts; its cost, and the calls that HubSpot got."""
    hub.ask("/requests", "DELETE")
    hub.ask(f"/{hub.portal}/settings", "POST", {"general": limit})
    config = folder / "config.json"
    config.write_text(json.dumps({"access_token": TOKEN, "base_url": hub.url, "compare": compare}))
    command = [sys.executable, "-m", "target_hubspot", "--config", str(config)]
    source = messages(folder / "in.jsonl", count)

    def start(words: list[str]) -> subprocess.Popen[bytes]:
        with source.open("rb") as file:
            return subprocess.Popen([*words, *command], stdin=file, stderr=subprocess.PIPE)

    cost, code, log = cost_of(start)
    assert code == 0, log
    return cost, hub.ask("/requests")


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("limit", [100, 190])
@pytest.mark.parametrize("compare", [False, True], ids=["upserts", "reads and upserts"])
def test_writing_comes_near_the_accounts_limit(
    hub: Hub, tmp_path: Path, limit: int, *, compare: bool
) -> None:
    count = CONTACTS // 2 if compare else CONTACTS  # the same number of calls

    cost, log = loaded(hub, tmp_path, count, limit=limit, compare=compare)

    calls = [each for each in log["requests"] if each["endpoint"].startswith("batch")]
    began = min(each["started"] for each in calls)
    seconds = max(each["started"] for each in calls) - began
    rate = len(calls) / seconds * INTERVAL
    latency = sum(each["ended"] - each["started"] for each in calls) / len(calls)
    refused = log["by_status"].get("429", 0)
    print(
        f"\n{count:,} contacts, compare {compare}: {rate:.0f} calls in 10 s of {limit} allowed "
        f"({rate / limit:.0%}), {count / cost.wall:,.0f} contacts/s, "
        f"{latency * 1000:.0f} ms a call, {log['max_in_flight']} in flight, {refused} refused, "
        f"peak {cost.peak:.0f} MB, "
        f"{cost.cpu / count * 1e6:.0f} us of CPU a contact"
    )
    assert log["max_in_flight"] <= IN_FLIGHT
    assert refused <= 0.01 * len(calls)
    if limit < AT_MOST:
        assert rate >= 0.9 * limit
    else:  # the calls in flight, and what a busy machine adds to the latency, are the ceiling
        assert rate >= 0.75 * IN_FLIGHT * INTERVAL / latency


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
def test_memory_does_not_grow_with_the_number_of_contacts(hub: Hub, tmp_path: Path) -> None:
    hub.ask("/world", "POST", {"latency_ms": 0})
    few, _ = loaded(hub, tmp_path, CONTACTS // 5, limit=100_000, compare=False)
    many, _ = loaded(hub, tmp_path, CONTACTS, limit=100_000, compare=False)
    print(f"\npeak of {CONTACTS // 5:,} contacts: {few.peak:.0f} MB, of all: {many.peak:.0f} MB")
    assert many.peak < few.peak + 10
