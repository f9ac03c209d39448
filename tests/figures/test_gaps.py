"""Figures where HubSpot had cut a history between two runs, or a deal was deleted for good."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg2
import pytest
from harness.database import drop_database, new_database
from hubspot_figures import fivetran
from hubspot_simulator import Portal, Simulator

from .conftest import figures, mirror

if TYPE_CHECKING:
    from collections.abc import Iterator

STAGES = ("qualifiedtobuy", "presentationscheduled", "decisionmakerboughtin", "contractsent")
FIRST = {"pipeline": "default", "dealstage": "appointmentscheduled"}


class Cut(NamedTuple):
    """What happened, and the tables."""

    cursor: Any
    moved: str
    priced: str
    deleted: str
    made: datetime
    known: datetime
    """When the oldest stay began that HubSpot still told at the second run."""
    last: datetime
    now: datetime

    def on(self, moment: datetime) -> dict[str, tuple[str, Decimal]]:
        """Stage and amount of each deal at a moment; each stands there once."""
        self.cursor.execute("SELECT deal, stage, amount FROM deals_on('acme', %s)", (moment,))
        rows = self.cursor.fetchall()
        found = {deal: (stage, amount) for deal, stage, amount in rows}
        assert len(found) == len(rows)
        return found


@pytest.fixture(scope="module")
def cut(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cut]:
    """Two runs, and between them more changes than HubSpot tells of."""
    folder = tmp_path_factory.mktemp("cut")
    portal = Portal()
    portal.add_stage_properties()

    def now() -> datetime:
        return datetime.fromtimestamp(portal.clock.now_ms() / 1000, UTC)

    values = {**FIRST, "amount_in_home_currency": "10"}
    made = now()
    moved, priced, deleted = (portal.create("deals", values) for _ in range(3))
    portal.create("deals", {"dealname": "In no stage, and in no figure"})
    url = new_database(postgres_server)
    with Simulator([portal]) as hubspot:
        portal.clock.advance(3600)
        state = mirror(url, hubspot, folder)
        portal.clock.advance(3600)
        moments = []
        for number in range(25):
            portal.clock.advance(60)
            moments.append(now())
            portal.change("deals", moved, {"dealstage": STAGES[number % 4]})
            portal.change("deals", priced, {"amount_in_home_currency": str(number)})
        portal.delete("deals", deleted)
        portal.clock.advance(3600)
        mirror(url, hubspot, folder, state)
    assert figures(url, "install").returncode == 0
    with closing(psycopg2.connect(url)) as db, db.cursor() as cursor:
        fivetran.install(cursor, "hubspot", "hubspot_fivetran")
        cursor.execute("SET TimeZone = 'UTC'; SET search_path = hubspot")
        db.commit()
        yield Cut(cursor, moved, priced, deleted, made, moments[-20], moments[-1], now())
    drop_database(postgres_server, url)


def test_what_stood_before_a_gap_stands_until_the_next_that_is_known(cut: Cut) -> None:
    ten = Decimal(10)
    late = cut.on(cut.now)
    assert late == {cut.moved: (STAGES[0], ten), cut.priced: (FIRST["dealstage"], Decimal(24))}
    within = cut.made + (cut.known - cut.made) / 2
    assert cut.on(within) == dict.fromkeys(late | {cut.deleted: ()}, (FIRST["dealstage"], ten))
    assert cut.on(cut.last - timedelta(seconds=30))[cut.moved][0] == STAGES[23 % 4]


def test_a_deal_that_was_deleted_counts_until_a_run_found_it_gone(cut: Cut) -> None:
    cut.cursor.execute("SELECT removed_at FROM deals WHERE id = %s", (cut.deleted,))
    [(found,)] = cut.cursor.fetchall()
    assert cut.deleted in cut.on(cut.last)
    assert cut.last < found <= cut.now
    assert cut.deleted not in cut.on(found)


def test_stays_fill_the_time_of_a_deal_also_around_a_gap(cut: Cut) -> None:
    cut.cursor.execute(
        "SELECT sum(seconds) FROM time_in_stage('acme', %s, %s)", (cut.made, cut.now)
    )
    [(in_stages,)] = cut.cursor.fetchall()
    cut.cursor.execute(
        "SELECT sum(extract(epoch FROM least(ended, %s) - began)) FROM deal_spans('acme')",
        (cut.now,),
    )
    assert [(in_stages,)] == cut.cursor.fetchall()


def test_a_gap_is_told_and_no_fault(cut: Cut) -> None:
    cut.cursor.execute("SELECT * FROM stage_faults('acme')")
    assert cut.cursor.fetchall() == []
    cut.cursor.execute("SELECT record_id FROM deal_stages WHERE gap_before")
    assert cut.cursor.fetchall() == [(cut.moved,)]


def test_a_deal_in_a_stage_that_has_no_stay_is_a_fault(cut: Cut) -> None:
    cut.cursor.execute("DELETE FROM deal_stages WHERE record_id = %s", (cut.priced,))
    cut.cursor.execute("SELECT * FROM stage_faults('acme')")
    told = cut.cursor.fetchall()
    cut.cursor.connection.rollback()

    assert told == [(cut.priced, None, "has no stay")]


def test_a_stay_that_overlaps_the_next_one_is_a_fault(cut: Cut) -> None:
    cut.cursor.execute(
        "UPDATE deal_stages SET gap_before = NULL WHERE record_id = %s "
        "RETURNING (SELECT min(entered_at) FROM deal_stages WHERE record_id = %s)",
        (cut.moved, cut.moved),
    )
    first = cut.cursor.fetchone()[0]
    cut.cursor.execute("SELECT * FROM stage_faults('acme')")
    told = cut.cursor.fetchall()
    cut.cursor.connection.rollback()

    assert told == [(cut.moved, first, "lasts although another stay follows")]


def test_of_fivetrans_stays_one_of_each_deal_is_active(cut: Cut) -> None:
    cut.cursor.execute(
        "SELECT deal_id::text, value FROM hubspot_fivetran.deal_stage WHERE _fivetran_active"
    )
    active = cut.cursor.fetchall()
    assert len(active) == len(dict(active)) == 3
    assert dict(active)[cut.moved] == STAGES[0]
