"""Machines whose clocks are minutes apart: what is decided by time is decided by the database's."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from service.kit import order
from service.processes import HELD, Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_simulator import Portal, Simulator

(LIBRARY, *_) = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None]
pytestmark = pytest.mark.skipif(
    LIBRARY is None, reason="faketime (Debian's package) gives a process a clock of its own"
)
SCANS = ("one", "two")


def clock(offset: str) -> dict[str, str]:
    """The environment of a process whose clock is wrong by so much."""
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME": offset,
        # Pauses take as long as they take, on a machine whose clock is wrong too.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def first_moment(log: Path) -> datetime:
    """When a process wrote its first line, by its own clock."""
    with log.open() as lines:
        return datetime.fromisoformat(json.loads(next(lines))["timestamp"])


@pytest.fixture
def service(postgres_server: str, hubspot: Simulator, tmp_path: Path) -> Iterator[Installation]:
    """A server 45 s ahead; whoever works does one scan at a time, and looks for lost ones often."""
    found = Installation.fresh(
        postgres_server, tmp_path, hubspot.url, concurrency=1, sweep_seconds=0.2
    )
    try:
        found.serve(**clock("+45s"))
        yield found
    finally:
        hubspot.latency_ms = 0
        found.stop()


def test_workers_with_clocks_90_s_apart_neither_lose_nor_double_a_scan(
    service: Installation, hubspot: Simulator, portal: Portal
) -> None:
    workers = [service.work(**clock("+90s")), service.work(**clock("-90s"))]
    ahead, behind = (first_moment(service.folder / f"work-{number}.log") for number in (1, 2))
    assert ahead - behind > timedelta(seconds=60)
    ((before,),) = service.ledger.run("select clock_timestamp()")
    for name in SCANS:
        service.start(name)
    hubspot.latency_ms = HELD
    wait_for(
        lambda: service.ledger.run(
            "select count(distinct worker) from scan where status = 'running'"
            " having count(distinct worker) = 2"
            # Each has looked for lost runs ten times meanwhile.
            " and max(started_at) < clock_timestamp() - interval '2 s'"
        ),
        why=service.logs()[-3000:],
    )
    third = service.ask("POST", "/api/v1/scan/start", json=order(SCANS[0]))
    hubspot.latency_ms = 0
    ended = [service.finished(name) for name in SCANS]

    assert third.status_code == 409
    assert [each["status"] for each in ended] == ["completed"] * 2, ended
    for name in SCANS:
        assert service.deals(name) == sorted(portal.truth("deals").live)
        row = service.row(name)
        assert (row["runs"], row["attempt"], row["slot"]) == (1, 1, None)
    # And what is told of times is the database's.
    assert service.ledger.run(
        "select bool_and(%s < created_at and created_at <= started_at"
        " and started_at <= completed_at and completed_at < clock_timestamp()) from scan",
        before,
    ) == [(True,)]
    assert [worker.poll() for worker in workers] == [None, None]
