"""A scan's figures are those of the SQL functions over histories, of the same deals and moment."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from harness.database import drop_database, new_database
from harness.singer import TENANT, config_for
from hubspot_simulator import Portal, Simulator, add_lives
from pydantic import SecretStr
from scan_service.door.app import create_app
from scan_service.guard.vault import new_key
from scan_service.ledger.migrations import migrate
from scan_service.settings import Settings
from service.kit import Client, Ledger
from starlette.testclient import TestClient

from .conftest import figures, load, mirror

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg2.extensions import connection

DAYS = 30


class Both:
    """What the service says of a scan, and the functions of the same moment."""

    def __init__(self, answer: dict[str, Any], db: connection, moment: Any) -> None:
        self.answer = answer
        self._db = db
        self._moment = moment

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query, in which `{of}` stands for tenant and moment."""
        with self._db.cursor() as cur:
            cur.execute("SET search_path = hubspot")
            of = cur.mogrify("%s, %s", (TENANT, self._moment)).decode()
            cur.execute(query.format(of=of))
            return cur.fetchall()


@pytest.fixture(scope="module")
def both(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """One database with the deals of a portal, as a mirror with histories and as a scan."""
    folder: Path = tmp_path_factory.mktemp("both")
    url = new_database(postgres_server)
    portal = Portal.generate(0, seed=5)
    portal.add_stage_properties()
    add_lives(portal, 150, seed=5)
    asyncio.run(migrate(SecretStr(url)))
    ledger = Ledger(url)
    key = ledger.key(TENANT)
    with Simulator([portal], latency_ms=0) as hubspot:
        mirror(url, hubspot, folder)
        of_scan = {"scan_id": "first", "nest_properties": True, "associations": []}
        load(url, config_for(hubspot, **of_scan), folder, default_target_schema="scans")
        settings = Settings.load(
            database_url=url, secret_keys=new_key(), hubspot_base_url=hubspot.url,
            run_directory=folder,
        )  # fmt: skip
        ((moment,),) = ledger.run(
            "insert into scan (tenant_id, scan_id, status, config, fingerprint, started_at,"
            " completed_at) values (%s, 'first', 'completed', '{}', '', now(), now())"
            " returning completed_at",
            TENANT,
        )
        assert ledger.count() == 1
        assert figures(url, "install").returncode == 0
        with TestClient(create_app(settings)) as http, closing(psycopg2.connect(url)) as db:
            client = Client(http, key)
            answer = client.get(f"/api/v1/scan/pipeline/first?stalled_days={DAYS}")
            data = json.loads(answer.text, parse_float=Decimal)["data"]
            yield Both(data["figures"], db, moment)
    drop_database(postgres_server, url)


def test_the_deals_of_each_stage_are_the_same(both: Both) -> None:
    rows = both.ask(
        "SELECT pipeline, stage, is_closed, is_won, deals, amount FROM pipeline_on({of})"
    )

    assert len(rows) > 5
    assert sorted(rows) == sorted(
        (each["pipeline"], each["stage"], each["closed"], each["won"], each["deals"],
         Decimal(each["amount"]))
        for each in both.answer["stages"]
    )  # fmt: skip


def test_the_open_value_is_the_same(both: Both) -> None:
    ((deals, amount),) = both.ask(
        "SELECT sum(deals), sum(amount) FROM pipeline_on({of}) WHERE NOT is_closed"
    )

    assert (both.answer["openDeals"], both.answer["openAmount"]) == (deals, amount)


def test_the_stalled_deals_are_the_same_for_as_long(both: Both) -> None:
    rows = both.ask(
        "SELECT deal, stage, amount, round(days_in_stage, 1) FROM stalled({of}, " + str(DAYS) + ")"
    )

    assert (both.answer["stalledDeals"], both.answer["stalledAmount"]) == (
        len(rows), sum(amount or 0 for _, _, amount, _ in rows),
    )  # fmt: skip
    listed = both.answer["stalled"]
    assert len(listed) > 5
    assert {each["by"] for each in listed} == {"stage"}
    ours = {each["id"]: (each["stage"], each["amount"]) for each in listed}
    theirs = {deal: (stage, amount) for deal, stage, amount, _ in rows}
    assert ours == {deal: theirs[deal] for deal in ours}
    # Each is rounded once from the exact one, theirs twice.
    days = {deal: each for deal, _, _, each in rows}
    assert all(abs(each["days"] - days[each["id"]]) <= Decimal("0.1") for each in listed)


def test_as_many_deals_came_to_each_stage_but_those_that_stayed_no_moment(both: Both) -> None:
    """Histories have one stay for each moment; HubSpot's own times tell a stage passed in none."""
    rows = both.ask(
        "SELECT s.stage, count(DISTINCT s.record_id) FROM deal_stages s"
        " JOIN deals_on({of}) d ON d.deal = s.record_id GROUP BY s.stage"
    )
    passing = both.ask(
        "SELECT p.stage, d.id, EXISTS (SELECT FROM deal_stages s WHERE s.record_id = d.id"
        "  AND s.entered_at = p.entered::timestamptz)"
        " FROM scans.deals d, LATERAL (SELECT substr(name, 20) AS stage, value AS entered"
        "  FROM jsonb_each_text(coalesce(d.properties, '{{}}')"
        "   || coalesce(d.custom_properties, '{{}}')) AS each (name, value)"
        "  WHERE name LIKE 'hs_v2_date_entered_%%' AND name NOT LIKE '%%current_stage') AS p"
        " JOIN deals_on({of}) o ON true"
        " WHERE o.deal = d.id AND NOT EXISTS (SELECT FROM deal_stages s"
        "  WHERE s.record_id = d.id AND s.stage = p.stage)"
    )

    assert all(at_once for _, _, at_once in passing)
    expected = Counter(dict(rows)) + Counter(stage for stage, _, _ in passing)
    passed = {stage: each["deals"] for stage, each in both.answer["passed"].items()}
    assert {stage: deals for stage, deals in passed.items() if deals} == expected
