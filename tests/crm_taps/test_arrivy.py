"""Arrivy: the rolling window, tasks without a date, lists that ignore paging, ids of 64 bits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from crm_taps.errors import InconsistentError, RefusedError, UnauthorizedError
from crm_taps.sources.arrivy import TapArrivy
from harness.vendors.arrivy import FIRST, Arrivy
from harness.vendors.running import load, read, rows
from singer_sdk.testing import get_tap_test_class

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:No records were available to test")
FAKE = Arrivy().start()

TestSuite = get_tap_test_class(
    TapArrivy,
    config={
        "tenant_id": "acme",
        "auth_key": FAKE.key,
        "auth_token": FAKE.token,
        "base_url": FAKE.url,
        "requests_per_minute": 5000,
    },
)


@pytest.fixture(scope="module", autouse=True)
def _stop() -> Iterator[None]:
    yield
    FAKE.stop()


@pytest.fixture
def arrivy() -> Iterator[Arrivy]:
    with Arrivy(tasks=1100) as vendor:
        yield vendor


def config(arrivy: Arrivy, **settings: Any) -> dict[str, Any]:
    return {
        "base_url": arrivy.url,
        "auth_key": arrivy.key,
        "auth_token": arrivy.token,
        "requests_per_minute": 5000,
        **settings,
    }


def test_all_tasks_arrive_once_those_without_a_date_too(arrivy: Arrivy) -> None:
    output = read(TapArrivy, config(arrivy))
    ids = [r["id"] for r in output.records("tasks")]

    assert sorted(ids) == sorted(t["id"] for t in arrivy.tasks)
    assert sum(r["unscheduled"] for r in output.records("tasks")) == 3


def test_lists_that_ignore_paging_arrive_once(arrivy: Arrivy) -> None:
    output = read(TapArrivy, config(arrivy))

    for stream, entries in arrivy.lists.items():
        assert [r["id"] for r in output.records(stream)] == [e["id"] for e in entries]


def test_a_later_run_reads_the_window_and_the_future_again(arrivy: Arrivy) -> None:
    first = read(TapArrivy, config(arrivy))
    arrivy.tasks[0]["status"] = "CANCELLED"
    arrivy.tasks[20]["title"] = "Edited late"
    second = read(TapArrivy, config(arrivy, window_days=30), state=first.state)
    seen = {r["id"]: r for r in second.records("tasks")}
    earliest = datetime.now(UTC) - timedelta(days=31)

    assert seen[FIRST]["status"] == "CANCELLED"
    assert seen[FIRST + 20]["title"] == "Edited late"
    assert len(seen) < 40
    assert all(
        datetime.fromisoformat(r["start_datetime"]) >= earliest
        for r in seen.values()
        if not r["unscheduled"]
    )


def test_start_date_limits_dated_tasks(arrivy: Arrivy) -> None:
    start = datetime.now(UTC) - timedelta(days=100)
    output = read(TapArrivy, config(arrivy, start_date=start.isoformat()))
    query = next(r.query for r in arrivy.requests if r.path == "/tasks")

    assert len([r for r in output.records("tasks") if not r["unscheduled"]]) in {101, 102}
    assert query["from"][0].endswith("+00:00")


def test_times_without_a_zone_are_read_in_the_one_that_is_set(arrivy: Arrivy) -> None:
    task = {**arrivy.tasks[0], "updated": "2026-01-31T12:00:00"}
    arrivy.tasks[:] = [task]
    output = read(TapArrivy, config(arrivy, time_zone="America/New_York"))

    assert output.records("tasks")[0]["updated"] == "2026-01-31T17:00:00.000000+00:00"


def test_a_missing_list_and_bad_credentials_are_told(arrivy: Arrivy) -> None:
    arrivy.fail(404, path="statuses")
    with pytest.raises(RefusedError, match=r"404 for statuses.*deselect"):
        read(TapArrivy, config(arrivy))
    with pytest.raises(UnauthorizedError):
        read(TapArrivy, config(arrivy, auth_key="x"))
    arrivy.fail(200, path="tasks", nth=2, body=[{"id": t["id"]} for t in arrivy.tasks[:500]])
    with pytest.raises(InconsistentError, match="same page again"):
        read(TapArrivy, config(arrivy))
    arrivy.fail(200, path="tasks", body={"message": "maintenance"})
    with pytest.raises(InconsistentError, match="tasks has not the form"):
        read(TapArrivy, config(arrivy))


def test_rows_reach_postgresql_with_wide_ids_and_faults_are_survived(
    arrivy: Arrivy, tmp_path: Path, database_url: str
) -> None:
    arrivy.fail("reset", path="tasks", nth=2)
    arrivy.fail(429, path="entities", times=2)
    loaded = load(tmp_path, "tap-arrivy", config(arrivy), database_url)

    assert loaded.codes == (0, 0)
    assert set(rows(database_url, "select id from crm.tasks")) == {(t["id"],) for t in arrivy.tasks}
    assert arrivy.key not in loaded.log
    assert arrivy.token not in loaded.log
