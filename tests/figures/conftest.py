"""A portal of deals with a past, mirrored by tap and target, with the figures made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg2
import pytest
from harness.database import drop_database, new_database
from harness.singer import TENANT, config_for, start
from hubspot_simulator import Portal, Simulator, add_lives
from hubspot_simulator.generation import START_MS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg2.extensions import connection

HISTORY = ["amount_in_home_currency", "hubspot_owner_id"]


def mirror(url: str, hubspot: Simulator, folder: Path, state: Any = None) -> Any:
    """Run tap and target once; gives the state."""
    config = config_for(hubspot, history=HISTORY, archived=True, associations=[])
    return load(url, config, folder, state)


def load(url: str, config: dict[str, Any], folder: Path, state: Any = None, **to: Any) -> Any:
    """Run tap and target as a config of the tap and settings of the target say; gives the state."""
    messages, log = start(folder, config, state=state).communicate(timeout=1200)
    target = folder / "target.json"
    target.write_text(json.dumps({"database_url": url, **to}))
    done = subprocess.run(
        [sys.executable, "-m", "target_deals_postgres", "--config", target],
        input=messages,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (done.stderr.decode(), log.decode())
    return json.loads(done.stdout.splitlines()[-1])


def figures(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "hubspot_figures.command", *arguments],
        env={**os.environ, "HUBSPOT_FIGURES_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


class World(NamedTuple):
    """A portal and what the tables say of it."""

    portal: Portal
    db: connection
    known: set[str]
    """The deals that the tables can know: what was merged before the first run is nowhere."""

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self.db.cursor() as cur:
            cur.execute(query, values)
            return cur.fetchall()


def go_on(portal: Portal) -> None:
    """What happens between two runs: deals are merged, moved, archived, priced anew."""
    portal.clock.advance(60)
    ids = portal.ids()
    for place in range(0, 30, 3):
        first, second, third = ids[place : place + 3]
        portal.clock.advance(7)
        new = portal.merge("deals", first, second)
        portal.clock.advance(7)
        portal.change("deals", new, {"amount_in_home_currency": "17.01"})
        stage = {"pipeline": "default", "dealstage": "closedwon"}
        portal.change("deals", third, stage)
    portal.archive("deals", ids[31])
    again = portal.merge("deals", portal.ids()[-1], ids[32])
    portal.change("deals", again, {"pipeline": "default", "dealstage": "contractsent"})
    portal.clock.advance(60)


@pytest.fixture(scope="session")
def world(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A small world."""
    with made(postgres_server, tmp_path_factory.mktemp("figures"), 400) as small:
        yield small


@contextmanager
def made(postgres_server: str, folder: Path, deals: int) -> Iterator[World]:
    """Two runs of tap and target, and what happened before, between and after."""
    portal = Portal()
    portal.add_stage_properties()
    add_lives(portal, deals, seed=11)
    url = new_database(postgres_server)
    with Simulator([portal]) as hubspot:
        state = mirror(url, hubspot, folder)
        known = {*portal.ids(), *portal.ids(archived=True)}
        go_on(portal)
        mirror(url, hubspot, folder, state)
    known |= {*portal.ids(), *portal.ids(archived=True)}
    done = figures(url, "install")
    assert done.returncode == 0, done.stderr
    with closing(psycopg2.connect(url)) as db:
        db.autocommit = True
        with db.cursor() as cur:
            cur.execute("SET TimeZone = 'UTC'; SET search_path = hubspot")
        yield World(portal, db, known)
    drop_database(postgres_server, url)


def moments(portal: Portal, rng: Any, count: int) -> list[datetime]:
    """Random moments, some of them of these minutes, when the second run's changes happened."""
    start, now = START_MS, portal.clock.now_ms()
    late = [now - rng.randrange(240_000) for _ in range(count // 10)]
    some = [rng.randrange(start, now) for _ in range(count - len(late))]
    return [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=m) for m in [*some, *late]]


assert TENANT == "acme"  # as docs/figures.md writes it
