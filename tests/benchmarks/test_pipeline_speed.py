"""`meltano run` end to end: our pair beside the Meltano pair, one HubSpot, one PostgreSQL."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from harness.beside import REDIRECTED, Cost, cost_of, durable_server, hubspot_beside, installed
from harness.database import connect, drop_database, new_database
from harness.meltano import TAP, TARGET, Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEALS = int(os.environ.get("BENCH_PIPELINE_DEALS", "20000"))
TOKEN = "pat-na1-first"
PEER_TAP, PEER_TARGET = "meltano-tap-hubspot==0.10.1", "meltanolabs-target-postgres==0.8.1"
PEERS = """
project_id: 4f6f3ad2-5c8e-4f3b-9a59-3b2a4d7f9c61
default_environment: test
environments: [{{name: test}}]
plugins:
  extractors:
    - name: tap-hubspot
      namespace: tap_hubspot
      executable: {tap}
      capabilities: [catalog, discover, state]
      select: [deals.*]
      settings: [{{name: access_token, sensitive: true}}]
  loaders:
    - name: target-postgres
      namespace: target_postgres
      executable: {target}
      settings:
        - {{name: sqlalchemy_url, sensitive: true}}
        - {{name: default_target_schema}}
        - {{name: flattening_enabled, kind: boolean}}
        - {{name: flattening_max_depth, kind: integer}}
"""


@pytest.fixture(name="hubspot")
def _hubspot() -> Iterator[str]:
    """The URL of a simulator in a process of its own."""
    with hubspot_beside(DEALS) as url:
        yield url


@pytest.fixture(name="server")
def _server() -> Iterator[str]:
    with durable_server() as url:
        yield url


@pytest.fixture(name="peers", scope="module")
def _peers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Meltano project with the peers, each in an environment of its own."""
    root = tmp_path_factory.mktemp("peers")
    python = installed(root, PEER_TAP) / "python"
    tap = root / "tap-hubspot-redirected"
    start = "from tap_hubspot.tap import TapHubspot\nTapHubspot.cli()\n"
    tap.write_text(f"#!{python}\n{REDIRECTED}{start}")
    tap.chmod(0o755)
    target = installed(root, PEER_TARGET) / "target-postgres"
    (root / "meltano.yml").write_text(PEERS.format(tap=tap, target=target))
    return root


@dataclass(frozen=True)
class Pair:
    """A tap and a target; where each deal's name is in the table that they make."""

    name: str
    project: Project
    plugins: tuple[str, str]
    dealname: str


def ours(name: str, home: Path, hubspot: str, **more: Any) -> Pair:
    settings = {
        "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": TOKEN,
        "TAP_HUBSPOT_DEALS_TENANT_ID": "acme",
        "TAP_HUBSPOT_DEALS_BASE_URL": hubspot,
    }
    return Pair(name, Project(home / name, {**settings, **more}), (TAP, TARGET), "dealname")


def theirs(name: str, home: Path, hubspot: str, root: Path, dealname: str, **more: Any) -> Pair:
    settings = {
        "HUBSPOT": hubspot,
        "TAP_HUBSPOT_ACCESS_TOKEN": TOKEN,
        "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "hubspot",
    }
    project = Project(home / name, {**settings, **more}, root=root)
    return Pair(name, project, ("tap-hubspot", "target-postgres"), dealname)


def run(pair: Pair, server: str) -> Cost:
    """Run a pair into a database of its own, and look for every deal there."""
    url = new_database(server)
    where = {
        "TARGET_DEALS_POSTGRES_DATABASE_URL": url,
        "TARGET_POSTGRES_SQLALCHEMY_URL": url.replace("postgresql:", "postgresql+psycopg:"),
    }
    cost, code, log = cost_of(
        lambda meter: pair.project.start(*pair.plugins, before=meter, **where)
    )
    assert code == 0, log[-3000:]
    with connect(url) as opened, opened.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), count(DISTINCT id), count({pair.dealname}) FROM hubspot.deals"
        )
        assert cursor.fetchone() == (DEALS,) * 3
    drop_database(server, url)
    return cost


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_a_whole_run_is_many_times_faster_than_the_peers(
    hubspot: str, server: str, peers: Path, tmp_path: Path
) -> None:
    pairs = [
        ours("ours", tmp_path, hubspot, TAP_HUBSPOT_DEALS_ASSOCIATIONS=[]),
        ours("ours, and two kinds of links", tmp_path, hubspot),
        theirs("the peers", tmp_path, hubspot, peers, "properties ->> 'dealname'"),
        theirs(
            "the peers, a column per property",
            tmp_path,
            hubspot,
            peers,
            "properties__dealname",
            TARGET_POSTGRES_FLATTENING_ENABLED=True,
            TARGET_POSTGRES_FLATTENING_MAX_DEPTH=1,
        ),
    ]
    print(f"\n{DEALS:,} deals of 59 properties into an empty database, no added latency;")
    print(f"the peers are {PEER_TAP} and {PEER_TARGET}")
    print("| meltano run | deals/s | s | CPU us/deal | peak MB |\n|---|---|---|---|---|")
    costs: list[Cost] = []
    for pair in pairs:
        cost = run(pair, server)
        costs.append(cost)
        print(
            f"| {pair.name} | {DEALS / cost.wall:,.0f} | {cost.wall:.1f} "
            f"| {cost.cpu / DEALS * 1e6:,.0f} | {cost.peak:.0f} |",
            flush=True,
        )
    mine, _, *peer = costs
    for pair, cost in zip(pairs[2:], peer, strict=True):
        speed, cpu = cost.wall / mine.wall, cost.cpu / mine.cpu
        print(f"{speed:.1f} x the speed of {pair.name}, with {cpu:.1f} x less CPU")
        assert mine.cpu < cost.cpu  # by how much is for a quiet machine to say
