"""The figures, worked out from the simulator replayed to a moment: the measure for SQL."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from hubspot_simulator.instants import milliseconds_of

if TYPE_CHECKING:
    from datetime import datetime

    from hubspot_simulator import Portal

NAMES = ("pipeline", "dealstage", "hubspot_owner_id", "amount_in_home_currency")
STEPS = (
    "opening",
    "created",
    "reopened",
    "increased",
    "decreased",
    "won",
    "lost",
    "removed",
    "closing",
)


class Deal(NamedTuple):
    """A deal as it was at a moment."""

    pipeline: str
    stage: str
    owner: str | None
    amount: Decimal
    entered: int
    closed: bool
    won: bool


class Oracle:
    """Replays a portal."""

    def __init__(self, portal: Portal, known: set[str]) -> None:
        self._portal = portal
        self._known = known
        self._metadata = {
            (pipeline.id, stage.id): dict(stage.metadata)
            for pipeline in portal.pipelines["deals"]
            for stage in pipeline.stages
        }

    def on(self, moment: datetime) -> dict[str, Deal]:
        """All deals that were there, as far as the tables can know."""
        at = milliseconds_of(moment)
        there = self._portal.truth_at(moment, names=NAMES)
        for deal, (_, told) in self.spans().items():
            end = self._portal.records("deals").histories.ends.get(int(deal))
            if end and told and end.at <= at < told:
                there[deal] = self._portal.truth_at(end.at - 1, names=NAMES)[deal]
        return {
            deal: self._deal(deal, true.properties, at)
            for deal, true in there.items()
            if deal in self._known
        }

    def _deal(self, deal: str, values: dict[str, str | None], moment: int) -> Deal:
        pipeline, stage = values["pipeline"] or "", values["dealstage"] or ""
        metadata = self._metadata[pipeline, stage]
        closed = metadata["isClosed"] == "true"
        return Deal(
            pipeline,
            stage,
            values["hubspot_owner_id"],
            Decimal(values["amount_in_home_currency"] or 0),
            max(at for at, *_ in self.stays(deal) if at <= moment),
            closed,
            closed and metadata["probability"] == "1.0",
        )

    @cache  # noqa: B019 - an oracle lives as long as its test, and its portal stands still
    def stays(self, deal: str) -> list[tuple[int, str, str]]:
        """When a deal entered which stage: the log of its changes, told anew."""
        records = self._portal.records("deals")
        end = records.histories.ends.get(int(deal))
        record = end.record if end else records.get(int(deal))
        assert record is not None
        state = {"pipeline": "", "dealstage": ""}
        changes = defaultdict(dict)  # type: ignore[var-annotated]
        for name in state:
            for version in records.histories.of(record, name):
                changes[version.at][name] = version.value
        found = []
        for at in sorted(changes):
            state |= changes[at]
            found.append((at, state["pipeline"], state["dealstage"]))
        return found

    def pipeline_on(self, moment: datetime) -> dict[tuple[str, str], tuple[int, Decimal]]:
        found: dict[tuple[str, str], tuple[int, Decimal]] = {}
        for deal in self.on(moment).values():
            count, amount = found.get((deal.pipeline, deal.stage), (0, Decimal(0)))
            found[deal.pipeline, deal.stage] = (count + 1, amount + deal.amount)
        return found

    def waterfall(self, since: datetime, until: datetime) -> dict[str, tuple[int, Decimal]]:
        before, after = self.on(since), self.on(until)
        steps: dict[str, list[Decimal]] = {step: [] for step in STEPS}
        for deal in before.keys() | after.keys():
            was, now = before.get(deal), after.get(deal)
            if was and not was.closed:
                steps["opening"].append(was.amount)
                if now is None:
                    steps["removed"].append(-was.amount)
                elif now.amount != was.amount:
                    change = now.amount - was.amount
                    steps["increased" if change > 0 else "decreased"].append(change)
            if now and not was:
                steps["created"].append(now.amount)
            if now and was and was.closed and not now.closed:
                steps["reopened"].append(now.amount)
            if now and now.closed and not (was and was.closed):
                steps["won" if now.won else "lost"].append(-now.amount)
            if now and not now.closed:
                steps["closing"].append(now.amount)
        return {step: (len(all_of), sum(all_of, Decimal(0))) for step, all_of in steps.items()}

    def win_rate(self, since: datetime, until: datetime) -> dict[str, tuple[Any, ...]]:
        found: dict[str, tuple[Any, ...]] = {}
        for deal in self.on(until).values():
            if deal.closed and deal.entered > milliseconds_of(since):
                won, lost, won_amount, lost_amount = found.get(deal.pipeline, (0, 0, 0, 0))
                found[deal.pipeline] = (
                    won + deal.won,
                    lost + (not deal.won),
                    won_amount + (deal.amount if deal.won else 0),
                    lost_amount + (0 if deal.won else deal.amount),
                )
        return found

    def stalled(self, moment: datetime, days: int) -> set[str]:
        limit = milliseconds_of(moment) - days * 86_400_000
        on = self.on(moment).items()
        return {i for i, deal in on if not deal.closed and deal.entered < limit}

    def owner_board(self, since: datetime, until: datetime) -> dict[str | None, tuple[Any, ...]]:
        start = milliseconds_of(since)
        found: dict[str | None, tuple[Any, ...]] = {}
        for deal in self.on(until).values():
            late = deal.entered > start
            row = (
                int(not deal.closed),
                Decimal(0) if deal.closed else deal.amount,
                int(deal.won and late),
                deal.amount if deal.won and late else Decimal(0),
                int(deal.closed and not deal.won and late),
            )
            before = found.get(deal.owner, (0, Decimal(0), 0, Decimal(0), 0))
            found[deal.owner] = tuple(map(sum, zip(before, row, strict=True)))
        return found

    @cache  # noqa: B019 - the same
    def spans(self) -> dict[str, tuple[int, int | None]]:
        """From when to when each deal was there.

        HubSpot tells when a survivor was made, and nothing of one that was itself merged before a
        run saw it: what it was made of counts until the merge that was seen.
        """
        records = self._portal.records("deals")
        found = {}
        for deal in self._known:
            end = records.histories.ends.get(int(deal))
            record = end.record if end else records.get(int(deal))
            assert record is not None
            until = end.at if end else record.archived_ms
            survivor = records.merged.get(int(deal))
            while survivor is not None and str(survivor) not in self._known:
                until = records.histories.ends[survivor].at
                survivor = records.merged.get(survivor)
            found[deal] = (self.stays(deal)[0][0], until)
        return found

    def time_in_stage(
        self, since: datetime, until: datetime
    ) -> dict[tuple[str, str], tuple[int, int, Decimal]]:
        low, high = milliseconds_of(since), milliseconds_of(until)
        deals: dict[tuple[str, str], set[str]] = defaultdict(set)
        stays: dict[tuple[str, str], list[int]] = defaultdict(list)
        for deal, (_, end) in self.spans().items():
            entries = self.stays(deal)
            for place, (at, pipeline, stage) in enumerate(entries):
                left = entries[place + 1][0] if place + 1 < len(entries) else high
                passed = min(left, high, high if end is None else end) - max(at, low)
                if passed > 0:
                    deals[pipeline, stage].add(deal)
                    stays[pipeline, stage].append(passed)
        return {k: (len(deals[k]), len(v), Decimal(sum(v)) / 1000) for k, v in stays.items()}

    def funnel(self, pipeline: str, since: datetime, until: datetime) -> list[tuple[str, int, int]]:
        low, high = milliseconds_of(since), milliseconds_of(until)
        order = [s for p, s in self._metadata if p == pipeline]
        lost = {
            s
            for (p, s), m in self._metadata.items()
            if p == pipeline and m["isClosed"] == "true" and m["probability"] != "1.0"
        }
        entered: dict[str, set[str]] = {stage: set() for stage in order}
        reached: dict[str, set[str]] = {stage: set() for stage in order}
        for deal, (began, _) in self.spans().items():
            entries = self.stays(deal)
            if not low <= began < high or entries[0][1] != pipeline:
                continue
            for at, in_pipeline, stage in entries:
                if at < high and in_pipeline == pipeline:
                    entered[stage].add(deal)
                    reached[stage].add(deal)
                    for earlier in order[: order.index(stage)] if stage not in lost else ():
                        reached[earlier].add(deal)
        return [(stage, len(entered[stage]), len(reached[stage])) for stage in order]
