"""What the CRM hub loaded into a warehouse, over the API and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from harness.database import new_database
from harness.loading import KEYS, PROPERTIES, Process, record, schema
from pydantic import SecretStr
from scan_service.door.app import create_app
from scan_service.web import site
from service.browsing import Browser
from service.kit import TENANT, Client
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scan_service.settings import Settings
    from service.kit import Ledger


def execute(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements)


@pytest.fixture(scope="module")
def warehouse(postgres_server: str) -> str:
    """A database into which the target has loaded two sources, of two tenants."""
    url = new_database(postgres_server)
    for source, tenant in (("callrail", TENANT), ("arrivy", "other")):
        target = Process(url, default_target_schema=source)
        try:
            target.send(schema("t", PROPERTIES, KEYS))
            target.send(*(record(tenant, number) for number in range(3)))
            assert target.end() == 0, target.log()
        finally:
            target.close()
    return url


@pytest.fixture
def looking(settings: Settings, ledger: Ledger, warehouse: str) -> Iterator[Browser]:
    """Somebody who has signed in where a warehouse is named."""
    named = settings.model_copy(update={"warehouse_url": SecretStr(warehouse)})
    app = create_app(named, site.routes)
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        browser = Browser(client, ledger)
        browser.sign_in(ledger.key())
        yield browser


def test_the_last_load_of_each_stream_is_the_tenants_own(looking: Browser) -> None:
    (load,) = looking.api().get("/api/v1/loads").json()["data"]["loads"]

    assert (load["source"], load["stream"], load["state"]) == ("callrail", "t", "completed")
    assert [load[each] for each in ("processed", "created", "updated", "failed")] == [3, 3, 0, 0]
    other = Client(looking.http, looking.ledger.key("other"))
    assert [each["source"] for each in other.get("/api/v1/loads").json()["data"]["loads"]] == [
        "arrivy"
    ]


def test_the_page_shows_them(looking: Browser) -> None:
    page = looking.get("/loads").text

    assert "callrail" in page
    assert "arrivy" not in page


def test_nothing_can_be_written_there(looking: Browser, warehouse: str) -> None:
    # What a view runs for its reader cannot write either.
    execute(
        warehouse,
        f"""
        create table noted (n integer);
        create schema evil;
        create function evil.note() returns bigint language sql as
            'insert into public.noted values (1) returning 1::bigint';
        create view evil._loads as select '{TENANT}' as _tenant_id, '' as stream,
            evil.note() as processed, 0 as created, 0 as updated, 0 as unchanged, 0 as rejected,
            0 as deleted, '' as state, '' as code, now() as started_at, now() as finished_at,
            now() as stored_at
        """,
    )
    try:
        assert looking.get("/api/v1/loads", headers=bearer(looking)).status_code == 500
    finally:
        execute(warehouse, "drop schema evil cascade; drop table noted")


def bearer(browser: Browser) -> dict[str, str]:
    return {"Authorization": f"Bearer {browser.key}"}


def test_without_a_warehouse_the_page_says_so(pages: Browser) -> None:
    assert pages.api().get("/api/v1/loads").json()["data"]["loads"] is None
    assert "No warehouse is named" in pages.get("/loads").text
