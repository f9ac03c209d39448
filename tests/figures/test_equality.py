"""The figures equal the simulator replayed to that moment, to the cent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest

from .conftest import made, moments
from .oracle import STEPS, Oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import World

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HEAVY = [pytest.mark.heavy, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module", params=["small", pytest.param("large", marks=HEAVY)])
def lived(
    request: pytest.FixtureRequest, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The small world of the other tests, or one of 10,000 deals."""
    if request.param == "small":
        yield request.getfixturevalue("world")
        return
    with made(postgres_server, tmp_path_factory.mktemp("large"), 10_000) as large:
        yield large


@pytest.fixture(scope="module")
def oracle(lived: World) -> Oracle:
    return Oracle(lived.portal, lived.known)


def count(world: World) -> int:
    """How many moments are compared."""
    return 500 if len(world.known) > 5000 else 20


def test_the_pipeline_at_any_moment_is_what_it_was(lived: World, oracle: Oracle) -> None:
    for moment in moments(lived.portal, Random(1), count(lived)):
        rows = lived.ask(
            "SELECT pipeline, stage, deals, amount FROM pipeline_on('acme', %s)", moment
        )
        told = {(pipeline, stage): (deals, amount) for pipeline, stage, deals, amount in rows}
        assert told == oracle.pipeline_on(moment), moment


def test_what_was_merged_twice_between_two_runs_counts_until_the_second_time(
    lived: World, oracle: Oracle
) -> None:
    ends = lived.portal.records("deals").histories.ends
    late = {
        deal: told
        for deal, (_, told) in oracle.spans().items()
        if told and int(deal) in ends and ends[int(deal)].at < told
    }
    assert late
    for deal, told in late.items():
        for at, is_there in [(ends[int(deal)].at, True), (told - 1, True), (told, False)]:
            moment = EPOCH + timedelta(milliseconds=at)
            rows = lived.ask("SELECT deal FROM deals_on('acme', %s) WHERE deal = %s", moment, deal)
            assert bool(rows) == is_there
            assert (deal in oracle.on(moment)) == is_there


def test_a_waterfall_is_what_happened_and_adds_up(lived: World, oracle: Oracle) -> None:
    for since, until in pairs(lived, 2):
        rows = lived.ask("SELECT step, deals, amount FROM waterfall('acme', %s, %s)", since, until)
        told = {step: (deals, amount) for step, deals, amount in rows}
        assert told == oracle.waterfall(since, until), (since, until)
        assert [step for step, *_ in rows] == list(STEPS)
        *steps, closing = (amount for _, _, amount in rows)
        assert sum(steps) == closing


def pairs(world: World, seed: int) -> list[tuple[datetime, datetime]]:
    found = moments(world.portal, Random(seed), max(8, count(world) // 10))
    return [(min(pair), max(pair)) for pair in zip(found[::2], found[1::2], strict=True)]


def test_times_in_stages_are_those_of_the_log(lived: World, oracle: Oracle) -> None:
    for since, until in pairs(lived, 3):
        rows = lived.ask(
            "SELECT pipeline, stage, deals, stays, seconds FROM time_in_stage('acme', %s, %s)",
            since,
            until,
        )
        told = {(pipeline, stage): tuple(rest) for pipeline, stage, *rest in rows}
        assert told == oracle.time_in_stage(since, until), (since, until)


@pytest.mark.parametrize("pipeline", ["default", "74513908"])
def test_a_funnel_counts_who_came_how_far(lived: World, oracle: Oracle, pipeline: str) -> None:
    for since, until in pairs(lived, 4):
        rows = lived.ask(
            "SELECT stage, entered, reached FROM funnel('acme', %s, %s, %s)", pipeline, since, until
        )
        assert rows == oracle.funnel(pipeline, since, until), (since, until)


def test_win_rates_count_what_closed(lived: World, oracle: Oracle) -> None:
    for since, until in pairs(lived, 5):
        rows = lived.ask(
            "SELECT pipeline, won, lost, won_amount, lost_amount, rate "
            "FROM win_rate('acme', %s, %s)",
            since,
            until,
        )
        assert {row[0]: row[1:5] for row in rows} == oracle.win_rate(since, until)
        assert all(round(float(row[5]) - row[1] / (row[1] + row[2]), 6) == 0 for row in rows)


def test_stalled_deals_are_those_that_did_not_move(lived: World, oracle: Oracle) -> None:
    for moment in moments(lived.portal, Random(6), count(lived) // 10):
        rows = lived.ask("SELECT deal FROM stalled('acme', %s, 30)", moment)
        assert {deal for (deal,) in rows} == oracle.stalled(moment, 30)
        assert len(rows) == len(set(rows))


def test_an_owner_board_counts_each_owners_deals(lived: World, oracle: Oracle) -> None:
    for since, until in pairs(lived, 7):
        rows = lived.ask("SELECT * FROM owner_board('acme', %s, %s)", since, until)
        assert {row[0]: row[1:] for row in rows} == oracle.owner_board(since, until)


def test_the_stays_of_a_mirror_have_no_fault(lived: World) -> None:
    assert lived.ask("SELECT * FROM stage_faults('acme')") == []


def test_of_another_tenant_nothing_is_told(lived: World) -> None:
    assert lived.ask("SELECT * FROM pipeline_on('other', now())") == []
    assert lived.ask("SELECT * FROM stage_faults('other')") == []
