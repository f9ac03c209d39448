"""Pipelines and their stages, and what a stage says about a deal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hubspot_simulator.columns import Base, Pool
from hubspot_simulator.instants import iso
from hubspot_simulator.properties import DEFINED_MS, PropertyDefinition


@dataclass(frozen=True)
class Stage:
    """One stage; the metadata values are strings on the wire."""

    id: str
    label: str
    metadata: tuple[tuple[str, str], ...]
    archived: bool = False

    @property
    def probability(self) -> str:
        return dict(self.metadata).get("probability", "0")


@dataclass(frozen=True)
class Pipeline:
    """One pipeline of one object type."""

    id: str
    label: str
    stages: tuple[Stage, ...]
    display_order: int = 0
    archived: bool = False

    def as_json(self) -> dict[str, Any]:
        times = {"createdAt": iso(DEFINED_MS), "updatedAt": iso(DEFINED_MS)}
        return {
            "label": self.label,
            "displayOrder": self.display_order,
            "id": self.id,
            "archived": self.archived,
            "stages": [
                {
                    "label": stage.label,
                    "displayOrder": order,
                    "metadata": dict(stage.metadata),
                    "id": stage.id,
                    "archived": stage.archived,
                    "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
                    **times,
                }
                for order, stage in enumerate(self.stages)
            ],
            **times,
        }


def deal_stage(stage_id: str, label: str, probability: str, *, closed: bool = False) -> Stage:
    metadata = (("isClosed", str(closed).lower()), ("probability", probability))
    return Stage(stage_id, label, metadata)


# HubSpot docs: "Pipelines", the default deal pipeline.
SALES = Pipeline(
    "default",
    "Sales Pipeline",
    (
        deal_stage("appointmentscheduled", "Appointment Scheduled", "0.2"),
        deal_stage("qualifiedtobuy", "Qualified To Buy", "0.4"),
        deal_stage("presentationscheduled", "Presentation Scheduled", "0.6"),
        deal_stage("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"),
        deal_stage("contractsent", "Contract Sent", "0.9"),
        deal_stage("closedwon", "Closed Won", "1.0", closed=True),
        deal_stage("closedlost", "Closed Lost", "0.0", closed=True),
    ),
)
RENEWALS = Pipeline(
    "74513908",
    "Renewals",
    (
        deal_stage("141802331", "Upcoming", "0.5"),
        deal_stage("141802332", "Renewed", "1.0", closed=True),
        deal_stage("141802333", "Churned", "0.0", closed=True),
    ),
    display_order=1,
)
SUPPORT = Pipeline(
    "0",
    "Support Pipeline",
    (
        Stage("1", "New", (("ticketState", "OPEN"), ("isClosed", "false"))),
        Stage("2", "Waiting on contact", (("ticketState", "OPEN"), ("isClosed", "false"))),
        Stage("4", "Closed", (("ticketState", "CLOSED"), ("isClosed", "true"))),
    ),
)
# What Java prints of the doubles 0.2, 0.4, ... (observed in hs_deal_stage_probability).
EXPANDED = {
    "0.2": "0.200000000000000011102230246251565404236316680908203125",
    "0.4": "0.40000000000000002220446049250313080847263336181640625",
    "0.6": "0.59999999999999997779553950749686919152736663818359375",
    "0.8": "0.8000000000000000444089209850062616169452667236328125",
    "0.9": "0.90000000000000002220446049250313080847263336181640625",
    "1.0": "1",
    "0.0": "0",
}


def stage_values(stage: Stage) -> dict[str, str]:
    """Say what a stage makes of the calculated properties of a deal in it."""
    closed = dict(stage.metadata).get("isClosed", "false")
    won = "true" if closed == "true" and stage.probability == "1.0" else "false"
    return {
        "hs_is_closed": closed,
        "hs_is_closed_won": won,
        "hs_deal_stage_probability": EXPANDED.get(stage.probability, stage.probability),
    }


STAGE_PROPERTIES = {
    "deals": ("pipeline", "dealstage"),
    "tickets": ("hs_pipeline", "hs_pipeline_stage"),
}
# HubSpot's knowledge base, "Use stage calculated properties".
STAGE_TIMES = {
    "hs_v2_date_entered": "datetime",
    "hs_v2_date_exited": "datetime",
    "hs_v2_latest_time_in": "number",
    "hs_v2_cumulative_time_in": "number",
}


def stage_definitions(stage: Stage) -> list[PropertyDefinition]:
    return [
        PropertyDefinition(
            f"{name}_{stage.id}",
            kind,
            label=f"{name.removeprefix('hs_v2_').replace('_', ' ').capitalize()} {stage.label}",
            hubspot_defined=True,
            calculated=True,
        )
        for name, kind in STAGE_TIMES.items()
    ]


def stage_times(versions: list[tuple[str, int]]) -> dict[str, str | None]:
    """Work out the times of each stage from all of a record's stages and when they began.

    A visit that lasts counts for nothing yet: only leaving sets or adds to a time.
    """
    found: dict[str, str | None] = {}
    cumulative: dict[str, int] = {}
    for place, (stage, entered) in enumerate(versions):
        if not stage:
            continue
        found[f"hs_v2_date_entered_{stage}"] = iso(entered)
        if place + 1 < len(versions):
            left = versions[place + 1][1]
            cumulative[stage] = cumulative.get(stage, 0) + left - entered
            found[f"hs_v2_date_exited_{stage}"] = iso(left)
            found[f"hs_v2_latest_time_in_{stage}"] = str(left - entered)
            found[f"hs_v2_cumulative_time_in_{stage}"] = str(cumulative[stage])
    return found


def add_deal_stages(base: Base, pipelines: list[Pipeline]) -> None:
    """Put generated deals into stages, with the calculated properties that agree."""
    spread = [(pipeline, stage) for pipeline in pipelines for stage in pipeline.stages]
    # The first pipeline is used more; eleven is prime, so that every step mixes.
    rows = (spread * 11)[:11]
    step, offset = 4, 0
    base.add(
        Pool("pipeline", [pipeline.id for pipeline, _ in rows], step, offset),
        Pool("dealstage", [stage.id for _, stage in rows], step, offset),
    )
    for name in ("hs_is_closed", "hs_is_closed_won", "hs_deal_stage_probability"):
        base.add(Pool(name, [stage_values(stage)[name] for _, stage in rows], step, offset))


def add_ticket_stages(base: Base, pipeline: Pipeline) -> None:
    base.add(
        Pool("hs_pipeline", [pipeline.id]),
        Pool("hs_pipeline_stage", [stage.id for stage in pipeline.stages]),
    )
