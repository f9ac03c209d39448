"""From the histories of pipeline and stage to the time that a record spent in each stage."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from hubspot_client.clock import parse_time
from hubspot_client.properties import to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from tap_hubspot_deals.reading.histories import History, Version

ENTERED, CUMULATIVE = "hs_v2_date_entered_", "hs_v2_cumulative_time_in_"
TOLERANCE = Decimal(1)
"""Seconds by which HubSpot's own times of a stage may differ: another part of it works them out."""


@dataclass
class Stay:
    """A record in one stage of one pipeline.

    Args:
        pipeline: The pipeline's id; None where the history does not reach back so far.
        stage: The stage's id.
        version: What began it.
        left: What ended it; None while it lasts.
    """

    pipeline: str | None
    stage: str
    version: Version
    left: Version | None = None

    @property
    def seconds(self) -> Decimal | None:
        """How long it lasted, to the millisecond; None while it lasts."""
        if self.left is None:
            return None
        return _seconds(self.version.at, self.left.at)


def _seconds(start: datetime, end: datetime) -> Decimal:
    passed = end - start
    return Decimal(passed.days * 86_400 + passed.seconds) + Decimal(passed.microseconds) / 1_000_000


def stays(pipelines: Sequence[Version], stages: Sequence[Version]) -> list[Stay]:
    """The stays of one record, the oldest first; each ends where the next one begins.

    A stay begins with every version of the stage, also one that repeats it, and where the pipeline
    changes. Of what happened in one millisecond the last counts.

    Args:
        pipelines: The versions of the pipeline property, the oldest first.
        stages: Those of the stage property.
    """
    moments: dict[datetime, tuple[str | None, str, Version]] = {}
    for version, pipeline, stage in _states(pipelines, stages):
        moments[version.at] = (pipeline, stage, version)
    found: list[Stay] = []
    for pipeline, stage, version in moments.values():
        if found and found[-1].left is None:
            found[-1].left = version
        if stage:
            found.append(Stay(pipeline, stage, version))
    return found


def _states(
    pipelines: Sequence[Version], stages: Sequence[Version]
) -> Iterator[tuple[Version, str | None, str]]:
    """Pipeline and stage after each change of either, from the first known stage on."""
    events = [(v.at, False, v) for v in pipelines] + [(v.at, True, v) for v in stages]
    events.sort(key=lambda event: event[0])
    pipeline: str | None = None
    stage: str | None = None
    for _, is_stage, version in events:
        value = version.value or ""
        if is_stage:
            stage = value
        elif pipeline == value:
            continue
        else:
            pipeline = value
        if stage is not None:
            yield version, pipeline, stage


def until(
    history: History, names: tuple[str, str], own: tuple[str, str], updated: str | None
) -> list[Stay]:
    """A record's stays as far as they had come when the record itself was read.

    The history is read a moment later and may have gone on since. What is newer than the record is
    left away where the record tells another stage: the next run reads both again.

    Args:
        history: Of the record.
        names: The properties of pipeline and stage.
        own: The record's own pipeline and stage.
        updated: When the record was changed, as read with it.
    """
    pipelines, stages = (history.versions.get(name, []) for name in names)
    found = stays(pipelines, stages)
    if not updated or not found or (found[-1].pipeline, found[-1].stage) == own:
        return found
    limit = parse_time(updated)
    older = stays([v for v in pipelines if v.at <= limit], [v for v in stages if v.at <= limit])
    if older and (older[-1].pipeline, older[-1].stage) == own:
        return older
    return found


def disagreements(
    history: History, names: tuple[str, str], found: Sequence[Stay], own: tuple[str, str]
) -> list[str]:
    """What HubSpot says otherwise about a record's stages; one sentence each.

    Args:
        history: Of the record.
        names: The properties of pipeline and stage.
        found: The stays that go out.
        own: The record's own pipeline and stage.
    """
    faults = []
    last = (found[-1].pipeline or "", found[-1].stage) if found else ("", "")
    if found and found[-1].left is not None:
        last = ("", "")
    if last != own:
        faults.append(
            f"the history ends in stage '{last[1]}' of pipeline '{last[0]}', the record says "
            f"'{own[1]}' of '{own[0]}'"
        )
    if len(history.versions.get(names[1], ())) < history.limit:
        faults += _against_calculated(history, names)
    return faults


def _against_calculated(history: History, names: tuple[str, str]) -> Iterator[str]:
    """Compare with the times that HubSpot works out itself, where it has them.

    Of a stage that was entered more than once HubSpot's documentation does not say which time is
    told; any of them will do.
    """
    entered: dict[str, list[datetime]] = {}
    cumulative: dict[str, Decimal] = {}
    stages = history.versions.get(names[1], [])
    for place, version in enumerate(stages):
        stage = version.value or ""
        if place == 0 or stages[place - 1].value != stage:
            entered.setdefault(stage, []).append(version.at)
        if place + 1 < len(stages):
            passed = _seconds(version.at, stages[place + 1].at)
            cumulative[stage] = cumulative.get(stage, Decimal(0)) + passed
    for stage, times in entered.items():
        text = history.properties.get(ENTERED + stage)
        if text and all(_differs(text, at) for at in times):
            yield f"stage '{stage}' was entered at {times[-1].isoformat()}, HubSpot says {text}"
    for stage, seconds in cumulative.items():
        text = history.properties.get(CUMULATIVE + stage)
        if text and stage != (stages[-1].value or "") and _is_other(text, seconds):
            yield f"{seconds} seconds were spent in stage '{stage}', HubSpot says {text} ms"


def _differs(text: str, at: datetime) -> bool:
    try:
        told = parse_time(to_datetime(text))
    except ValueError:
        return True
    return abs(_seconds(told, at)) > TOLERANCE


def _is_other(text: str, seconds: Decimal) -> bool:
    try:
        return abs(Decimal(text) / 1000 - seconds) > TOLERANCE
    except InvalidOperation:
        return True
