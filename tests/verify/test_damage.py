"""Whatever is damaged in the tables is found and named, and nothing else is."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from .damage import DAMAGES, Damage

if TYPE_CHECKING:
    from .conftest import World


def test_a_healthy_copy_raises_nothing(world: World) -> None:
    found = world.verify()
    world.db.rollback()

    assert {name: each.counts for name, each in found.items() if each.total} == {}
    for each in found.values():
        assert each.in_hubspot == each.in_tables > 0
        assert each.digest_hubspot == each.digest_tables


def test_a_damage_of_each_kind_is_named(world: World) -> None:
    damage = Damage(world, Random(1))
    for kind in DAMAGES:
        before = len(damage.expected)
        kind(damage)
        assert len(damage.expected) > before, kind.__name__
    found = world.named()
    world.db.rollback()

    assert found == damage.expected


@pytest.mark.parametrize("number", [*range(15), pytest.param(-1, marks=pytest.mark.heavy)])
def test_random_damage_is_found_and_named(world: World, number: int) -> None:
    for seed in range(1000) if number < 0 else [number]:
        rng = Random(seed)
        damage = Damage(world, rng)
        for _ in range(rng.choice([1, 1, 2, 3, 7])):
            rng.choice(DAMAGES)(damage)
        found = world.named()
        world.db.rollback()

        assert found == damage.expected, seed
