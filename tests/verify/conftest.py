"""A portal of several types, mirrored by tap and target, and ways to verify and to damage it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from harness.database import drop_database, new_database
from harness.singer import TENANT, config_for, read, signals_kept
from hubspot_client import budgets
from hubspot_simulator import Portal, Simulator
from hubspot_verify.comparing import Comparison
from tap_hubspot_deals.streams.objects import ObjectStream
from tap_hubspot_deals.tap import TapHubspotDeals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_verify.findings import Findings
    from psycopg2.extensions import connection

Named = tuple[str, str, str, tuple[Any, ...]]

OBJECTS: list[Any] = [
    {"name": "deals", "associations": ["contacts", "companies"]},
    {"name": "contacts", "associations": ["companies"]},
]


@dataclass
class World:
    """A mirrored portal.

    Args:
        hubspot: Serves it.
        url: The database.
        db: A session of it, for one transaction at a time.
        settings: The tap's.
        tenant: Whose rows.
        state: What the last run left.
        catalog: What is selected; None: all.
    """

    hubspot: Simulator
    url: str
    db: connection
    settings: dict[str, Any]
    tenant: str = TENANT
    state: dict[str, Any] = field(default_factory=dict)
    catalog: dict[str, Any] | None = None

    @property
    def portal(self) -> Portal:
        return self.hubspot.portals[0]

    @property
    def config(self) -> dict[str, Any]:
        """The tap's settings, all of them."""
        return config_for(self.hubspot, **self.settings) | {"tenant_id": self.tenant}

    def read(self) -> bytes:
        """Run the tap once; gives what a target has to load."""
        output = read(self.config, state=self.state or None)
        self.state = output.state
        vars(self).pop("tap", None)
        return output.content

    def run(self) -> None:
        """Run tap and target once."""
        load(self.url, self.read())

    @cached_property
    def tap(self) -> TapHubspotDeals:
        """The tap with the last state: made once between two runs, for what it costs."""
        with signals_kept():
            tap = TapHubspotDeals(
                config=self.config,
                state=json.loads(json.dumps(self.state)),
                catalog=self.catalog,
            )
            assert tap.streams
        return tap

    def verify(self) -> dict[str, Findings]:
        """Compare within this session; gives the findings by their names."""
        found: list[Findings] = []
        with self.db.cursor() as cur:
            cur.execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'")
            for stream in self.tap.streams.values():
                if isinstance(stream, ObjectStream):
                    with stream.survey() as survey:
                        one = Comparison(
                            survey,
                            stream.name,
                            cur,
                            "hubspot",
                            {"_tenant_id": self.tenant},
                            archived=stream.settings.archived,
                        )
                        found += one.run(self.tap.account.client)
        return {each.name: each for each in found}

    def named(self) -> set[Named]:
        """All differences: in what, of which kind, of which record, and what of it."""
        return {
            (name, each.kind, each.id, each.link or each.properties)
            for name, findings in self.verify().items()
            for each in findings.differences
        }


def load(url: str, messages: bytes) -> None:
    """Let the target load messages."""
    done = subprocess.run(
        [sys.executable, "-m", "target_deals_postgres", "--config=ENV"],
        env={**os.environ, "TARGET_DEALS_POSTGRES_DATABASE_URL": url},
        input=messages,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def grown() -> Portal:
    """A portal with all that makes records differ: labels, merged, archived, odd values."""
    portal = Portal.generate(150, contacts=60, companies=30, odd_values=True, archived=5, seed=3)
    portal.add_label("deals", "contacts", "Signs")
    deals, contacts = portal.ids("deals"), portal.ids("contacts")
    for deal, contact in zip(deals[::7], contacts, strict=False):
        portal.link("deals", deal, "contacts", contact, label="Signs")
    return portal


def live_on(portal: Portal) -> None:
    """What happens between two runs."""
    ids = portal.ids("deals")
    portal.merge("deals", ids[0], ids[1])
    portal.merge("deals", ids[2], ids[3])
    for one in ids[4:9]:
        portal.archive("deals", one)
    portal.delete("deals", ids[9])
    portal.change("deals", ids[10], {"dealname": "Changed \N{ROCKET}", "amount": "12.3400"})
    portal.create("deals", {"dealname": "New", "amount": "0.10"})


@pytest.fixture(scope="session")
def world(postgres_server: str) -> Iterator[World]:
    """The mirrored portal; a test leaves portal and tables as they were."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budgets, "SEARCHES_PER_SECOND", 500.0)
        patch.setattr(budgets, "ASSOCIATIONS_PER_10_SECONDS", 5000.0)
        url = new_database(postgres_server)
        with Simulator([grown()]) as hubspot, closing(psycopg2.connect(url)) as db:
            world = World(hubspot, url, db, {"objects": OBJECTS})
            world.run()
            live_on(world.portal)
            world.run()
            yield world
        drop_database(postgres_server, url)
