"""Several object types with links among themselves, in any form, whatever happens: all stays true.

As `test_random_walk.py`, of which this is the wide one: there deals are asked for in every way,
here tickets, contacts and a custom object beside them, records as fields, in objects or flat, with
their histories, and samples and runs for a few records in between.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Row, discover
from harness.singer import value_differences as flat_differences
from harness.walking import SEED, Step, Walk, is_standing, take_walks
from hubspot_client.properties import OF_STAGE
from hubspot_simulator import Portal, Simulator
from hypothesis import strategies as st
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_simulator import TrueRecord

TYPES = ("deals", "tickets", "contacts", "pets")
ENDS = {
    "deals": ("contacts", "tickets", "companies"),
    "tickets": ("contacts", "deals"),
    "contacts": ("companies", "deals"),
    "pets": ("contacts", "deals"),
}
STAGED = {"deals": ("pipeline", "dealstage"), "tickets": ("hs_pipeline", "hs_pipeline_stage")}
NAME = {"deals": "dealname", "tickets": "subject", "contacts": "lastname", "pets": "custom_1"}
SOME = st.integers(0, 10**6)
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
    "add property",
    "archive property",
)


@dataclass(frozen=True)
class Edit:
    """Something that people do in HubSpot; the numbers choose whom it concerns."""

    what: str
    name: str
    one: int
    other: int

    def carry_out(self, portal: Portal) -> None:
        name, live, binned = self.name, portal.ids(self.name), portal.ids(self.name, archived=True)
        record = live[self.one % len(live)] if live else None
        old = binned[self.one % len(binned)] if binned else None
        if self.what == "create":
            portal.create(name, {NAME[name]: f"new {self.one}", **self._place(portal)})
        elif self.what == "add property":
            own = f"own_{self.one % 3}"
            if own not in portal.definitions(name):
                portal.add_property(name, own, "string")
                for each in (live + binned)[self.other % 3 :: 3]:
                    portal.change(name, each, {own: f"{each} {self.one}"}, touch=False)
        elif self.what == "archive property" and "custom_2" in portal.definitions(name):
            portal.archive_property(name, "custom_2")
        elif self.what == "restore" and old:
            portal.restore(name, old)
        elif self.what == "purge" and old:
            portal.delete(name, old)
        elif record is not None:
            self._concerning(portal, record, live[self.other % len(live)])

    def _place(self, portal: Portal) -> dict[str, str]:
        if self.name not in STAGED:
            return {}
        pipelines = portal.pipelines[self.name]
        pipeline = pipelines[self.other % len(pipelines)]
        stage = pipeline.stages[self.one % len(pipeline.stages)]
        return dict(zip(STAGED[self.name], (pipeline.id, stage.id), strict=True))

    def _concerning(self, portal: Portal, record: str, second: str) -> None:
        name = self.name
        if self.what == "change":
            portal.change(name, record, {NAME[name]: f"{self.other}"})
        elif self.what == "move":
            portal.change(name, record, self._place(portal))
        elif self.what == "archive":
            portal.archive(name, record)
        elif self.what == "delete":
            portal.delete(name, record)
        elif self.what == "merge" and second != record:
            portal.merge(name, record, second)
        elif self.what in {"link", "unlink"}:
            to_type = ENDS[name][self.other % len(ENDS[name])]
            ends = portal.ids(to_type)
            linked = sorted(portal.live_links(name, int(record), to_type))
            if self.what == "link" and ends:
                portal.link(name, record, to_type, ends[self.one % len(ends)])
            elif self.what == "unlink" and linked:
                portal.unlink(name, record, to_type, linked[self.one % len(linked)])


@dataclass(frozen=True)
class Of:
    """What is asked for of one object type."""

    name: str
    ends: int = 3
    archived: bool = False
    staged: int = 0
    properties: bool = False
    history: bool = False

    @property
    def linked(self) -> list[str]:
        """The object types whose links are asked for."""
        return list(ENDS[self.name][: self.ends])

    def item(self, portal: Portal) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": self.name,
            "associations": self.linked,
            "archived": self.archived,
        }
        if self.staged and self.name in STAGED:
            found["stage"] = portal.pipelines[self.name][0].stages[self.staged - 1].id
        if self.properties:
            found["properties"] = [NAME[self.name]]
        if self.history:
            found["history"] = [NAME[self.name]]
        return found

    def wants(self, record: TrueRecord, portal: Portal) -> bool:
        stage = self.item(portal).get("stage")
        return stage is None or record.properties.get(STAGED[self.name][1]) == stage


@dataclass(frozen=True)
class Asked:
    """What one run is asked for."""

    types: tuple[Of, ...] = (Of("deals"), Of("tickets"))
    per_pair: bool = False
    versions: bool = False
    form: str = ""
    page_size: int = 100
    raw: bool = False
    full_table: bool = False
    every_time: bool = False
    sample: int = 0

    def settings(self, portal: Portal) -> dict[str, Any]:
        asked = {
            "associations_per_pair": self.per_pair,
            "emit_activate_version_messages": self.versions,
            "page_size": self.page_size,
            "include_raw": self.raw,
            "lookback_minutes": 1,
            "objects": [self._sampled(each.item(portal), portal) for each in self.types],
        }
        if self.form:
            asked[self.form] = True
        if self.every_time:
            asked["full_refresh_hours"] = 0
        return asked

    def _sampled(self, item: dict[str, Any], portal: Portal) -> dict[str, Any]:
        """Some records of each type, or the links of the newest."""
        if not self.sample:
            return item
        if self.sample % 2 or not item["associations"] or not portal.ids(item["name"]):
            return {**item, "max_records": self.sample}
        return {**item, "association_ids": portal.ids(item["name"])[-self.sample :]}


OF = {
    name: st.builds(
        Of,
        st.just(name),
        ends=st.integers(0, 3),
        archived=st.booleans(),
        staged=st.sampled_from([0, 0, 1]),
        properties=st.booleans(),
        history=st.sampled_from([False, False, True]),
    )
    for name in TYPES
}
ASKED = st.builds(
    Asked,
    types=st.lists(st.sampled_from(TYPES), min_size=1, max_size=4, unique=True).flatmap(
        lambda names: st.tuples(*(OF[name] for name in names))
    ),
    per_pair=st.booleans(),
    versions=st.booleans(),
    form=st.sampled_from(["", "", "nest_properties", "flatten_custom_properties"]),
    page_size=st.sampled_from([100, 7, 3]),
    raw=st.booleans(),
    full_table=st.sampled_from([False, False, False, True]),
    every_time=st.sampled_from([False, False, True]),
    sample=st.sampled_from([0, 0, 0, 1, 2, 9]),
)
EDIT = st.builds(Edit, st.sampled_from(EDITS), st.sampled_from(TYPES), SOME, SOME)
STEP = st.builds(
    Step,
    edits=st.lists(EDIT, max_size=6),
    asked=st.none() | ASKED,  # None: the same as before
    cut_at=st.none() | st.none() | st.floats(0, 1),
    fail_at=st.none() | st.none() | st.integers(1, 40),
    meanwhile=st.none() | st.none() | EDIT,
    after=st.integers(1, 30),
)


class TypesWalk(Walk[Asked]):
    """One mirror of several object types."""

    @override
    def catalog(self, config: dict[str, Any]) -> dict[str, Any] | None:
        if not self.asked.full_table:
            return None
        catalog = discover(config)
        for entry in catalog["streams"]:
            entry["replication_method"] = "FULL_TABLE"
        return catalog

    @override
    def differences(self) -> list[str]:
        if self.asked.sample:
            return []  # the next run that is none makes it good
        found: list[str] = []
        for of in self.asked.types:
            truth = self.portal.truth(of.name)
            rows = {r["id"]: r for r in self.mirror.rows(of.name)}
            live = {i: r for i, r in rows.items() if is_standing(r)}
            wanted = {i for i, r in truth.live.items() if of.wants(r, self.portal)}
            binned = {i for i, r in truth.archived.items() if of.wants(r, self.portal)}
            found += [f"{of.name} {i} is in the tables only" for i in live.keys() - wanted]
            found += [f"{of.name} {i} is missing" for i in wanted - live.keys()]
            for i in live.keys() & wanted:
                found += self._value_differences(of, live[i], truth.live[i])
            found += self._marker_differences(of, rows, truth.merged, binned)
            for end in of.linked:
                stream = f"{of.name}_{end}" if self.asked.per_pair else "associations"
                found += self.link_differences(stream, of.name, end, wanted)
        return found[:10]

    def _marker_differences(
        self, of: Of, rows: dict[str, Row], merged: dict[str, str], binned: set[str]
    ) -> list[str]:
        marked = {i for i, r in rows.items() if r.get("archived") and not r.get("removed_at")}
        marked -= {i for i in marked if rows[i].get("merged_into")}
        found = [f"{of.name} {i} is not archived, or not asked for" for i in marked - binned]
        if of.archived:
            found += [f"archived {of.name} {i} is missing" for i in binned - marked]
        for i, row in rows.items():
            if row.get("merged_into") and not row.get("removed_at"):
                found += [f"{of.name} {i} is not merged"] * (merged.get(i) != row["merged_into"])
        return found

    def _value_differences(self, of: Of, row: Row, true: TrueRecord) -> list[str]:
        definitions = [
            d
            for d in self.portal.definitions(of.name).all()
            if not of.properties or d.name == NAME[of.name]
        ]
        if self.asked.form == "nest_properties":
            row = {**row, **dict.fromkeys(d.name for d in definitions), **row["properties"]}
        elif self.asked.form:
            row = {**row, "custom_properties": None}
        else:
            own = [
                d.name for d in definitions if not d.hubspot_defined or OF_STAGE.fullmatch(d.name)
            ]
            row = {name: value for name, value in row.items() if name not in own}
        return flat_differences(row, true, definitions)


@pytest.fixture(name="hubspot", scope="module")
def _hubspot() -> Iterator[Simulator]:
    with Simulator([Portal.generate(1)]) as simulator:
        yield simulator


def walk(hubspot: Simulator, steps: list[Step[Asked]]) -> None:
    hubspot.portals[0] = Portal.generate(
        8,
        contacts=6,
        companies=3,
        custom_properties=2,
        archived=2,
        counts={"tickets": 7, "pets": 5},
        custom_objects=["pets"],
    )
    hubspot.requests.clear()
    on_its_way = TypesWalk(hubspot, Asked())
    for step in steps:
        on_its_way.take(step)
    for _ in range(2):
        on_its_way.take(Step([], replace(on_its_way.asked, sample=0)))


PARTS = 4


@pytest.mark.heavy
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
def test_all_types_are_true_after_every_run(hubspot: Simulator, part: int) -> None:
    number = int(os.environ.get("WALKS", "1000")) // PARTS
    start = SEED + part
    take_walks(STEP, lambda steps: walk(hubspot, steps), start=start, number=number, longest=5)
