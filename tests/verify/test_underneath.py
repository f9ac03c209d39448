"""HubSpot goes on while its copy is compared: what it does is no fault of the copy."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from .damage import DAMAGES, Damage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_simulator import Portal

    from .conftest import World


class Life:
    """What happens in HubSpot, step by step, to deals that nobody damaged.

    Args:
        portal: Where.
        rng: What follows from a seed.
    """

    def __init__(self, portal: Portal, rng: Random) -> None:
        self.portal = portal
        self.rng = rng
        self.touched: set[tuple[str, str]] = set()

    def go_on(self) -> None:
        """One thing happens."""
        to_records = (self.change, self.create, self.archive, self.restore, self.delete, self.merge)
        to_others = (self.link, self.unlink, self.change_contact)
        self.rng.choice([*to_records, *to_others])()

    def deal(self, *, archived: bool = False) -> str:
        """A deal that nothing happened to yet."""
        free = self.portal.ids("deals", archived=archived)
        chosen = self.rng.choice([i for i in free if ("deals", i) not in self.touched])
        self.touched.add(("deals", chosen))
        return chosen

    def change(self) -> None:
        self.portal.change("deals", self.deal(), {"amount": "77.7", "dealname": "Changed"})

    def create(self) -> None:
        self.portal.create("deals", {"dealname": "Made meanwhile"})

    def archive(self) -> None:
        self.portal.archive("deals", self.deal())

    def restore(self) -> None:
        archived = self.portal.ids("deals", archived=True)
        if [i for i in archived if ("deals", i) not in self.touched]:
            self.portal.restore("deals", self.deal(archived=True))

    def delete(self) -> None:
        self.portal.delete("deals", self.deal())

    def merge(self) -> None:
        self.portal.merge("deals", self.deal(), self.deal())

    def link(self) -> None:
        contact = self.rng.choice(self.portal.ids("contacts"))
        self.portal.link("deals", self.deal(), "contacts", contact)

    def unlink(self) -> None:
        links = sorted(self.portal.true_links("deals", "contacts"), key=repr)
        free = [link for link in links if ("deals", link.from_id) not in self.touched]
        chosen = self.rng.choice(free)
        self.touched.add(("deals", chosen.from_id))
        self.portal.unlink("deals", chosen.from_id, "contacts", chosen.to_id)

    def change_contact(self) -> None:
        contacts = self.portal.ids("contacts")
        contact = self.rng.choice([i for i in contacts if ("contacts", i) not in self.touched])
        self.touched.add(("contacts", contact))
        self.portal.change("contacts", contact, {"lastname": "Changed"})


@pytest.fixture(scope="module")
def life(world: World) -> Iterator[Life]:
    """What happens in the portal; the copy is brought up to date after the last test."""
    yield Life(world.portal, Random(8))
    world.run()


@pytest.mark.parametrize("number", range(6))
def test_what_happens_in_hubspot_is_no_difference_and_damage_is(
    world: World, life: Life, number: int
) -> None:
    one_round(world, life, number)


def test_what_was_merged_is_missed_where_its_survivor_is_gone_too(world: World) -> None:
    portal = world.portal
    first, second = portal.ids("deals")[30:32]
    survivor = portal.merge("deals", first, second)
    world.run()
    portal.delete("deals", survivor)
    with world.db.cursor() as cur:
        cur.execute("DELETE FROM hubspot.deals WHERE id = %s", (first,))
        cur.execute("UPDATE hubspot.deals SET merged_into = NULL WHERE id = %s", (second,))
    found = world.named()
    world.db.rollback()
    world.run()

    assert found == {
        ("deals", "missing", first, ()),
        ("deals", "altered", second, ("merged_into",)),
    }
    assert world.named() == set()
    world.db.rollback()


@pytest.mark.heavy
@pytest.mark.timeout(3000)
def test_a_thousand_rounds_while_hubspot_goes_on(world: World) -> None:
    for number in range(1000):
        if number % 25 == 0:
            for _ in range(150 - len(world.portal.ids("deals"))):  # what was merged, deleted
                world.portal.create("deals", {"dealname": "Made anew"})
            world.run()
            life = Life(world.portal, Random(number))
        one_round(world, life, number)


def one_round(world: World, life: Life, number: int) -> None:
    """Things happen before and while damaged tables are compared; the damage alone is named."""
    rng = Random(number)
    life.rng = rng
    life.go_on()
    before, damage = set(life.touched), Damage(world, rng, life.touched)
    for _ in range(rng.randrange(4)):
        rng.choice(DAMAGES)(damage)
    life.touched |= damage.touched  # what was damaged must not change before it is judged
    for _ in range(2):
        endpoint = rng.choice(["list", "associations", "batch_read"])
        world.hubspot.after(rng.randint(1, 3), life.go_on, endpoint=endpoint)
    found = world.named()
    world.hubspot.heal()
    world.db.rollback()
    life.touched -= damage.touched - before

    assert found == damage.expected, number
