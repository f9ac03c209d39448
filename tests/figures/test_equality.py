"""The figures equal the simulator replayed to that moment, to the cent.

`FIGURES_DEALS=10000 FIGURES_MOMENTS=500 pytest tests/figures/test_equality.py` is the long run.
"""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING

import pytest

from .conftest import moments
from .oracle import STEPS, Oracle

if TYPE_CHECKING:
    from datetime import datetime

    from .conftest import World

MOMENTS = int(os.environ.get("FIGURES_MOMENTS", "20"))


@pytest.fixture(scope="module")
def oracle(world: World) -> Oracle:
    return Oracle(world.portal, world.known)


def test_the_pipeline_at_any_moment_is_what_it_was(world: World, oracle: Oracle) -> None:
    for moment in moments(world.portal, Random(1), MOMENTS):
        rows = world.ask(
            "SELECT pipeline, stage, deals, amount FROM pipeline_on('acme', %s)", moment
        )
        told = {(pipeline, stage): (deals, amount) for pipeline, stage, deals, amount in rows}
        assert told == oracle.pipeline_on(moment), moment


def test_a_waterfall_is_what_happened_and_adds_up(world: World, oracle: Oracle) -> None:
    for since, until in pairs(world, 2):
        rows = world.ask("SELECT step, deals, amount FROM waterfall('acme', %s, %s)", since, until)
        told = {step: (deals, amount) for step, deals, amount in rows}
        assert told == oracle.waterfall(since, until), (since, until)
        assert [step for step, *_ in rows] == list(STEPS)
        *steps, closing = (amount for _, _, amount in rows)
        assert sum(steps) == closing


def pairs(world: World, seed: int) -> list[tuple[datetime, datetime]]:
    found = moments(world.portal, Random(seed), max(4, MOMENTS // 4))
    return [(min(pair), max(pair)) for pair in zip(found, found[::-1], strict=True)]


def test_times_in_stages_are_those_of_the_log(world: World, oracle: Oracle) -> None:
    for since, until in pairs(world, 3):
        rows = world.ask(
            "SELECT pipeline, stage, deals, stays, seconds FROM time_in_stage('acme', %s, %s)",
            since,
            until,
        )
        told = {(pipeline, stage): tuple(rest) for pipeline, stage, *rest in rows}
        assert told == oracle.time_in_stage(since, until), (since, until)


@pytest.mark.parametrize("pipeline", ["default", "74513908"])
def test_a_funnel_counts_who_came_how_far(world: World, oracle: Oracle, pipeline: str) -> None:
    for since, until in pairs(world, 4):
        rows = world.ask(
            "SELECT stage, entered, reached FROM funnel('acme', %s, %s, %s)", pipeline, since, until
        )
        assert rows == oracle.funnel(pipeline, since, until), (since, until)


def test_win_rates_count_what_closed(world: World, oracle: Oracle) -> None:
    for since, until in pairs(world, 5):
        rows = world.ask(
            "SELECT pipeline, won, lost, won_amount, lost_amount, rate "
            "FROM win_rate('acme', %s, %s)",
            since,
            until,
        )
        assert {row[0]: row[1:5] for row in rows} == oracle.win_rate(since, until)
        assert all(round(float(row[5]) - row[1] / (row[1] + row[2]), 6) == 0 for row in rows)


def test_stalled_deals_are_those_that_did_not_move(world: World, oracle: Oracle) -> None:
    for moment in moments(world.portal, Random(6), MOMENTS // 2):
        rows = world.ask("SELECT deal FROM stalled('acme', %s, 30)", moment)
        assert {deal for (deal,) in rows} == oracle.stalled(moment, 30)
        assert len(rows) == len(set(rows))


def test_an_owner_board_counts_each_owners_deals(world: World, oracle: Oracle) -> None:
    for since, until in pairs(world, 7):
        rows = world.ask("SELECT * FROM owner_board('acme', %s, %s)", since, until)
        assert {row[0]: row[1:] for row in rows} == oracle.owner_board(since, until)


def test_the_stays_of_a_mirror_have_no_fault(world: World) -> None:
    assert world.ask("SELECT * FROM stage_faults('acme')") == []


def test_of_another_tenant_nothing_is_told(world: World) -> None:
    assert world.ask("SELECT * FROM pipeline_on('other', now())") == []
    assert world.ask("SELECT * FROM stage_faults('other')") == []
