"""What a worker does when its runs, or it itself, end in ways that nobody planned.

The `meltano` of these tests is a script: what is tried is the worker around it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from scan_service.db import Database
from scan_service.engine.jobs import Engine
from scan_service.ledger import runs
from service.processes import Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hubspot_simulator import Simulator

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
                postgres_server, tmp_path, hubspot.url, meltano=meltano, stop_seconds=2, **settings
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
    service.work()

    data = service.finished("scan-1")

    assert data["status"] == "failed"
    (error,) = data["errors"]
    assert error["code"] == "INTERNAL_ERROR"
    reference = error["error"].rpartition("run ")[2]
    assert f'"run": "{reference}"' in service.logs()
    assert "surprise" not in error["error"]
    assert service.row("scan-1")["runs"] == 1
    assert service.row("scan-1")["slot"] is None
    assert service.row("scan-1")["token"] is None


def test_a_cancelled_scan_whose_worker_leaves_still_ends_as_it_should(making: Making) -> None:
    service = making("trap '' TERM; while :; do sleep 0.2; done")
    service.start("scan-1")
    worker = service.work()
    wait_for(service.run_folders, seconds=20)

    service.ask("POST", "/api/v1/scan/cancel/scan-1")
    time.sleep(2.5)  # it is being stopped, which this script resists
    worker.terminate()

    assert worker.wait(40) == 0
    row = service.row("scan-1")
    assert (row["status"], row["run_id"], row["slot"]) == ("cancelled", None, None)
    assert service.run_folders() == []
    assert service.members() == []
    assert "InvalidStateError" not in service.logs()


def test_runs_that_get_further_do_not_use_up_the_attempts(making: Making) -> None:
    service = making("exit 0")
    service.start("scan-1")
    ((scan, job),) = service.ledger.run("select id, job_id from scan")

    async def hiccup(*, advanced: bool) -> int:
        db, engine = Database(SecretStr(service.ledger.url)), Engine()
        await db.open()
        await engine.open(db.pool)
        try:
            ((current,),) = service.ledger.run("select job_id from scan")
            taken = await runs.take(db, scan, current, worker="test")
            assert taken
            progress = runs.Progress(state={"bookmarks": {}}, advanced=advanced)
            await runs.report(db, taken["run_id"], progress)
            await runs.give_back(db, engine, taken["run_id"], progress)
            return int(service.row("scan-1")["attempt"])
        finally:
            await db.close()

    seen = [asyncio.run(hiccup(advanced=far)) for far in (False, True, True, False, False)]

    assert job is not None
    assert seen == [1, 1, 1, 2, 3]
    assert service.row("scan-1")["runs"] == 5
