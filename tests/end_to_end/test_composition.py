"""Our tap with other targets, and another tap with our target, as published on PyPI."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from harness.database import Cluster, connect
from harness.meltano import TAP, TARGET, Project, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_simulator import Simulator

COMPOSITION = Path(__file__).parent / "composition"


@pytest.fixture(name="home", scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Meltano installs the other plugins, once for all tests here."""
    home = tmp_path_factory.mktemp("composition")
    with Project(home, {}, root=COMPOSITION).meltano(["install"]) as process:
        log = list(lines_of(process))
        assert process.wait() == 0, log
    return home


@pytest.fixture(name="project")
def _project(home: Path, hubspot: Simulator, tmp_path: Path) -> Project:
    return Project(
        home,
        {
            "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": hubspot.portal().token,
            "TAP_HUBSPOT_DEALS_TENANT_ID": "acme",
            "TAP_HUBSPOT_DEALS_BASE_URL": hubspot.url,
            "TARGET_JSONL_DESTINATION_PATH": str(tmp_path),
            "MELTANO_DATABASE_URI": f"sqlite:///{tmp_path}/meltano.db",
        },
        root=COMPOSITION,
    )


def test_our_tap_feeds_target_jsonl(project: Project, hubspot: Simulator, tmp_path: Path) -> None:
    run = project.run(TAP, "target-jsonl")

    assert run.code == 0, run.text
    deals = [json.loads(line) for line in (tmp_path / "deals.jsonl").read_text().splitlines()]
    assert {d["id"] for d in deals} == set(hubspot.portal().truth("deals").live)


def test_our_tap_feeds_meltanolabs_target_postgres(
    project: Project, hubspot: Simulator, database_url: str
) -> None:
    url = database_url.replace("postgresql://", "postgresql+psycopg://")

    run = project.run(
        TAP,
        "target-postgres",
        TARGET_POSTGRES_SQLALCHEMY_URL=url,
        TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA="peer",
    )

    assert run.code == 0, run.text
    live = hubspot.portal().truth("deals").live
    rows = query(database_url, "select id, dealname from peer.deals")
    assert dict(rows) == {i: d.properties["dealname"] for i, d in live.items()}
    links = query(database_url, "select from_id, to_id from peer.associations")
    true = {
        (link.from_id, link.to_id)
        for name in ("contacts", "companies")
        for link in hubspot.portal().true_links("deals", name)
    }
    assert set(links) == true


def test_meltanolabs_tap_postgres_feeds_our_target(
    project: Project, tcp_server: str, database_url: str
) -> None:
    execute(
        tcp_server,
        "create table public.orders (id bigint primary key, total numeric, note text, "
        "placed timestamptz, tags jsonb)",
        "insert into public.orders select i, i * 1.01, 'note ' || i, "
        "timestamptz '2026-01-01 00:00Z' + i * interval '1 hour', '{\"a\": [1, 2]}' "
        "from generate_series(1, 1000) i",
    )

    run = project.run(
        "tap-postgres",
        TARGET,
        TAP_POSTGRES_SQLALCHEMY_URL=tcp_server,
        TAP_POSTGRES_FILTER_SCHEMAS=["public"],
        TAP_POSTGRES__SELECT=["public-orders.*"],
        TARGET_DEALS_POSTGRES_DATABASE_URL=database_url,
        TARGET_DEALS_POSTGRES_DEFAULT_TARGET_SCHEMA="copied",
    )

    assert run.code == 0, run.text
    columns = "id, total, note, placed, tags::text"
    source = query(tcp_server, f"select {columns} from public.orders")
    copied = query(database_url, f'select {columns} from copied."public-orders"')
    assert len(source) == 1000
    assert sorted(copied) == sorted(source)


def test_meltanolabs_tap_postgres_feeds_hubspot(
    project: Project, tcp_server: str, hubspot: Simulator
) -> None:
    execute(
        tcp_server,
        "create table public.customers (id bigint primary key, mail text, town text, since date)",
        "insert into public.customers select i, 'c' || i || '@example.com', 'Ulm', "
        "date '2026-01-01' + i from generate_series(1, 300) i",
    )
    columns = {"mail": "email", "town": "city", "since": "custom_6"}
    streams = {"public-customers": {"object": "contacts", "key": "email", "columns": columns}}
    portal = hubspot.portal()

    for _ in range(2):
        run = project.run(
            "tap-postgres",
            "target-hubspot",
            TAP_POSTGRES_SQLALCHEMY_URL=tcp_server,
            TAP_POSTGRES_FILTER_SCHEMAS=["public"],
            TAP_POSTGRES__SELECT=["public-customers.*"],
            TARGET_HUBSPOT_ACCESS_TOKEN=portal.token,
            TARGET_HUBSPOT_BASE_URL=hubspot.url,
            TARGET_HUBSPOT_STREAMS=streams,
        )
        assert run.code == 0, run.text

    made = {
        str(each.properties["email"]): each.properties["custom_6"]
        for each in portal.truth("contacts").live.values()
        if each.properties["city"] == "Ulm"
    }
    assert len(made) == 300
    assert made["c31@example.com"] == "2026-02-01"
    assert len(portal.writes) == 300


@pytest.fixture(name="tcp_server")
def _tcp_server() -> Iterator[str]:
    """A server that can be reached by host name, as meltanolabs-tap-postgres asks for."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    cluster = Cluster(listen_addresses="127.0.0.1", port=str(port))
    try:
        cluster.start()
        yield f"postgresql://postgres:unused@127.0.0.1:{port}/postgres"
    finally:
        cluster.remove()


def execute(url: str, *statements: str) -> None:
    """Run statements."""
    with connect(url) as opened, opened.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def query(url: str, text: str) -> list[tuple[Any, ...]]:
    """A query's rows."""
    with closing(psycopg2.connect(url)) as opened, opened.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()
