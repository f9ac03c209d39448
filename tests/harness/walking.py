"""Random walks of a mirror: edits in HubSpot, runs of all kinds, some cut, and then the truth."""

from __future__ import annotations

import abc
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from hubspot_client.errors import HubSpotError
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st

from harness.singer import Mirror, Output, config_for, output_of, tried

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hubspot_simulator import Portal, Simulator

    from harness.singer import Row

NAMES = ("from_id", "to_id", "category", "type_id")
"""What tells a link from others between records of two types."""

SEED = int(os.environ.get("SEED", secrets.randbits(32)))
"""Of the walks of the heavy suite: others at each time, unless it is given."""


class Edit(Protocol):
    """Something that people do in HubSpot."""

    def carry_out(self, portal: Portal) -> None:
        """Do it, where there is something that it can be done to."""


class Asked(Protocol):
    """What one run is asked for."""

    def settings(self, portal: Portal) -> dict[str, Any]:
        """As settings of the tap."""


AskedT = TypeVar("AskedT", bound=Asked)


@dataclass(frozen=True)
class Step(Generic[AskedT]):
    """Edits, then a run.

    Attributes:
        asked: what the run is asked for; None: the same as before.
        cut_at: behind which part of its output it is killed.
        fail_at: the request that fails.
        meanwhile: an edit while it runs, and after how many requests.
    """

    edits: Sequence[Edit]
    asked: AskedT | None
    cut_at: float | None = None
    fail_at: int | None = None
    meanwhile: Edit | None = None
    after: int = 7


@dataclass
class Walk(abc.ABC, Generic[AskedT]):
    """One mirror and its portal on their way."""

    hubspot: Simulator
    asked: AskedT
    mirror: Mirror = field(default_factory=Mirror)
    everywhere: dict[str, Any] = field(default_factory=dict)
    """Settings of all runs."""

    @abc.abstractmethod
    def catalog(self, config: dict[str, Any]) -> dict[str, Any] | None:
        """The catalog of a run; None: the one that it discovers."""

    @abc.abstractmethod
    def differences(self) -> list[str]:
        """What the tables say otherwise than HubSpot, of what was asked."""

    @property
    def portal(self) -> Portal:
        return self.hubspot.portals[0]

    def take(self, step: Step[AskedT]) -> None:
        for edit in step.edits:
            edit.carry_out(self.portal)
        self.asked = step.asked or self.asked
        self.hubspot.advance(300)
        if step.fail_at is not None:
            self.hubspot.fail("status", status=404, nth=step.fail_at, times=1)
        if (late := step.meanwhile) is not None:
            self.hubspot.after(step.after, lambda: late.carry_out(self.portal))
        config = config_for(self.hubspot, **self.asked.settings(self.portal), **self.everywhere)
        try:
            catalog = self.catalog(config)
            output, failure = tried(config, state=self.mirror.state or None, catalog=catalog)
        except HubSpotError as exc:
            output, failure = Output([]), exc
        self.hubspot.heal()
        self.hubspot.answer_hooks.clear()
        if failure is not None and not isinstance(failure, HubSpotError):
            raise failure
        if step.cut_at is not None:
            output = output_of(output.content[: int(step.cut_at * len(output.content))])
        self.mirror.take(output)
        if failure is None and step.cut_at is None and step.meanwhile is None:
            assert self.differences() == []

    def link_differences(
        self, stream: str, start: str, end: str, wanted: set[str], *, by_time: bool = True
    ) -> list[str]:
        """Links by their own marker and, if asked for, by the time at which they were read."""
        rows = [
            r
            for r in self.mirror.rows(stream)
            if (r["from_object_type"], r["to_object_type"]) == (start, end)
        ]
        told = {tuple(r[n] for n in NAMES) for r in rows if is_standing(r)}
        true = {
            (t.from_id, t.to_id, t.category, t.type_id)
            for t in self.portal.true_links(start, end)
            if t.from_id in wanted
        }
        found = [f"{stream} {link} is in the tables only" for link in told - true]
        found += [f"{stream} {link} is missing" for link in true - told]
        if by_time:
            live = {r["id"]: r for r in self.mirror.rows(start) if is_standing(r)}
            current = {
                tuple(r[n] for n in NAMES)
                for r in rows
                if r["from_id"] in live and r.get("read_at") == live[r["from_id"]]["read_at"]
            }
            found += [f"{stream} {link} is wrong by `read_at`" for link in true ^ current]
        return found


def is_standing(row: Row) -> bool:
    """Whether a row stands for something that HubSpot has, and has live."""
    return not any(row.get(mark) for mark in ("archived", "merged_into", "removed_at"))


def take_walks(
    step: st.SearchStrategy[Step[AskedT]],
    walk: Callable[[list[Step[AskedT]]], None],
    *,
    start: int,
    number: int,
    longest: int,
) -> None:
    """Random walks, the same ones at every time for one beginning.

    Args:
        step: Makes steps.
        walk: Takes one walk.
        start: Chooses the walks.
        number: How many.
        longest: Steps of a walk at the most.
    """

    @seed(start)
    @settings(
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        max_examples=max(1, number),
    )
    @given(steps=st.lists(step, min_size=1, max_size=longest))
    def take_one(steps: list[Step[AskedT]]) -> None:
        note(f"seed {start}: {steps!r}")
        walk(steps)

    take_one()
