"""Whatever is asked, whatever happens in HubSpot and whenever a run is cut: the mirror stays true.

Each example is a walk: edits in HubSpot, and runs with settings, selections and scopes of their
own, some of them cut at a byte or by a request that fails. After every run that came to its end
the tables are compared with what HubSpot has of what was asked.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Row, discover, select, value_differences
from harness.walking import SEED, Step, Walk, is_standing, take_walks
from hubspot_client.properties import OF_STAGE
from hubspot_simulator import Portal, Simulator
from hubspot_simulator.instants import iso
from hypothesis import strategies as st
from tap_hubspot_deals.reading import audit, census, turns
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_simulator import TrueRecord
    from hubspot_simulator.properties import PropertyDefinition
    from hubspot_simulator.truth import Truth

SOME = st.integers(0, 10**6)
LABEL = "Decision maker"
EDITS = (
    "create",
    "change",
    "move",
    "redate",
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
            self._add_property(portal, live + binned)
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

    def _add_property(self, portal: Portal, deals: list[str]) -> None:
        """With values that are calculated: no modified date moves, not of archived deals either."""
        name = f"own_{self.one % 3}"
        if name in portal.definitions("deals"):
            return
        portal.add_property("deals", name, "string")
        for deal in deals[self.other % 3 :: 3]:
            portal.change("deals", deal, {name: f"{deal} {self.one}"}, touch=False)

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
        elif self.what == "redate":
            created = stamp(portal, self.other % 14)
            portal.change("deals", deal, {"createdate": created})
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


def stamp(portal: Portal, place: int) -> str:
    """When one of the first deals was created."""
    return iso(portal.records("deals").base.created[place])


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
    lacks: tuple[str, ...] = ()
    created: tuple[int | None, int | None] = (None, None)

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
        for setting, place in zip(("created_from", "created_until"), self.created, strict=True):
            if place is not None:
                asked[setting] = stamp(portal, place)
        if self.lacks:
            asked["access_token"] = token_without(*self.lacks)
        return asked

    def wants(self, record: TrueRecord, portal: Portal) -> bool:
        asked = self.settings(portal)
        created = record.properties["createdate"] or ""
        return (
            all(
                asked.get(setting) in {None, record.properties.get(name)}
                for setting, name in (("pipeline", "pipeline"), ("deal_stage", "dealstage"))
            )
            and created >= asked.get("created_from", "")
            and created <= asked.get("created_until", "9")
        )

    @property
    def contacts(self) -> bool:
        """Whether contacts are read beside the deals."""
        return self.contacts_too and "contacts" not in self.lacks

    def links(self, *ends: str) -> tuple[str, ...]:
        """Those of some object types whose links can be read."""
        return tuple(name for name in ends if name not in self.lacks)


CATALOGS: dict[str, dict[str, Any]] = {}
"""What was discovered and selected, by the settings and properties that it follows from."""

NOT_IN_CATALOGS = {
    "base_url",
    "emit_activate_version_messages",
    "pipeline",
    "deal_stage",
    "archived",
    "created_from",
    "created_until",
    "page_size",
    "association_refresh_hours",
    "compare_everything",
}
"""Settings of which no catalog tells."""

SCOPED = ("deals", "contacts", "companies", "owners")
LACKS = [(), (), (), ("contacts",), ("companies",), ("owners",), ("contacts", "owners")]


def token_without(*types: str) -> str:
    """A token that may not read some types."""
    return f"pat-na1-no-{'-'.join(types)}"


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
    deselected=st.sampled_from(
        [
            (),
            (),
            (),
            ("amount",),
            ("archived", "closedate"),
            ("custom_properties",),
            ("owners",),
            ("deals",),
            ("associations", "deals_contacts"),
        ]
    ),
    lacks=st.sampled_from(LACKS),
    created=st.sampled_from([(None, None), (None, None), (3, None), (None, 9), (2, 11)]),
)
EDIT = st.builds(Edit, st.sampled_from(EDITS), SOME, SOME)
STEP = st.builds(
    Step,
    edits=st.lists(EDIT, max_size=5),
    asked=st.none() | ASKED,  # None: the same as before
    cut_at=st.none() | st.floats(0, 1),
    fail_at=st.none() | st.integers(1, 25),
    meanwhile=st.none() | EDIT,
    after=st.integers(1, 20),
)
CLEAN: Step[Asked] = Step([], None)


class DealsWalk(Walk[Asked]):
    """One mirror of deals, and of contacts beside them."""

    @override
    def catalog(self, config: dict[str, Any]) -> dict[str, Any] | None:
        """What was discovered for settings and properties like these, with a selection."""
        if not self.asked.deselected:
            return None
        elsewhere = {name: config[name] for name in sorted(config.keys() - NOT_IN_CATALOGS)}
        known = [(d.name, d.type) for d in self.portal.definitions("deals").all()]
        key = json.dumps([elsewhere, known, self.asked.deselected])
        if key not in CATALOGS:
            CATALOGS[key] = self._selected(discover(config))
        return CATALOGS[key]

    def _selected(self, catalog: dict[str, Any]) -> dict[str, Any]:
        streams = {s["tap_stream_id"] for s in catalog["streams"]}
        for name in self.asked.deselected:
            if name in streams:
                select(catalog, name, selected=False)
            elif "deals" in streams:
                with contextlib.suppress(KeyError):  # settings may leave the field out, too
                    select(catalog, "deals", name, selected=False)
        return catalog

    @override
    def differences(self) -> list[str]:
        truth = self.portal.truth("deals")
        selected = "deals" not in self.asked.deselected
        wanted = {i for i, r in truth.live.items() if self.asked.wants(r, self.portal)}
        binned = {i for i, r in truth.archived.items() if self.asked.wants(r, self.portal)}
        found = self._deal_differences(truth, wanted, binned) if selected else []
        if "associations" not in self.asked.deselected:
            ends = self.asked.links(*self.asked.linked)
            found += self._links_of("deals", wanted, ends, by_time=selected)
        if self.asked.contacts:
            contacts = self.portal.truth("contacts").live.keys()
            if "associations" not in self.asked.deselected:
                ends = self.asked.links("companies")
                found += self._links_of("contacts", set(contacts), ends)
            standing = {r["id"] for r in self.mirror.rows("contacts") if is_standing(r)}
            if standing != contacts:
                found.append(f"contacts differ: {sorted(standing ^ contacts)}")
        return found[:10]

    def _deal_differences(self, truth: Truth, wanted: set[str], binned: set[str]) -> list[str]:
        rows, live = self.mirror.deals(), self.mirror.live()
        found = [f"deal {i} is in the tables only: {live[i]}" for i in live.keys() - wanted]
        found += [f"deal {i} is missing" for i in wanted - live.keys()]
        for deal in live.keys() & wanted:
            found += self._value_differences(live[deal], truth.live[deal])
        found += self._marker_differences(rows, truth, binned)
        if self.asked.archived:
            marked = {i for i, r in rows.items() if r.get("archived") and not r.get("removed_at")}
            found += [f"archived deal {i} is missing" for i in binned - marked]
        return found

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
            if (only is None or d.name in only)
            and d.name not in self.asked.deselected
            and ("custom_properties" not in self.asked.deselected or is_field(d))
        ]
        return value_differences(row, true, definitions)

    def _links_of(
        self, start: str, wanted: set[str], ends: tuple[str, ...], *, by_time: bool = True
    ) -> list[str]:
        found = []
        for end in ends:
            stream = f"{start}_{end}" if self.asked.per_pair else "associations"
            found += self.link_differences(stream, start, end, wanted, by_time=by_time)
        return found


def is_field(definition: PropertyDefinition) -> bool:
    """Whether a property is a field of its own, not one within `custom_properties`."""
    return definition.hubspot_defined and not OF_STAGE.fullmatch(definition.name)


@pytest.fixture(name="hubspot", scope="module")
def _hubspot() -> Iterator[Simulator]:
    with Simulator([Portal.generate(1)]) as simulator:
        yield simulator


def walk(hubspot: Simulator, steps: list[Step[Asked]], **everywhere: Any) -> None:
    portal = Portal.generate(14, contacts=8, companies=4, custom_properties=2, archived=2)
    for lacks in LACKS:
        scopes = [f"crm.objects.{name}.read" for name in SCOPED if name not in lacks]
        portal.add_token(token_without(*lacks), scopes=scopes)
    portal.add_label("deals", "contacts", LABEL)
    hubspot.portals[0] = portal
    hubspot.requests.clear()
    on_its_way = DealsWalk(hubspot, Asked(), everywhere=everywhere)
    for step in [*steps, CLEAN, CLEAN]:
        on_its_way.take(step)


PARTS = 8
"""In which the walks of a suite are taken: processes share them."""


def take(hubspot: Simulator, start: int, number: int, longest: int, **everywhere: Any) -> None:
    """A part of so many random walks, with settings of all runs."""
    take_walks(
        STEP,
        lambda steps: walk(hubspot, steps, **everywhere),
        start=start,
        number=number // PARTS,
        longest=longest,
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_the_mirror_is_true_after_every_run(hubspot: Simulator, part: int) -> None:
    take(hubspot, part, 200, longest=3)


@pytest.mark.heavy
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_mirror_is_true_after_every_run_of_long_walks(hubspot: Simulator, part: int) -> None:
    take(hubspot, SEED + part, int(os.environ.get("WALKS", "5000")), longest=6)


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at in turn in accounts of more than 1,000 records is so in those of three."""
    monkeypatch.setattr(audit, "CHUNK", 3)
    monkeypatch.setattr(turns, "LINKS_AT_ONCE", 3)
    monkeypatch.setattr(turns, "ARCHIVED_AT_ONCE", 2)
    monkeypatch.setattr(census, "SMALL", 3)


