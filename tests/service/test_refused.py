"""Records that the database refuses show while the scan runs, and one by one at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hubspot_simulator import Portal, Simulator
from service.kit import TOKEN
from service.processes import Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEALS = 4000


@pytest.fixture
def portal() -> Portal:
    return Portal.generate(DEALS, seed=3, token=TOKEN)


@pytest.fixture
def slow(portal: Portal) -> Iterator[Simulator]:
    with Simulator([portal], latency_ms=0) as simulator:
        yield simulator


@pytest.fixture
def service(postgres_server: str, slow: Simulator, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation.fresh(postgres_server, tmp_path, slow.url)
    try:
        installation.serve()
        installation.work()
        yield installation
    finally:
        slow.latency_ms = 0
        installation.stop()


@pytest.mark.timeout(300)
def test_refused_records_are_counted_while_the_scan_runs(
    service: Installation, slow: Simulator, portal: Portal
) -> None:
    # Of a year without deals: it makes their table and has nothing to read.
    service.start("makes-the-table", dateRange={"startDate": "1999-01-01", "endDate": "1999-12-31"})
    service.finished("makes-the-table")
    refused = sorted(portal.ids("deals"))[:2]
    listed = ", ".join(f"'{each}'" for each in refused)
    service.ledger.run(
        f"alter table scans.deals add constraint odd"
        f" check (_scan_id <> 'watched' or id not in ({listed}))"
    )

    # What comes after a while makes the target write what it has; the end is some of these away.
    slow.after(100, lambda: setattr(slow, "latency_ms", 3000), object_type="deals")
    service.start("watched", batchSize=20)
    during = wait_for(
        lambda: (
            (data := service.status("watched"))["progress"]["failedItems"] == len(refused) and data
        ),
        seconds=90,
        pause=0.5,
        why=service.logs()[-3000:],
    )
    slow.latency_ms = 0
    after = service.finished("watched", seconds=90)

    assert during["status"] == "running"
    assert during["progress"]["processedItems"] < DEALS
    (error,) = during["errors"]
    assert error["code"] == "VALIDATION_ERROR"
    assert error["error"].startswith("2 records of deals refused")
    assert after["progress"]["failedItems"] == len(refused)
    assert after["progress"]["processedItems"] == DEALS
    assert sorted(each["dealId"] for each in after["errors"]) == refused
