"""What a status says while a scan runs is true: waits, time, counts, and what is over is gone."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from scan_service.db import Database
from scan_service.engine.jobs import Engine
from scan_service.ledger import runs
from scan_service.ledger.progress import Progress, problem
from service.kit import TENANT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from service.kit import Client, Ledger

LONG = 3600.0
LIVE = {
    "waiting": {"code": "HUBSPOT_RATE_LIMIT", "reason": "Too many requests", "seconds": LONG},
    "errors": [
        {"dealId": None, "code": "HUBSPOT_RATE_LIMIT", "error": "Too many requests",
         "timestamp": "2025-11-10T16:00:00Z", "retryCount": 1}
    ],
}  # fmt: skip


class Worker:
    """Does to the ledger what a worker does, step by step."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.run: dict[str, Any] = {}

    def _do(self, step: Callable[[Database, Engine], Awaitable[Any]]) -> Any:
        async def all_of_it() -> Any:
            db, engine = Database(SecretStr(self.ledger.url)), Engine()
            await db.open()
            await engine.open(db.pool)
            try:
                return await step(db, engine)
            finally:
                await db.close()

        return asyncio.run(all_of_it())

    def take(self) -> None:
        ((scan, job),) = self.ledger.run("select id, job_id from scan")
        self.run = self._do(lambda db, _: runs.take(db, scan, job, worker="test"))

    def report(self, progress: Progress) -> None:
        assert self._do(lambda db, _: runs.report(db, self.run["run_id"], progress)) == "running"

    def give_back(self, progress: Progress) -> None:
        self._do(lambda db, engine: runs.give_back(db, engine, self.run["run_id"], progress))

    def finish(self, progress: Progress, status: str = "completed") -> None:
        self._do(lambda db, engine: runs.finish(db, engine, self.run["run_id"], status, progress))


@pytest.fixture
def worker(client: Client, ledger: Ledger) -> Worker:
    """One that has begun the only scan."""
    client.start("scan-1")
    found = Worker(ledger)
    found.take()
    return found


