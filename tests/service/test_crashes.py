"""Workers that die, freeze and leave, databases that go away: every scan ends right by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from harness.database import Cluster
from hubspot_simulator import Portal, Simulator
from pydantic import SecretStr
from scan_service.engine.leash import TITLE
from scan_service.ledger.migrations import migrate
from service.kit import TOKEN
from service.processes import Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEALS = 4000


@pytest.fixture(scope="module")
def many() -> Portal:
    return Portal.generate(
        DEALS, seed=3, token=TOKEN, contacts=2000, contacts_per_deal=0, companies_per_deal=0
    )


@pytest.fixture
def slow(many: Portal) -> Iterator[Simulator]:
    """A HubSpot that takes its time, so that there is a middle of a scan."""
    with Simulator([many], latency_ms=0) as simulator:
        yield simulator


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of the test's own, to be stopped and killed."""
    made = Cluster()
    made.start()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def service(postgres_server: str, slow: Simulator, tmp_path: Path) -> Iterator[Installation]:
    yield from served(Installation.fresh(postgres_server, tmp_path, slow.url, stop_seconds=8))


@pytest.fixture
def on_cluster(cluster: Cluster, slow: Simulator, tmp_path: Path) -> Iterator[Installation]:
    """The same on a PostgreSQL of its own."""
    asyncio.run(migrate(SecretStr(cluster.url)))
    yield from served(Installation(cluster.url, tmp_path, slow.url, stop_seconds=8))


def served(installation: Installation) -> Iterator[Installation]:
    try:
        installation.serve()
        yield installation
    finally:
        installation.stop()


def in_the_middle(
    service: Installation, slow: Simulator, scan_id: str = "scan-1", **config: Any
) -> None:
    """Start a scan and return while it reads deals."""
    # The tap hands records on by the thousand. Twenty of two hundred pages are under way at once:
    # what is left cannot end by itself meanwhile.
    slow.after(100, lambda: setattr(slow, "latency_ms", 5000), object_type="deals")
    service.start(scan_id, batchSize=20, **config)
    wait_for(lambda: slow.latency_ms, why=service.logs()[-4000:])
    wait_for(
        lambda: service.row(scan_id)["state"] and service.row(scan_id)["processed_items"],
        why=service.logs()[-4000:],
    )
    assert service.row(scan_id)["processed_items"] < DEALS


def runs(service: Installation, attempt: int) -> bool:
    row = service.row("scan-1")
    return row["attempt"] == attempt and row["run_id"] is not None


def assert_complete(service: Installation, slow: Simulator, scan_id: str = "scan-1") -> None:
    data = service.finished(scan_id, seconds=90)
    truth = slow.portal().truth("deals").live
    assert data["status"] == "completed", data["errors"]
    assert service.deals(scan_id) == sorted(truth)
    assert data["progress"]["totalItems"] == len(truth)
    assert service.row(scan_id)["slot"] is None
    wait_for(lambda: not service.members(), seconds=15)
    assert service.run_folders() == []


@pytest.mark.heavy
def test_the_scan_of_a_killed_worker_goes_on_elsewhere_within_30_seconds(
    service: Installation, slow: Simulator
) -> None:
    first = service.work()
    in_the_middle(service, slow)
    service.work()
    run = service.row("scan-1")["run_id"]

    first.kill()
    killed = time.monotonic()
    wait_for(lambda: not service.members(), seconds=5, why="orphans after kill -9")
    gone = time.monotonic() - killed
    assert service.run_folders() == []
    wait_for(lambda: service.row("scan-1")["run_id"] not in (run, None), seconds=30)
    taken = time.monotonic() - killed
    slow.latency_ms = 0

    assert_complete(service, slow)
    print(f"processes and files gone after {gone:.1f} s, taken over after {taken:.1f} s")
    assert service.row("scan-1")["runs"] == 2


