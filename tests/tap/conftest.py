"""Fixtures of the tap's tests: a small HubSpot, and tables that grow run by run."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring
from hubspot_client import budgets
from hubspot_simulator import Portal, Simulator
from tap_hubspot_deals.process import economize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True, scope="package")
def _economical() -> Iterator[None]:
    """Runs in this process collect garbage as seldom as those in a process of their own."""
    thresholds = gc.get_threshold()
    economize()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's limits are off in most tests: do not pace what nobody counts."""
    monkeypatch.setattr(budgets, "SEARCHES_PER_SECOND", 500.0)
    monkeypatch.setattr(budgets, "ASSOCIATIONS_PER_10_SECONDS", 5000.0)


@pytest.fixture
def hubspot() -> Iterator[Simulator]:
    """One portal of 250 deals."""
    with Simulator([Portal.generate(250, odd_values=True)]) as simulator:
        yield simulator


@pytest.fixture
def serve() -> Iterator[Callable[..., Simulator]]:
    """Start simulators of given portals; all of them end with the test."""
    running: list[Simulator] = []

    def start(*portals: Portal, **options: Any) -> Simulator:
        running.append(Simulator(list(portals), **options).start())
        return running[-1]

    yield start
    for simulator in running:
        simulator.stop()


@pytest.fixture
def mirroring(hubspot: Simulator) -> Mirroring:
    """A mirror of the small HubSpot."""
    return Mirroring(hubspot)
