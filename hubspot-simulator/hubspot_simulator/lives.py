"""Deals that lived: made, moved through stages, priced anew, handed over, reopened, merged."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from hubspot_simulator.generation import PERIOD_MS, START_MS
from hubspot_simulator.instants import iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator.portal import Portal

DAY_MS = 86_400_000
RATES = {"EUR": 108, "GBP": 127, "USD": 100}  # hundredths of the home currency
CHANGES = ("stage", "stage", "stage", "stage", "amount", "owner", "close", "pipeline")
Event = tuple[int, int, "Callable[[int], object]"]


class Lives:
    """The events of many deals, to be carried out in order of time."""

    def __init__(self, portal: Portal, seed: int) -> None:
        self.portal = portal
        self.rng = Random(f"lives:{seed}")
        self.owners = [each.id for each in portal.owners]
        self.events: list[Event] = []

    def add(self, at: int, do: Callable[[int], object]) -> None:
        self.events.append((at, len(self.events), do))

    def money(self) -> dict[str, str]:
        currency = self.rng.choice(list(RATES))
        cents = self.rng.randrange(10_000, 9_000_000)
        home = cents * RATES[currency] // 100
        return {
            "amount": f"{cents // 100}.{cents % 100:02d}",
            "deal_currency_code": currency,
            "amount_in_home_currency": f"{home // 100}.{home % 100:02d}",
        }

    def stage(self) -> dict[str, str]:
        pipeline = self.rng.choice(self.portal.pipelines["deals"])
        return {"pipeline": pipeline.id, "dealstage": self.rng.choice(pipeline.stages).id}

    def change(self, deal: list[str]) -> dict[str, str]:
        """What happens to a deal next; its stage stays within its pipeline, or both change."""
        kind = self.rng.choice(CHANGES)
        if kind == "amount":
            return self.money()
        if kind == "owner":
            return {"hubspot_owner_id": self.rng.choice(self.owners)}
        if kind == "close":
            return {"closedate": iso(START_MS + self.rng.randrange(2 * PERIOD_MS))}
        if kind == "pipeline":
            return self.stage()
        record = self.portal.records("deals").get(int(deal[0]))
        pipeline = None if record is None else record.properties["pipeline"]
        stages = next(p.stages for p in self.portal.pipelines["deals"] if p.id == pipeline)
        return {"dealstage": self.rng.choice(stages).id}

    def live(self) -> None:
        """Plan one deal's life."""
        deal: list[str] = []
        at = START_MS + self.rng.randrange(PERIOD_MS)
        owner = self.rng.choice(self.owners)

        def make(moment: int) -> None:
            values = {**self.money(), **self.stage(), "hubspot_owner_id": owner}
            values["dealname"] = f"Life {len(self.events)}"
            values["closedate"] = iso(moment + self.rng.randrange(180 * DAY_MS))
            deal.append(self.portal.create("deals", values, at=moment))

        def alter(moment: int) -> None:
            if self.portal.records("deals").is_live(int(deal[0])):
                self.portal.change("deals", deal[0], self.change(deal), at=moment)

        self.add(at, make)
        for _ in range(self.rng.randrange(9)):
            # Now and then two things happen in one millisecond.
            at += self.rng.choice((0, 1, *[self.rng.randrange(60 * DAY_MS)] * 8))
            self.add(at, alter)
        fate = self.rng.random()
        if fate < 0.05:
            self.add(at + DAY_MS, lambda moment: self.archive(deal[0], moment))
        elif fate < 0.08:
            self.add(at + DAY_MS, lambda moment: self.merge(deal[0], moment))

    def archive(self, deal: str, moment: int) -> None:
        if self.portal.records("deals").is_live(int(deal)):
            self.portal.archive("deals", deal, at=moment)

    def merge(self, deal: str, moment: int) -> None:
        records = self.portal.records("deals")
        other = next((each for each in records.ids_from(int(deal) + 1)), None)
        if other is not None and records.is_live(int(deal)):
            self.portal.merge("deals", deal, other, at=moment)


def add_lives(portal: Portal, deals: int, *, seed: int = 1) -> None:
    """Let so many deals live within two years and a bit, each with its own history.

    Args:
        portal: Where; its pipelines and owners are used.
        deals: How many are made; some are archived later, some merged into others.
        seed: What all of it follows from.
    """
    lives = Lives(portal, seed)
    for _ in range(deals):
        lives.live()
    for at, _, do in sorted(lives.events, key=lambda event: event[:2]):
        do(at)