@pytest.mark.heavy
@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("in_turn")
@pytest.mark.parametrize("part", range(PARTS))
def test_the_mirror_of_a_large_account_is_true_where_everything_is_compared(
    hubspot: Simulator, part: int
) -> None:
    walks = int(os.environ.get("WALKS", "500"))
    take(hubspot, SEED + part, walks, longest=6, compare_everything=True)


def test_what_was_coming_stays_known_when_the_next_run_is_cut_too(hubspot: Simulator) -> None:
    edits = [
        Edit("relabel", 35225, 7320),
        Edit("merge", 240302, 14575),
        Edit("link", 2016, 577),
    ]
    late = Edit("merge", 315, 976422)
    first: Step[Asked] = Step(edits, None, cut_at=0.6, fail_at=13, meanwhile=None)
    walk(hubspot, [first, Step([], None, cut_at=0.3, fail_at=None, meanwhile=late), first])


def test_what_left_while_deals_were_deselected_is_known_when_they_come_again(
    hubspot: Simulator,
) -> None:
    links_alone = Asked(stage=1, archived=True, per_pair=True, deselected=("deals",))
    later = Asked(created=(3, None))
    walk(hubspot, [CLEAN, replace(CLEAN, asked=links_alone), replace(CLEAN, asked=later)])


def test_what_a_cut_run_of_other_settings_sent_is_read_again_with_those_before(
    hubspot: Simulator,
) -> None:
    before = Asked(per_pair=True, page_size=3)
    other = replace(CLEAN, asked=replace(before, per_pair=False), cut_at=0.8)
    walk(hubspot, [replace(CLEAN, asked=before), other, replace(CLEAN, asked=before)])
