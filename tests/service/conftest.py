"""Fixtures: the service in this process, a migrated database, a HubSpot to read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from harness.database import new_database
from hubspot_simulator import Portal, Simulator
from pydantic import SecretStr
from scan_service.door.app import create_app
from scan_service.guard.vault import new_key
from scan_service.ledger.migrations import migrate
from scan_service.settings import Settings
from scan_service.web import site
from service.browsing import Browser
from service.kit import ROOT, TOKEN, Client, Ledger
from service_base.logs import configure
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator


configure()


@pytest.fixture(scope="session")
def migrated(postgres_server: str) -> str:
    """The database that tests in this process share."""
    url = new_database(postgres_server)
    asyncio.run(migrate(SecretStr(url)))
    return url


@pytest.fixture
def ledger(migrated: str) -> Ledger:
    """A migrated database without a row: emptying takes a tenth of the time of making one."""
    found = Ledger(migrated)
    for (table,) in found.run("select tablename from pg_tables where schemaname = 'scans'"):
        found.run(f'drop table scans."{table}" cascade')
    found.run(
        "truncate tenant, api_key, schedule, scan, page_mark, outcome, bookmark, bucket,"
        " webhook, delivery, audit, connection, page_session,"
        " procrastinate_jobs, procrastinate_workers cascade"
    )
    return found


@pytest.fixture(scope="session")
def portal() -> Portal:
    """What HubSpot holds."""
    return Portal.generate(60, seed=7, token=TOKEN)


@pytest.fixture(scope="session")
def hubspot(portal: Portal) -> Iterator[Simulator]:
    """HubSpot, over HTTP."""
    with Simulator([portal], latency_ms=0) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def settings(
    migrated: str, hubspot: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """Settings of a service under test."""
    return Settings.load(
        database_url=migrated,
        secret_keys=new_key(),
        hubspot_base_url=hubspot.url,
        project_root=ROOT,
        run_directory=tmp_path_factory.mktemp("runs"),
    )


@pytest.fixture(scope="session")
def http(settings: Settings) -> Iterator[TestClient]:
    """A connection to the service, in this process, without a key."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(http: TestClient, ledger: Ledger) -> Client:
    """The tenant's own client, with all permissions."""
    return Client(http, ledger.key())


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[TestClient]:
    """The API with its pages."""
    app = create_app(settings, site.routes)
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.fixture
def pages(server: TestClient, ledger: Ledger) -> Iterator[Browser]:
    """Somebody who has signed in."""
    server.cookies.clear()
    browser = Browser(server, ledger)
    browser.sign_in(ledger.key())
    yield browser
    server.cookies.clear()
