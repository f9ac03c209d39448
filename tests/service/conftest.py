"""Fixtures: the service in this process, a migrated database, a HubSpot to read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hubspot_simulator import Portal, Simulator
from pydantic import SecretStr
from scan_service.app import create_app
from scan_service.logs import configure
from scan_service.migrations import migrate
from scan_service.settings import Settings
from scan_service.vault import new_key
from service.kit import ROOT, TOKEN, Client, Ledger
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.applications import Starlette


configure()


@pytest.fixture
def ledger(database_url: str) -> Ledger:
    """A migrated database."""
    asyncio.run(migrate(SecretStr(database_url)))
    return Ledger(database_url)


@pytest.fixture(scope="session")
def portal() -> Portal:
    """What HubSpot holds."""
    return Portal.generate(60, seed=7, token=TOKEN)


@pytest.fixture(scope="session")
def hubspot(portal: Portal) -> Iterator[Simulator]:
    """HubSpot, over HTTP."""
    with Simulator([portal], latency_ms=0) as simulator:
        yield simulator


@pytest.fixture
def settings(ledger: Ledger, hubspot: Simulator, tmp_path: Path) -> Settings:
    """Settings of a service under test."""
    return Settings.load(
        database_url=ledger.url,
        secret_keys=new_key(),
        hubspot_base_url=hubspot.url,
        project_root=ROOT,
        run_directory=tmp_path / "runs",
    )


@pytest.fixture
def application(settings: Settings) -> Starlette:
    """The service, in this process."""
    return create_app(settings)


@pytest.fixture
def http(application: Starlette) -> Iterator[TestClient]:
    """A connection to the service, without a key."""
    with TestClient(application, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(http: TestClient, ledger: Ledger) -> Client:
    """The tenant's own client, with all permissions."""
    return Client(http, ledger.key())


@pytest.fixture
def anonymous(http: TestClient) -> Client:
    """A client without a key."""
    return Client(http, None)
