"""Fixtures: a HubSpot, and one server for all tests that need no settings of their own."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from harness.crm_api import HUBSPOT_TOKEN, Server, User, with_key
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def shared_hubspot() -> Iterator[Simulator]:
    """An empty account with our property."""
    with Simulator([with_key(Portal(token=HUBSPOT_TOKEN))], latency_ms=0) as simulator:
        yield simulator


@pytest.fixture
def hubspot(shared_hubspot: Simulator) -> Iterator[Simulator]:
    """The shared account, in order again when the test ends."""
    shared_hubspot.requests.clear()
    yield shared_hubspot
    shared_hubspot.heal()
    shared_hubspot.latency_ms = 0


@pytest.fixture(scope="session")
def shared_server(
    shared_hubspot: Simulator, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server without limits to speak of."""
    folder = tmp_path_factory.mktemp("crm-api")
    server = Server.fresh(postgres_server, folder, shared_hubspot.url, hubspot_read_seconds=2,
                          hubspot_seconds=4)  # fmt: skip
    yield server
    server.stop()


@pytest.fixture
def server(shared_server: Server, hubspot: Simulator) -> Server:  # noqa: ARG001 - healed by it
    """The shared server, with HubSpot in order."""
    return shared_server


@pytest.fixture
def serve(
    postgres_server: str, tmp_path: Path, hubspot: Simulator
) -> Iterator[Callable[..., Server]]:
    """Starts servers with settings of the test's own, on a database of their own."""
    started: list[Server] = []

    def start(url: str = "", **settings: Any) -> Server:
        folder = tmp_path / f"server-{len(started)}"
        folder.mkdir()
        started.append(Server.fresh(postgres_server, folder, url or hubspot.url, **settings))
        return started[-1]

    yield start
    for each in started:
        each.stop()


_numbers = itertools.count(1)


@pytest.fixture
def join(server: Server) -> Callable[[], User]:
    """Gives new users of the shared server."""
    return lambda: server.join(f"user-{next(_numbers)}@example.com")


@pytest.fixture
def user(join: Callable[[], User]) -> User:
    """A new user of the shared server."""
    return join()
