"""docs/figures.md: every statement runs, and its list of functions is fresh."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from harness.figures_page import BEGIN, PAGE, fresh

if TYPE_CHECKING:
    from .conftest import World

BLOCKS = re.findall(r"```sql\n(.*?)```", PAGE.read_text().split(BEGIN)[0], flags=re.DOTALL)
EMPTY = {"stage_faults", "gap_before"}
"""What tells of faults, of which there are none."""


def test_the_page_shows_the_functions_as_they_are() -> None:
    assert PAGE.read_text() == fresh()


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: " ".join(block.split())[:50])
def test_a_statement_of_the_page_runs_and_tells_something(world: World, block: str) -> None:
    with world.db.cursor() as cur:
        cur.execute(block)
        if cur.description is not None:
            assert bool(cur.fetchall()) != any(word in block for word in EMPTY)