def processed(service: Installation, name: str) -> int:
    """How many records of a type the ledger knows of."""
    ((count,),) = service.ledger.run(
        "select (objects -> %s ->> 'processed')::int from scan where scan_id = 'scan-1'", name
    )
    found: int = count
    return found


def assert_all_types(service: Installation, slow: Simulator) -> None:
    """The scan is complete, and so is each of its types."""
    data = service.finished("scan-1", seconds=90)
    assert data["status"] == "completed", data["errors"]
    for name in ("deals", "contacts"):
        truth = slow.portal().truth(name).live
        rows = service.ledger.run(f"select id from scans.{name} order by id")
        assert [row[0] for row in rows] == sorted(truth)
        assert data["progress"]["objects"][name] == {
            "totalItems": len(truth), "processedItems": len(truth), "failedItems": 0,
        }  # fmt: skip
    wait_for(lambda: not service.members(), seconds=15)
    assert service.run_folders() == []


def test_a_leaving_worker_hands_its_scans_over_with_their_bookmark(
    service: Installation, slow: Simulator
) -> None:
    first = service.work()
    in_the_middle(service, slow, objects=["deals", "contacts"])

    first.terminate()
    assert first.wait(30) == 0
    moved = service.row("scan-1")
    kept = processed(service, "contacts")
    slow.latency_ms = 0
    service.work()

    assert moved["status"] == "running"
    assert moved["run_id"] is None
    assert moved["state"], "the bookmark is kept"
    assert kept > 0
    assert_all_types(service, slow)
    row = service.row("scan-1")
    assert (row["attempt"], row["runs"]) == (1, 2)  # a deploy is no failed attempt
    assert row["slot"] is None


@pytest.mark.heavy
def test_a_worker_killed_in_the_second_type_does_not_lose_or_repeat_the_first(
    service: Installation, slow: Simulator
) -> None:
    first = service.work()
    slow.latency_ms = 800  # as in `in_the_middle`
    service.start("scan-1", batchSize=50, objects=["deals", "contacts"])
    # The tap reads the types by the alphabet.
    wait_for(lambda: processed(service, "deals") > 0, seconds=60, why=service.logs()[-4000:])
    slow.latency_ms = 5000
    assert processed(service, "deals") < DEALS
    first.kill()
    wait_for(lambda: not service.members(), seconds=5, why="orphans after kill -9")
    slow.requests.clear()
    slow.latency_ms = 0
    service.work()

    assert_all_types(service, slow)
    # Whether it may be read, and what is archived: not its forty pages once more.
    assert slow.requests.count(endpoint="list", object_type="contacts") < 10
    assert service.row("scan-1")["runs"] == 2


@pytest.mark.heavy
def test_a_frozen_worker_that_thaws_changes_nothing(service: Installation, slow: Simulator) -> None:
    first = service.work()
    in_the_middle(service, slow)
    run = service.row("scan-1")["run_id"]
    for member in service.members("tap-hubspot-deals"):
        member.suspend()  # this run will not end by itself

    first.send_signal(signal.SIGSTOP)
    frozen = time.monotonic()
    service.work()
    wait_for(lambda: not service.members(), seconds=20, why="the leash ends the run")
    leashed = time.monotonic() - frozen
    assert service.row("scan-1")["run_id"] == run, "ended before another may begin"
    assert leashed > 5
    slow.latency_ms = 0
    wait_for(lambda: service.row("scan-1")["run_id"] not in (run, None), seconds=30)
    first.send_signal(signal.SIGCONT)

    assert_complete(service, slow)
    time.sleep(3)
    assert service.row("scan-1")["status"] == "completed"
    print(f"run ended {leashed:.1f} s after its worker froze")