def status(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/v1/scan/status/scan-1").json()["data"]
    return found


def test_a_wait_ends_not_before_it_is_over_and_belongs_to_the_time_that_is_left(
    client: Client, worker: Worker
) -> None:
    worker.report(Progress(processed=30, live={**LIVE}))

    answer = client.get("/api/v1/scan/status/scan-1").json()
    data = answer["data"]
    ((over,),) = worker.ledger.run("select seen_at + interval '1 hour' from scan")

    until = datetime.fromisoformat(data["waiting"]["until"])
    assert 0 <= (until - over).total_seconds() < 1
    asked = datetime.fromisoformat(answer["timestamp"])
    waits = (until - asked).total_seconds()
    assert data["timing"]["estimatedRemainingSeconds"] > waits - 60
    left = datetime.fromisoformat(data["timing"]["estimatedCompletionAt"]) - asked
    assert abs(left.total_seconds() - data["timing"]["estimatedRemainingSeconds"]) <= 2


def test_another_run_begins_without_the_waits_of_the_one_before(
    client: Client, worker: Worker
) -> None:
    worker.report(Progress(live={**LIVE}))
    before = status(client)
    worker.give_back(Progress(live={**LIVE}))
    between = status(client)
    worker.take()
    after = status(client)

    assert before["waiting"]["code"] == "HUBSPOT_RATE_LIMIT"
    assert before["errors"][0]["retryCount"] == 1
    for each in (between, after):
        assert (each["status"], each["waiting"], each["errors"]) == ("running", None, [])


def test_a_scan_that_completed_lists_no_failure_that_it_got_over(
    client: Client, worker: Worker
) -> None:
    failure = problem("DATABASE_ERROR", "The loader was killed", attempt=1)
    worker.give_back(Progress(errors=[failure]))
    during = status(client)
    worker.take()
    worker.finish(Progress(errors=[failure]))

    assert during["errors"] == [failure]
    assert status(client)["errors"] == []


def test_a_record_that_every_run_refused_is_one_and_one_that_was_stored_later_is_none(
    client: Client, worker: Worker
) -> None:
    worker.ledger.make_results("scan-1", [{"id": "1"}, {"id": "3"}, {"id": "4"}])
    worker.ledger.run(
        "create table scans._rejected_records (stream text, _tenant_id text, record_key text,"
        " reason text, payload text, rejected_at timestamptz, overtaken boolean, nulled text[])"
    )
    for record, at, overtaken, nulled in (
        ("2", "16:00", None, None), ("2", "16:05", None, None), ("3", "16:01", True, None),
        ("4", "16:02", None, ["amount"]), ("5", "16:03", None, None),
    ):  # fmt: skip
        key = json.dumps({"_tenant_id": TENANT, "_scan_id": "scan-1", "id": record})
        worker.ledger.run(
            "insert into scans._rejected_records values"
            " ('deals', %s, %s, 'too big', '{}', %s::timestamptz, %s, %s)",
            TENANT, key, f"2025-11-10T{at}:00Z", overtaken, nulled,
        )  # fmt: skip
    worker.finish(Progress())

    data = status(client)

    assert data["progress"]["failedItems"] == 2
    assert data["progress"]["processedItems"] == data["progress"]["totalItems"] == 5
    assert data["progress"]["successRate"] == "60.0%"
    listed = {(each["dealId"], each["timestamp"]) for each in data["errors"]}
    assert listed == {("2", "2025-11-10T16:05:00Z"), ("5", "2025-11-10T16:03:00Z")}


def test_a_run_that_begins_anew_counts_nothing_twice() -> None:
    counts = {"total": 100, "processed": 60, "failed": 2}
    before = {
        "processed_items": 60, "failed_items": 2, "total_items": 100, "objects": {"deals": counts},
        "state": None,
    }  # fmt: skip
    progress = Progress()

    seen = []
    for written, refused in ((10, 0), (60, 2), (100, 3)):
        progress.count(before, Counter(deals=written), Counter(deals=refused))
        seen.append((progress.processed, progress.failed))
    assert seen == [(60, 2), (60, 2), (100, 3)]
    assert progress.objects == {"deals": {"total": 100, "processed": 100, "failed": 3}}

    progress.count({**before, "state": {"bookmarks": {}}}, Counter(deals=10), Counter())
    assert (progress.processed, progress.failed) == (70, 2)


@pytest.mark.parametrize("is_of_types", [False, True])
def test_pages_that_are_read_again_do_not_make_more_than_there_is(is_of_types: bool) -> None:  # noqa: FBT001
    counts = {"total": 100, "processed": 60, "failed": 0}
    before: dict[str, Any] = {
        "processed_items": 60, "failed_items": 0, "total_items": 100,
        "objects": {"deals": counts} if is_of_types else None, "state": {"bookmarks": {}},
    }  # fmt: skip
    progress = Progress()

    seen = []
    for written in (30, 60):
        progress.count(before, Counter(deals=written), Counter())
        seen.append(progress.processed)

    assert seen == [90, 100]


def test_the_total_of_all_types_is_the_sum_of_what_each_says(
    client: Client, ledger: Ledger
) -> None:
    client.start("scan-1", objects=["deals", "contacts"])
    worker = Worker(ledger)
    worker.take()
    worker.report(Progress(processed=110, objects={
        "deals": {"total": 100, "processed": 110, "failed": 0},
        "contacts": {"total": 50, "processed": 0, "failed": 0},
    }))  # fmt: skip

    progress = status(client)["progress"]
    (listed,) = client.get("/api/v1/scan/list").json()["data"]["scans"]

    assert [each["totalItems"] for each in progress["objects"].values()] == [110, 50]
    assert progress["totalItems"] == listed["totalItems"] == 160
    assert progress["percentComplete"] == 68.8


def test_properties_are_kept_when_they_are_told_and_not_with_every_report(
    client: Client, worker: Worker
) -> None:
    assert client.key
    progress = Progress(columns={"deals": {"standard": {"amount": "number"}, "custom": {}}})
    worker.report(progress)
    ((kept,),) = worker.ledger.run("update scan set columns = columns - 'deals' returning true")
    worker.report(progress)
    ((after,),) = worker.ledger.run("select columns from scan")

    assert (kept, after) == (True, {})
