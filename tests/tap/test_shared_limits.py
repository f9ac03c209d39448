"""Several runs on one account share its limits, and an account that has enough is left alone."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import config_for, finished, read, run, start
from hubspot_client import budget
from hubspot_client.budget import Budget, Crowded
from hubspot_client.budgets import Budgets
from hubspot_client.errors import AuthenticationError, HubSpotError, StopCleanlyError
from hubspot_client.shared_numbers import SharedNumbers
from hubspot_simulator import Portal, RateLimits, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Serve = Callable[..., Simulator]


def run_four(hubspot: Simulator, folder: Path, *, apart: bool = False, **settings: Any) -> None:
    """Four processes read the portal at once: on one machine, or as if on four."""
    running = []
    for name in "abcd":
        (folder / name).mkdir()
        environment = {"TMPDIR": str(folder / name)} if apart else {}
        config = config_for(hubspot, properties=["dealname"], **settings)
        running.append(start(folder / name, config, environment=environment))
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(lambda process: finished(process, timeout=400), running))
    for output in outputs:
        assert output.code == 0, output.log
        assert sorted(output.ids()) == sorted(hubspot.portals[0].ids())


def refused_part(hubspot: Simulator) -> float:
    return hubspot.requests.count(status=429) / len(hubspot.requests)


@pytest.mark.heavy
@pytest.mark.timeout(420)
@pytest.mark.parametrize("where", ["one machine", "four machines"])
def test_four_runs_do_not_live_off_each_others_429(
    serve: Serve, tmp_path: Path, where: str
) -> None:
    limits = RateLimits(enabled=True)
    hubspot = serve(Portal.generate(3000, custom_properties=0, limits=limits), latency_ms=50)
    run_four(hubspot, tmp_path, apart=where == "four machines", page_size=20)
    assert refused_part(hubspot) < 0.01


@pytest.mark.heavy
@pytest.mark.timeout(420)
def test_four_runs_share_the_searches(serve: Serve, tmp_path: Path) -> None:
    limits = RateLimits(enabled=True)
    hubspot = serve(Portal.generate(8000, custom_properties=0, limits=limits))
    run_four(hubspot, tmp_path, start_date="2000-01-01")
    assert refused_part(hubspot) < 0.02  # one of two hundred may arrive late, and the next early


@pytest.mark.heavy
@pytest.mark.timeout(420)
def test_four_runs_leave_to_other_apps_what_the_setting_says(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(Portal.generate(900, custom_properties=0, limits=RateLimits(enabled=True)))
    run_four(hubspot, tmp_path, page_size=20, requests_per_10_seconds=100)
    moments = sorted(r.started for r in hubspot.requests.all())
    most = max(sum(m <= other < m + 10 for other in moments) for m in moments)
    assert most <= 100  # also where they bunch up on a busy machine
    assert len(moments) > 2 * 100
    assert refused_part(hubspot) == 0


@pytest.mark.heavy
def test_a_lower_search_limit_is_learned(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other apps take three of the five searches a second, all the time."""
    monkeypatch.undo()
    limits = RateLimits(enabled=True, others_search=3)
    hubspot = serve(Portal.generate(10_000, custom_properties=0, limits=limits))
    read(config_for(hubspot, properties=["dealname"], associations=[], start_date="2000-01-01"))
    assert hubspot.requests.count(endpoint="search", status=200) >= 50
    assert hubspot.requests.count(status=429) <= 6


@pytest.fixture
def both() -> Iterator[tuple[Budgets, Budgets]]:
    """The budgets of two runs on one account."""
    stop = threading.Event()
    name = f"https://hubspot.example\0{time.monotonic_ns()}"
    runs = [Budgets(None, delay=0, stop=stop, account=name) for _ in range(2)]
    yield runs[0], runs[1]
    for each in runs:
        each.close()


def seconds_for(requests: int, *takers: Callable[[], float]) -> float:
    began = time.monotonic()
    for turn in range(requests):
        takers[turn % len(takers)]()
    return time.monotonic() - began


def test_what_one_run_sends_counts_for_the_other(
    both: tuple[Budgets, Budgets], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "INTERVAL", 1.0)
    first, second = both
    assert seconds_for(94 + 10, first.general.take, second.general.take) >= 0.9


