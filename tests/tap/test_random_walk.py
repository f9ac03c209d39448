"""Whatever is asked, whatever happens in HubSpot and whenever a run is cut: the mirror stays true.

Each example is a walk: edits in HubSpot, and runs with settings, selections and scopes of their
own, some of them cut at a message or by a request that fails. After every run that came to its end
the tables are compared with what HubSpot has of what was asked.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import (
    Mirror,
    Output,
    Row,
    config_for,
    discover,
    select,
    tried,
    value_differences,
)
from hubspot_client.errors import HubSpotError
from hubspot_simulator import Portal, Simulator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_simulator import TrueRecord
    from hubspot_simulator.truth import Truth

SOME = st.integers(0, 10**6)
LABEL = "Decision maker"
EDITS = (
    "create",
    "change",
    "move",
    "archive",
    "restore",
    "delete",
    "purge",
    "merge",
    "link",
    "unlink",
    "relabel",
    "archive contact",
    "add property",
    "retype property",
    "archive property",
)


@dataclass(frozen=True)
class Edit:
    """Something that people do in HubSpot; the numbers choose whom it concerns."""

    what: str
    one: int
    other: int

    def carry_out(self, portal: Portal) -> None:
        live, binned = portal.ids(), portal.ids(archived=True)
        contacts = portal.ids("contacts")
        deal = live[self.one % len(live)] if live else None
        second = live[self.other % len(live)] if live else None
        old = binned[self.one % len(binned)] if binned else None
        contact = contacts[self.other % len(contacts)] if contacts else None
        linked = sorted(portal.live_links("deals", int(deal), "contacts")) if deal else []
        stage = portal.pipelines["deals"][self.other % 2].stages[self.one % 3]
        placed = {
            "pipeline": portal.pipelines["deals"][self.other % 2].id,
            "dealstage": stage.id,
        }
        if self.what == "create":
            portal.create("deals", {"dealname": f"new {self.one}", **placed})
        elif self.what == "add property":
            portal.add_property("deals", f"own_{self.one % 3}", "string")
        elif self.what == "retype property" and "custom_1" in portal.definitions("deals"):
            portal.retype_property("deals", "custom_1", ("string", "number")[self.one % 2])
        elif self.what == "archive property" and "custom_2" in portal.definitions("deals"):
            portal.archive_property("deals", "custom_2")
        elif self.what == "restore" and old:
            portal.restore("deals", old)
        elif self.what == "purge" and old:
            portal.delete("deals", old)
        elif self.what == "archive contact" and contact and len(contacts) > 3:
            portal.archive("contacts", contact)
        elif deal is not None:
            self._concerning(portal, deal, second, contact, linked, placed)

    def _concerning(
        self,
        portal: Portal,
        deal: str,
        second: str | None,
        contact: str | None,
        linked: list[int],
        placed: dict[str, str],
    ) -> None:
        if self.what == "change":
            portal.change("deals", deal, {"dealname": f"{self.other}", "amount": str(self.one)})
        elif self.what == "move":
            portal.change("deals", deal, placed)
        elif self.what == "archive":
            portal.archive("deals", deal)
        elif self.what == "delete":
            portal.delete("deals", deal)
        elif self.what == "merge" and second not in {deal, None}:
            portal.merge("deals", deal, second or "")
        elif self.what == "link" and contact:
            portal.link("deals", deal, "contacts", contact)
        elif self.what == "unlink" and linked:
            portal.unlink("deals", deal, "contacts", linked[self.other % len(linked)])
        elif self.what == "relabel" and linked:
            labels = [LABEL] if self.other % 2 else []
            portal.relabel("deals", deal, "contacts", linked[self.one % len(linked)], labels)


@dataclass(frozen=True)
class Asked:
    """What one run is asked for."""

    pipeline: int = 0
    stage: int = 0
    archived: bool = False
    properties: bool = False
    linked: tuple[str, ...] = ("contacts", "companies")
    per_pair: bool = False
    versions: bool = False
    contacts_too: bool = False
    every_time: bool = False
    page_size: int = 100
    raw: bool = False
    deselected: tuple[str, ...] = ()
    narrow_token: bool = False

    def settings(self, portal: Portal) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "archived": self.archived,
            "associations": list(self.linked),
            "associations_per_pair": self.per_pair,
            "emit_activate_version_messages": self.versions,
            "page_size": self.page_size,
            "include_raw": self.raw,
            "lookback_minutes": 1,
            "on_missing_scope": "skip",
        }
        pipelines = portal.pipelines["deals"]
        if self.pipeline:
            asked["pipeline"] = pipelines[self.pipeline - 1].id
        if self.stage:
            asked["deal_stage"] = pipelines[(self.pipeline or 1) - 1].stages[self.stage - 1].id
        if self.properties:
            asked["properties"] = ["dealname", "amount"]
        if self.every_time:
            asked["association_refresh_hours"] = 0
        if self.contacts_too:
            asked["objects"] = ["deals", {"name": "contacts", "associations": ["companies"]}]
        if self.narrow_token:
            asked["access_token"] = NARROW
        return asked

    def wants(self, record: TrueRecord, portal: Portal) -> bool:
        asked = self.settings(portal)
        return all(
            asked.get(setting) in {None, record.properties.get(name)}
            for setting, name in (("pipeline", "pipeline"), ("deal_stage", "dealstage"))
        )

    @property
    def links(self) -> tuple[str, ...]:
        """The object types whose links can be read."""
        return tuple(n for n in self.linked if n != "contacts" or not self.narrow_token)


SCOPES = [
    "crm.objects.deals.read",
    "crm.objects.companies.read",
    "crm.objects.owners.read",
]
NARROW = "pat-na1-narrow"
"""A token that may not read contacts."""


@dataclass(frozen=True)
class Step:
    """Edits, then a run."""

    edits: list[Edit]
    asked: Asked | None
    cut_at: int | None
    fail_at: int | None
    meanwhile: Edit | None


ASKED = st.builds(
    Asked,
    pipeline=st.sampled_from([0, 0, 1, 2]),
    stage=st.sampled_from([0, 0, 0, 1]),
    archived=st.booleans(),
    properties=st.booleans(),
    linked=st.sampled_from([("contacts", "companies"), ("contacts",), ()]),
    per_pair=st.booleans(),
    versions=st.booleans(),
    contacts_too=st.booleans(),
    every_time=st.sampled_from([False, False, True]),
    page_size=st.sampled_from([100, 7, 3]),
    raw=st.booleans(),
    deselected=st.sampled_from([(), (), ("amount",), ("archived", "closedate"), ("owners",)]),
    narrow_token=st.sampled_from([False, False, True]),
)
EDIT = st.builds(Edit, st.sampled_from(EDITS), SOME, SOME)
STEP = st.builds(
    Step,
    edits=st.lists(EDIT, max_size=5),
    asked=st.none() | ASKED,  # None: the same as before
    cut_at=st.none() | st.integers(1, 120),
    fail_at=st.none() | st.integers(1, 25),
    meanwhile=st.none() | EDIT,
)
CLEAN = Step([], None, None, None, None)


@dataclass
class Walk:
    """One mirror and its portal on their way."""

    hubspot: Simulator
    mirror: Mirror = field(default_factory=Mirror)
    asked: Asked = field(default_factory=Asked)

    @property
    def portal(self) -> Portal:
        return self.hubspot.portals[0]

    def take(self, step: Step) -> None:
        for edit in step.edits:
            edit.carry_out(self.portal)
        self.asked = step.asked or self.asked
        self.hubspot.advance(300)
        if step.fail_at is not None:
            self.hubspot.fail("status", status=404, nth=step.fail_at, times=1)
        if step.meanwhile is not None:
            edit = step.meanwhile
            self.hubspot.after(7, lambda: edit.carry_out(self.portal))
        config = config_for(self.hubspot, **self.asked.settings(self.portal))
        try:
            catalog = self._catalog(config)
            output, failure = tried(config, state=self.mirror.state or None, catalog=catalog)
        except HubSpotError as exc:
            output, failure = Output([]), exc
        self.hubspot.heal()
        self.hubspot.answer_hooks.clear()
        if failure is not None and not isinstance(failure, HubSpotError):
            raise failure
        if step.cut_at is not None:
            del output.messages[step.cut_at :]
        self.mirror.take(output)
        if failure is None and step.cut_at is None and step.meanwhile is None:
            assert self.differences() == []

    def _catalog(self, config: dict[str, Any]) -> dict[str, Any] | None:
        if not self.asked.deselected:
            return None
        catalog = discover(config)
        streams = {s["tap_stream_id"] for s in catalog["streams"]}
        for name in self.asked.deselected:
            if name in streams:
                select(catalog, name, selected=False)
            else:
                with contextlib.suppress(KeyError):  # settings may leave the field out, too
                    select(catalog, "deals", name, selected=False)
        return catalog

    def differences(self) -> list[str]:
        """What the tables say otherwise than HubSpot, of what was asked."""
        truth = self.portal.truth("deals")
        wanted = {i for i, r in truth.live.items() if self.asked.wants(r, self.portal)}
        binned = {i for i, r in truth.archived.items() if self.asked.wants(r, self.portal)}
        rows, live = self.mirror.deals(), self.mirror.live()
        found = [f"deal {i} is in the tables only: {live[i]}" for i in live.keys() - wanted]
        found += [f"deal {i} is missing" for i in wanted - live.keys()]
        for deal in live.keys() & wanted:
            found += self._value_differences(live[deal], truth.live[deal])
        found += self._marker_differences(rows, truth, binned)
        if self.asked.archived:
            marked = {i for i, r in rows.items() if r.get("archived") and not r.get("removed_at")}
            found += [f"archived deal {i} is missing" for i in binned - marked]
        found += self._link_differences("deals", wanted, self.asked.links)
        if self.asked.contacts_too and not self.asked.narrow_token:
            contacts = self.portal.truth("contacts").live.keys()
            found += self._link_differences("contacts", set(contacts), ("companies",))
            standing = {r["id"] for r in self.mirror.rows("contacts") if is_standing(r)}
            if standing != contacts:
                found.append(f"contacts differ: {sorted(standing ^ contacts)}")
        return found[:10]

    def _marker_differences(
        self, rows: dict[str, Row], truth: Truth, binned: set[str]
    ) -> list[str]:
        """Rows of records that are gone say so, and how."""
        found = []
        for deal, row in rows.items():
            if row.get("removed_at"):
                continue
            if row.get("merged_into"):
                if truth.merged.get(deal) != row["merged_into"]:
                    found.append(f"deal {deal} is not merged into {row['merged_into']}")
            elif row.get("archived"):
                if deal not in binned:
                    found.append(f"deal {deal} is not archived, or not asked for")
                else:
                    found += self._value_differences(row, truth.archived[deal])
        return found

    def _value_differences(self, row: Row, true: TrueRecord) -> list[str]:
        only = {"dealname", "amount"} if self.asked.properties else None
        definitions = [
            d
            for d in self.portal.definitions("deals").all()
            if (only is None or d.name in only) and d.name not in self.asked.deselected
        ]
        return value_differences(row, true, definitions)

    def _link_differences(self, start: str, wanted: set[str], ends: tuple[str, ...]) -> list[str]:
        """Links by their own marker, and of deals by the time at which they were read, too."""
        found = []
        names = ("from_id", "to_id", "category", "type_id")
        for end in ends:
            stream = f"{start}_{end}" if self.asked.per_pair else "associations"
            rows = [
                r
                for r in self.mirror.rows(stream)
                if (r["from_object_type"], r["to_object_type"]) == (start, end)
            ]
            told = {tuple(r[n] for n in names) for r in rows if is_standing(r)}
            live = {r["id"]: r for r in self.mirror.rows(start) if is_standing(r)}
            current = {
                tuple(r[n] for n in names)
                for r in rows
                if r["from_id"] in live and r.get("read_at") == live[r["from_id"]]["read_at"]
            }
            true = {
                (t.from_id, t.to_id, t.category, t.type_id)
                for t in self.portal.true_links(start, end)
                if t.from_id in wanted
            }
            found += [f"{stream} {link} is in the tables only" for link in told - true]
            found += [f"{stream} {link} is missing" for link in true - told]
            found += [f"{stream} {link} is wrong by `read_at`" for link in true ^ current]
        return found


def is_standing(row: Row) -> bool:
    """Whether a row stands for something that HubSpot has, and has live."""
    return not any(row.get(mark) for mark in ("archived", "merged_into", "removed_at"))


@pytest.fixture(name="hubspot", scope="module")
def _hubspot() -> Iterator[Simulator]:
    with Simulator([Portal.generate(1)]) as simulator:
        yield simulator


def walk(hubspot: Simulator, steps: list[Step]) -> None:
    portal = Portal.generate(14, contacts=8, companies=4, custom_properties=2, archived=2)
    portal.add_token(NARROW, scopes=SCOPES)
    portal.add_label("deals", "contacts", LABEL)
    hubspot.portals[0] = portal
    hubspot.requests.clear()
    on_its_way = Walk(hubspot)
    for step in [*steps, CLEAN, CLEAN]:
        on_its_way.take(step)


quiet = settings(
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(1800)
@settings(quiet, max_examples=200, derandomize=True)
@given(steps=st.lists(STEP, min_size=1, max_size=3))
def test_the_mirror_is_true_after_every_run(hubspot: Simulator, steps: list[Step]) -> None:
    walk(hubspot, steps)


@pytest.mark.heavy
@pytest.mark.timeout(7200)
@settings(quiet, max_examples=int(os.environ.get("WALKS", "5000")))
@given(steps=st.lists(STEP, min_size=1, max_size=6))
def test_the_mirror_is_true_after_every_run_of_long_walks(
    hubspot: Simulator, steps: list[Step]
) -> None:
    walk(hubspot, steps)


def test_what_was_coming_stays_known_when_the_next_run_is_cut_too(hubspot: Simulator) -> None:
    edits = [
        Edit("relabel", 35225, 7320),
        Edit("merge", 240302, 14575),
        Edit("link", 2016, 577),
    ]
    late = Edit("merge", 315, 976422)
    first = Step(edits, None, cut_at=87, fail_at=13, meanwhile=None)
    walk(hubspot, [first, Step([], None, cut_at=34, fail_at=None, meanwhile=late), first])
