"""Tap and target beside those of an earlier commit: one HubSpot, one PostgreSQL, one run."""

from __future__ import annotations

import json
import os
import subprocess
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from harness.beside import Cost, cost_of, durable_server, hubspot_beside
from harness.database import connect, drop_database, new_database
from harness.earlier import COMMIT, earlier
from harness.meltano import BIN, TAP, TARGET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEALS = int(os.environ.get("BENCH_EARLIER_DEALS", "20000"))
ROUNDS = int(os.environ.get("BENCH_EARLIER_ROUNDS", "5"))
LOADS = ("first load", "re-load")
TOKEN = "pat-na1-first"
NOISE = 1.1
"""What CPU time may differ by on a machine that others use too."""


@pytest.fixture(name="hubspot")
def _hubspot() -> Iterator[str]:
    with hubspot_beside(DEALS) as url:
        yield url


def read(programs: Path, hubspot: str, messages: Path) -> Cost:
    """Read all deals with their links into a file."""
    config = {"access_token": TOKEN, "tenant_id": "acme", "base_url": hubspot}
    with messages.open("wb") as output:
        return run(programs / TAP, messages.with_suffix(".tap"), config, stdout=output)


def load(programs: Path, server: str, messages: Path) -> tuple[Cost, Cost]:
    """Load a file into an empty database, and again."""
    url = new_database(server)
    costs = []
    for _ in range(2):
        with messages.open("rb") as lines:
            config = {"database_url": url}
            costs.append(
                run(programs / TARGET, messages.with_suffix(".target"), config, stdin=lines)
            )
    with connect(url) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM hubspot.deals")
        assert cursor.fetchone() == (DEALS,)
    drop_database(server, url)
    return costs[0], costs[1]


def run(program: Path, settings: Path, config: dict[str, Any], **streams: Any) -> Cost:
    settings.write_text(json.dumps(config))
    streams.setdefault("stdout", subprocess.DEVNULL)
    command = [str(program), "--config", str(settings)]
    cost, code, log = cost_of(
        lambda meter: subprocess.Popen([*meter, *command], stderr=subprocess.PIPE, **streams)
    )
    assert code == 0, log[-3000:]
    return cost


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_it_is_no_slower_than_before(hubspot: str, tmp_path: Path) -> None:
    found: dict[str, list[dict[str, Cost]]] = {step: [] for step in ("tap", *LOADS)}
    with earlier(tmp_path / "earlier") as root, durable_server() as server:
        sides = {"now": BIN, COMMIT: root / ".venv/bin"}
        for number in range(ROUNDS):
            # One right after the other, the other one first in the next round: what else the
            # machine does then meets both.
            order = sorted(sides, reverse=bool(number % 2))
            lines = {name: tmp_path / f"{name}.singer" for name in order}
            found["tap"].append({n: read(sides[n], hubspot, lines[n]) for n in order})
            loads = {n: load(sides[n], server, lines[n]) for n in order}
            for place, step in enumerate(LOADS):
                found[step].append({n: costs[place] for n, costs in loads.items()})
    print(
        f"\n{DEALS:,} deals of 59 properties with two kinds of links; the best of {ROUNDS} rounds,"
    )
    print("and the median of the rounds' ratios")
    print(f"| step | CPU us/deal now | at {COMMIT} | ratio | s now | at {COMMIT} | MB now | then |")
    print("|---|---|---|---|---|---|---|---|")
    ratios = {}
    for step, rounds in found.items():
        ratios[step] = median(each["now"].cpu / each[COMMIT].cpu for each in rounds)
        mine, theirs = ([each[name] for each in rounds] for name in ("now", COMMIT))
        cpu, before = (min(c.cpu for c in side) / DEALS * 1e6 for side in (mine, theirs))
        wall, wall_before = (min(c.wall for c in side) for side in (mine, theirs))
        peak, peak_before = (max(c.peak for c in side) for side in (mine, theirs))
        print(
            f"| {step} | {cpu:.0f} | {before:.0f} | {ratios[step]:.2f} "
            f"| {wall:.1f} | {wall_before:.1f} | {peak:.0f} | {peak_before:.0f} |"
        )
    assert max(ratios.values()) <= NOISE
