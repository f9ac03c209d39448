"""What a worker does when its runs, or it itself, end in ways that nobody planned.

The `meltano` of these tests is a script: what is tried is the worker around it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from pydantic import SecretStr
from scan_service.db import Database
from scan_service.engine.jobs import Engine
from scan_service.ledger import runs
from scan_service.ledger.progress import Progress
from service.processes import Installation, free_port, wait_for
from service.test_watching import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hubspot_simulator import Simulator
    from service.kit import Client, Ledger

    Making = Callable[..., Installation]


@pytest.fixture
def making(postgres_server: str, hubspot: Simulator, tmp_path: Path) -> Iterator[Making]:
    """Makes an installation whose `meltano` does what a test wants."""
    made: list[Installation] = []

    def make(script: str, **settings: Any) -> Installation:
        meltano = tmp_path / "meltano"
        meltano.write_text(f"#!/bin/sh\n{script}\n")
        meltano.chmod(0o700)
        made.append(
            Installation.fresh(
                postgres_server,
                tmp_path,
                hubspot.url,
                meltano=meltano,
                stop_seconds=2,
                sweep_seconds=0.5,
                **settings,
            )
        )
        made[-1].serve()
        return made[-1]

    yield make
    for each in made:
        each.stop()


def test_what_nobody_expected_fails_a_scan_once_and_says_where_to_look(making: Making) -> None:
    service = making("exit 0")
    # Where the table of its records should be is something else.
    service.ledger.run("create view scans.deals as select 1 as surprise")
    service.start("scan-1")
    port = free_port()
    service.work(SCAN_SERVICE_WORKER_PORT=str(port), SCAN_SERVICE_METRICS_TOKEN="hush")
    second = service.command("work", SCAN_SERVICE_WORKER_PORT=str(port))

    data = service.finished("scan-1")

    assert metrics(port).status_code == 401
    text = metrics(port, Authorization="Bearer hush").text
    assert f'{NUMBER}ended_runs_total{{code="INTERNAL_ERROR"}} 1.0' in text
    assert second.wait(60) == 1
    assert f"SCAN_SERVICE_WORKER_PORT: 127.0.0.1:{port} cannot be" in service.logs()
    assert data["status"] == "failed"
    (error,) = data["errors"]
    assert error["code"] == "INTERNAL_ERROR"
    reference = error["error"].rpartition("run ")[2]
    assert f'"run": "{reference}"' in service.logs()
    assert "surprise" not in error["error"]
    assert service.row("scan-1")["runs"] == 1
    assert service.row("scan-1")["slot"] is None
    assert service.row("scan-1")["token"] is None


Told = dict[tuple[str, tuple[tuple[str, str], ...]], float]
NUMBER = "scan_service_worker_"


def metrics(port: int, **headers: str) -> requests.Response:
    return requests.get(f"http://127.0.0.1:{port}/metrics", headers=headers, timeout=20)


def told(port: int, until: Callable[[Told], bool]) -> Told:
    """What a worker tells once something is true of it."""
    found: Told = {}

    def look() -> bool:
        found.update(values(metrics(port).text))
        return until(found)

    wait_for(look)
    return found


def test_a_cancelled_scan_whose_worker_leaves_still_ends_as_it_should(making: Making) -> None:
    service = making("trap '' TERM; while :; do sleep 0.2; done")
    service.start("scan-1")
    port = free_port()
    worker = service.work(SCAN_SERVICE_WORKER_PORT=str(port))
    # What forks, what holds the leash, and the script.
    running = told(port, lambda found: found[f"{NUMBER}children", ()] >= 3)
    swept = ("step", "repair")
    later = told(port, lambda found: found.get((f"{NUMBER}step_seconds_count", (swept,)), 0) >= 1)

    service.ask("POST", "/api/v1/scan/cancel/scan-1")
    time.sleep(2.5)  # it is being stopped, which this script resists
    worker.terminate()

    assert worker.wait(40) == 0
    row = service.row("scan-1")
    assert (row["status"], row["run_id"], row["slot"]) == ("cancelled", None, None)
    assert service.run_folders() == []
    assert service.members() == []
    assert "InvalidStateError" not in service.logs()
    assert running[f"{NUMBER}running_runs", ()] == 1
    assert running[f"{NUMBER}children_resident_bytes", ()] > 1e6
    assert running["process_resident_memory_bytes", ()] > 1e7
    for step in ("prepare", "start"):
        assert running[f"{NUMBER}step_seconds_count", (("step", step),)] == 1, step
    assert 0 <= time.time() - later[f"{NUMBER}heartbeat_timestamp_seconds", ()] < 300


def test_runs_that_get_further_do_not_use_up_the_attempts(client: Client, ledger: Ledger) -> None:
    client.start("scan-1")
    ((scan, job),) = ledger.run("select id, job_id from scan")

    async def hiccup(*, advanced: bool) -> int:
        db, engine = Database(SecretStr(ledger.url)), Engine()
        await db.open()
        await engine.open(db.pool)
        try:
            ((current,),) = ledger.run("select job_id from scan")
            taken = await runs.take(db, scan, current, worker="test")
            assert taken
            progress = Progress(state={"bookmarks": {}}, advanced=advanced)
            await runs.report(db, taken["run_id"], progress)
            await runs.give_back(db, engine, taken["run_id"], progress)
            ((attempt,),) = ledger.run("select attempt from scan")
            return int(attempt)
        finally:
            await db.close()

    seen = [asyncio.run(hiccup(advanced=far)) for far in (False, True, True, False, False)]

    assert job is not None
    assert seen == [1, 1, 1, 2, 3]
    assert ledger.run("select runs from scan") == [(5,)]