def test_a_users_own_limit_counts_from_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """HubSpot may count a request at any moment until then."""
    monkeypatch.setattr(budget, "INTERVAL", 0.5)
    limit = Budgets(60, delay=0, stop=threading.Event())
    turns = [limit.take("search") for _ in range(20)] + [limit.take("list") for _ in range(40)]
    time.sleep(0.2)
    answered = time.monotonic()
    for turn in turns:
        limit.answered(turn)
    assert limit.take("list").taken >= answered + 0.5


def test_a_429_of_one_run_holds_the_other(both: tuple[Budgets, Budgets]) -> None:
    first, second = both
    first.search.close(0.3)
    assert seconds_for(1, second.search.take) > 0.25
    assert seconds_for(1, second.general.take) < 0.2


def test_who_waits_for_anothers_429_tells_it_once_and_who_met_it_does_not() -> None:
    told: dict[str, list[tuple[str, float]]] = {"first": [], "second": []}
    name = f"account {time.monotonic_ns()}"

    def note(who: str, budget: str, seconds: float) -> None:
        told[who].append((budget, seconds))

    first, second = (
        Budgets(
            None, delay=0, stop=threading.Event(), account=name, tell=partial(note, each)
        )
        for each in told
    )  # fmt: skip
    try:
        for seconds in (100.0, 200.0):
            first.search.close(seconds)
            for each in (first, second, second):
                with pytest.raises(Crowded):
                    each.take("search", patience=0)
            second.take("list")
    finally:
        first.close()
        second.close()
    assert told["first"] == []
    assert [budget for budget, _ in told["second"]] == ["search", "search"]
    assert all(0 < wait <= most for (_, wait), most in zip(told["second"], (100, 200), strict=True))


def test_the_last_run_leaves_nothing_behind() -> None:
    name = f"account {time.monotonic_ns()}"
    first, second = SharedNumbers(name, 4), SharedNumbers(name, 4)
    with first.locked() as numbers:
        numbers[2] = 7.0
    first.close()
    with second.locked() as numbers:
        assert numbers[2] == 7.0
    second.close()
    third = SharedNumbers(name, 4)
    with third.locked() as numbers:
        assert numbers[2] == 0.0
    third.close()


def test_each_refused_search_slows_the_next_ones_and_the_pace_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budget, "INTERVAL", 1.0)
    limit = Budget(20, burst=1, stop=threading.Event())
    before = seconds_for(10, limit.take)
    for _ in range(4):
        limit.close(0.001)
        time.sleep(0.002)
    assert seconds_for(10, limit.take) > 1.8 * before
    monkeypatch.setattr(budget, "CREEP", 100.0)
    assert seconds_for(10, limit.take) < 1.5 * before


@pytest.mark.parametrize(
    ("kind", "error"), [("daily", StopCleanlyError), ("expired", AuthenticationError)]
)
def test_nothing_is_sent_after_what_every_request_would_be_told(
    serve: Serve, kind: Any, error: type[HubSpotError]
) -> None:
    hubspot = serve(Portal.generate(4000, custom_properties=0))
    hubspot.fail(kind, endpoint="list", nth=range(28, 9999))
    with pytest.raises(error):
        read(config_for(hubspot, page_size=20))
    refused = [r for r in hubspot.requests.all() if r.fault]
    assert refused
    while not any(r.ended for r in refused):
        time.sleep(0.01)  # the simulator notes an end once its answer is out
    heard = min(r.ended for r in refused if r.ended) + 0.1
    assert not [r for r in hubspot.requests.all() if r.started > heard]
    assert len(refused) <= 20  # those that were under way


def test_the_log_names_the_seconds_that_a_429_takes(hubspot: Simulator, tmp_path: Path) -> None:
    hubspot.fail("ten_secondly", endpoint="list", nth=2, retry_after=1)
    output = run(tmp_path, config_for(hubspot))
    assert re.search(r"HubSpot limits requests.*Trying again in 1\.0 s", output.log)


def test_the_log_tells_how_much_of_the_limit_is_used(hubspot: Simulator, tmp_path: Path) -> None:
    output = run(tmp_path, config_for(hubspot))

    (sent, used, limit) = re.findall(
        r"HubSpot: ([\d,]+) requests so far; in ten seconds (\d+) of (\w+)\.", output.log
    )[-1]
    assert int(sent) == len(hubspot.requests)
    # The machine may be slow: then the first ones are longer ago than ten seconds.
    assert 0 <= int(used) <= int(sent)
    assert int(limit) == 1_000_000  # as the tests' accounts have