@pytest.mark.heavy
def test_a_loader_that_thaws_writes_nothing_into_the_next_scan_of_its_name(
    postgres_server: str, many: Portal, slow: Simulator, tmp_path: Path
) -> None:
    service = Installation.fresh(
        postgres_server, tmp_path, slow.url, lost_after_seconds=3, sweep_seconds=0.5
    )
    try:
        service.serve()
        first = service.work()
        in_the_middle(service, slow)
        frozen = [psutil.Process(first.pid), *service.members()]  # as if their machine had stopped
        (loader,) = service.members("target-deals-postgres")
        feeders = [*service.members("meltano"), *service.members("tap-hubspot-deals")]
        for process in frozen:
            process.suspend()
        service.ask("POST", "/api/v1/scan/cancel/scan-1")
        service.work()
        wait_for(lambda: service.row("scan-1")["slot"] is None, seconds=20)
        removed = service.ask("DELETE", "/api/v1/scan/remove/scan-1?confirm=true")
        slow.latency_ms = 0
        # The new scan has other rows than the old one.
        one = next(iter(many.truth("deals").live.values())).properties
        filters = {"pipeline": one["pipeline"], "dealStage": one["dealstage"]}
        service.start("scan-1", filters=filters)
        data = service.finished("scan-1")
        before = service.deals("scan-1")

        # The leash and the worker, which would end them, do not thaw.
        for process in (loader, *feeders):
            process.resume()
        wait_for(lambda: not loader.is_running() or loader.status() == "zombie", seconds=30)

        assert removed.status_code == 200, removed.text
        assert data["status"] == "completed", data["errors"]
        assert service.deals("scan-1") == before
        assert 0 < len(before) < DEALS
    finally:
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        service.stop()


@pytest.mark.heavy
def test_a_scan_that_loses_three_workers_fails_with_the_reason(
    service: Installation, slow: Simulator
) -> None:
    slow.latency_ms = 2000
    service.start("scan-1", batchSize=10)
    for number in range(3):
        worker = service.work()
        wait_for(partial(runs, service, number + 1), seconds=40)
        worker.kill()
        worker.wait()
    slow.latency_ms = 0
    service.work()

    data = service.finished("scan-1", seconds=40)

    assert data["status"] == "failed"
    assert "lost 3 times" in data["errors"][-1]["error"]
    assert data["errors"][-1]["retryCount"] == 2
    assert service.row("scan-1")["token"] is None
    assert service.row("scan-1")["slot"] is None


@pytest.mark.parametrize("victim", ["tap-hubspot-deals", "target-deals-postgres", "meltano"])
@pytest.mark.heavy
def test_a_killed_child_is_run_again(service: Installation, slow: Simulator, victim: str) -> None:
    service.work()
    in_the_middle(service, slow)
    for member in service.members(victim):
        member.kill()
    slow.latency_ms = 0

    assert_complete(service, slow)


@pytest.mark.heavy
@pytest.mark.parametrize("seconds", [1, 14])
def test_a_database_that_restarts_loses_no_scan(
    on_cluster: Installation, slow: Simulator, cluster: Cluster, seconds: int
) -> None:
    service = on_cluster
    worker = service.work()
    in_the_middle(service, slow)

    cluster.kill()
    slow.latency_ms = 0
    time.sleep(seconds)
    cluster.start()

    assert_complete(service, slow)
    assert worker.poll() is None, "the worker waits for its database"
    assert service.ask("GET", "/api/v1/stats").status_code == 200


@pytest.mark.heavy
def test_a_killed_server_takes_no_scan_with_it(service: Installation, slow: Simulator) -> None:
    service.work()
    in_the_middle(service, slow)

    service.processes[0].kill()
    service.serve()
    slow.latency_ms = 0

    assert_complete(service, slow)


@pytest.mark.heavy
def test_a_run_whose_worker_and_leash_both_died_is_swept_up(
    service: Installation, slow: Simulator
) -> None:
    first = service.work()
    in_the_middle(service, slow)
    (leash,) = service.members(TITLE)
    leash.kill()
    first.kill()
    (folder,) = service.run_folders()
    os.utime(folder, (time.time() - 3600, time.time() - 3600))

    service.work()

    wait_for(lambda: not folder.exists(), seconds=20)
    slow.latency_ms = 0
    assert_complete(service, slow)
