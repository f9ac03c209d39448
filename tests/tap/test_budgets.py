"""HubSpot's limits are kept to, and the run's share of them."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring, config_for, read
from hubspot_client import budget, budgets
from hubspot_client.access import Access
from hubspot_client.client import Client
from hubspot_client.errors import RateLimitedError
from hubspot_simulator import Portal, RateLimits, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., Simulator]


def refused(portal: Portal) -> int:
    return portal.limits.refused


def test_a_load_keeps_to_the_limits(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    hubspot = serve(
        Portal.generate(10_500, custom_properties=0, limits=RateLimits(enabled=True, general=100))
    )
    mirroring = Mirroring(hubspot)
    mirroring.run(properties=["dealname"])
    assert mirroring.differences(only=["dealname"]) == []
    assert refused(mirroring.portal) <= 2


def test_a_search_load_keeps_to_the_limits(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    hubspot = serve(Portal.generate(4000, custom_properties=0, limits=RateLimits(enabled=True)))
    mirroring = Mirroring(hubspot)
    mirroring.run(properties=["dealname"], start_date="2000-01-01")
    assert mirroring.differences(only=["dealname"]) == []
    assert refused(mirroring.portal) <= 2


def most_in(hubspot: Simulator, seconds: float) -> int:
    """The most requests that came within any so many seconds."""
    moments = [r.started for r in hubspot.requests.all()]
    return max(sum(m <= other < m + seconds for other in moments) for m in moments)


@pytest.mark.parametrize("settings", [{}, {"start_date": "2000-01-01"}])
def test_the_runs_share_of_the_limit_is_respected(
    serve: Serve, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "INTERVAL", 1.0)
    hubspot = serve(Portal.generate(1500, custom_properties=0))
    read(config_for(hubspot, requests_per_10_seconds=20, page_size=30, **settings))
    assert most_in(hubspot, 1.0) <= 20  # a tenth of the real ten seconds


def test_requests_keep_their_distance(hubspot: Simulator) -> None:
    read(config_for(hubspot, request_delay_ms=60, page_size=30))
    started = [r.started for r in hubspot.requests.all()]
    assert started[-1] - started[0] >= 0.058 * (len(started) - 1)


def test_an_almost_empty_limit_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SILENCE", 0.5)
    limit = budgets.Budgets(None, delay=0, stop=threading.Event())
    limit.learn(limit.take("list"), "100", "0")
    started = time.monotonic()
    for _ in range(11):  # what the credit held
        limit.take("list")
    assert time.monotonic() - started > 0.9 * budget.SILENCE


def test_waiting_ends_when_the_run_does() -> None:
    stop = threading.Event()
    limit = budget.Budget(10, burst=1, stop=stop)
    limit.close(60)
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(budget.Stopped):
        limit.take()


def test_who_has_no_patience_is_told_when_a_turn_may_come_and_nothing_is_taken() -> None:
    limit = budget.Budget(10, burst=1, stop=threading.Event())
    limit.close(30)
    started = time.monotonic()
    with pytest.raises(budget.Crowded) as crowded:
        limit.take(patience=0.2)
    assert time.monotonic() - started < 10, "it does not wait for what lies behind its patience"
    assert 20 < crowded.value.seconds <= 30


def test_who_has_no_patience_does_not_wait_behind_others_either() -> None:
    stop = threading.Event()
    limit = budget.Budget(10, burst=1, stop=stop)
    limit.close(60)

    def wait_until_the_end() -> None:
        with pytest.raises(budget.Stopped):
            limit.take()

    other = threading.Thread(target=wait_until_the_end)
    other.start()
    try:
        while not limit._turn.locked():
            time.sleep(0.01)
        with pytest.raises(budget.Crowded):
            limit.take(patience=0.05)
    finally:
        stop.set()
        other.join()


def test_a_request_that_finds_no_turn_in_time_is_not_sent(hubspot: Simulator) -> None:
    client = Client(
        Access(access_token=hubspot.portals[0].token, base_url=hubspot.url),
        logging.getLogger("test"),
        retry=False,
        patience=0.2,
    )
    client.get(client.paths.owners(), family="list", what="owners", shape=dict)
    sent = len(hubspot.requests)
    client.budgets.of("list").close(30)
    with pytest.raises(RateLimitedError) as refused:
        client.get(client.paths.owners(), family="list", what="owners", shape=dict)
    assert refused.value.retryable
    assert len(hubspot.requests) == sent
