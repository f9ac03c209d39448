"""An upgrade by docs/operations.md: earlier releases at work, and scans running meanwhile."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from harness.database import new_database
from harness.earlier import earlier
from hubspot_simulator import Portal, Simulator
from service.kit import ROOT, TENANT, TOKEN
from service.processes import BIN, Installation, wait_for

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

DEALS = 8000  # four hundred pages of a run: none ends before the other has begun
SCANS = ("first", "second", "third", "fourth")
LARGE: dict[str, Any] = {"batchSize": 20, "properties": ["dealname"], "associations": []}
SMALL: dict[str, Any] = {"objects": ["companies"]}


def keys(service: Installation) -> str:
    """A key of the tenant, made by the version that is installed."""
    made = service.command("keys", "create", "--tenant", TENANT)
    assert made.wait(60) == 0, service.logs()
    (log,) = service.folder.glob("keys-*.log")
    return log.read_text().strip()


def migrates(service: Installation) -> None:
    assert service.command("migrate").wait(120) == 0, service.logs()


def under_way(service: Installation, name: str) -> bool:
    row = service.row(name)
    return bool(row["run_id"] and row["state"] and row["processed_items"])


def got_further(service: Installation, name: str, than: int) -> bool:
    return bool(service.row(name)["processed_items"] > than)


def two_run_and_two_wait(service: Installation, hubspot: Simulator) -> None:
    hubspot.latency_ms = 700
    for name in SCANS:
        service.start(name, **(LARGE if name in SCANS[:2] else SMALL))
    for name in SCANS[:2]:
        wait_for(partial(under_way, service, name), seconds=120, why=service.logs()[-4000:])
    hubspot.latency_ms = 5000  # what is left cannot end by itself meanwhile


def ends(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    return process.wait(60)


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "commit",
    [
        pytest.param("91d4c56", id="0007"),
        pytest.param("7c0c48e", id="0013"),
        pytest.param("550143b", id="0021"),
    ],
)
def test_scans_of_an_earlier_release_go_on_in_this_one(
    commit: str, postgres_server: str, tmp_path: Path
) -> None:
    logs = tmp_path / "service"
    logs.mkdir()
    portal = Portal.generate(DEALS, seed=5, token=TOKEN, contacts_per_deal=0, companies=50)
    truth = {name: sorted(portal.truth(name).live) for name in ("deals", "companies")}
    with (
        earlier(tmp_path / "earlier", commit) as root,
        Simulator([portal], latency_ms=0) as hubspot,
    ):
        service = Installation(
            new_database(postgres_server), logs, hubspot.url, concurrency=2, stop_seconds=8
        )
        try:
            service.install(root, root / ".venv" / "bin")
            migrates(service)
            service.key = keys(service)
            old_server = service.serve()
            old_worker = service.work()
            old_url = service.url
            service.start("before", mode="incremental", **SMALL)
            assert service.finished("before")["status"] == "completed"

            two_run_and_two_wait(service, hubspot)

            service.install(ROOT, BIN)
            migrates(service)
            seen = {name: service.row(name) for name in SCANS}
            hubspot.latency_ms = 700
            further = partial(got_further, service, "first", seen["first"]["processed_items"])
            wait_for(further, why=service.logs()[-4000:])
            hubspot.latency_ms = 5000
            during = service.status("first")  # of the older server
            service.start("during", **SMALL)
            new_worker = service.work()
            assert ends(old_worker) == 0
            hubspot.latency_ms = 0
            service.serve()
            assert service.url != old_url
            assert ends(old_server) in (0, -signal.SIGTERM)  # as uvicorn ends

            ended = {name: service.finished(name, 120) for name in ("before", "during", *SCANS)}
            rows = {name: service.row(name) for name in SCANS}
            service.start("after", mode="incremental", **SMALL)
            after = service.finished("after")
            assert ends(new_worker) == 0
            listed = service.ask("GET", "/api/v1/scan/list?page_size=100").json()["data"]
        finally:
            service.stop()

    assert [seen[name]["run_id"] is not None for name in SCANS] == [True, True, False, False]
    assert during["status"] == "running"
    for name, data in ended.items():
        assert data["status"] == "completed", data["errors"]
        kind = "deals" if name in SCANS[:2] else "companies"
        found = service.ledger.run(f"select id from scans.{kind} where _scan_id = %s", name)
        assert sorted(each for (each,) in found) == truth[kind], name
        assert data["progress"]["processedItems"] == len(truth[kind])
    assert [(row["attempt"], row["slot"]) for row in rows.values()] == [(1, None)] * 4
    assert after["status"] == "completed", after["errors"]
    assert len(listed["scans"]) == len(ended) + 1
