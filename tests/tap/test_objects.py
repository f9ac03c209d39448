"""What holds for deals holds for every object type: tests over a list of types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import TENANT, Mirror, config_for, discover, read, select, value_differences
from hubspot_client.errors import MissingScopeError
from hubspot_simulator import Portal, Simulator
from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.singer import Output

CUSTOM = ["genius_users", "divisions", "zipcodes"]
COUNTS = {
    "appointments": 12,
    "calls": 12,
    "communications": 12,
    "emails": 12,
    "feedback_submissions": 12,
    "leads": 12,
    "line_items": 12,
    "meetings": 12,
    "notes": 12,
    "products": 12,
    "quotes": 12,
    "tasks": 12,
    "tickets": 130,
    **dict.fromkeys(CUSTOM, 12),
}
TYPES = ["contacts", "companies", "deals", *COUNTS]


@pytest.fixture(name="crm", scope="module")
def _crm() -> Iterator[Simulator]:
    """A portal with every object type; tests change only what they look at."""
    portal = Portal.generate(120, seed=4, counts=COUNTS, custom_objects=CUSTOM, odd_values=True)
    with Simulator([portal]) as simulator:
        yield simulator


def live_ids(output: Output, stream: str) -> set[str]:
    """The records that neither are archived nor mark a merged one."""
    records = output.records(stream)
    return {r["id"] for r in records if not r.get("archived") and not r.get("merged_into")}


class TypeMirror:
    """The table of one object type, kept by runs that read nothing else."""

    def __init__(self, crm: Simulator, name: str, **item: Any) -> None:
        self.name = name
        self.portal = crm.portal()
        self.mirror = Mirror()
        self._config = config_for(crm, objects=[{"name": name, **item}])

    def run(self, **settings: Any) -> Output:
        """One run, going on from the last state."""
        output = read({**self._config, **settings}, state=self.mirror.state or None)
        return self.mirror.take(output)

    def live(self) -> dict[str, dict[str, Any]]:
        """The rows that neither were archived nor merged away."""
        rows = self.mirror.rows(self.name)
        return {r["id"]: r for r in rows if not r.get("archived") and not r.get("merged_into")}

    def differences(self) -> list[str]:
        """What the table says otherwise than the portal."""
        true, live = self.portal.truth(self.name).live, self.live()
        found = [f"{i} is missing" for i in true.keys() - live.keys()]
        found += [f"{i} is in the table only" for i in live.keys() - true.keys()]
        definitions = self.portal.records(self.name).definitions.all()
        for record_id in true.keys() & live.keys():
            found += value_differences(live[record_id], true[record_id], definitions)
        return found[:5]


@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_read_completely_and_then_by_its_changes(crm: Simulator, name: str) -> None:
    table = TypeMirror(crm, name)
    table.run()
    assert table.differences() == []
    ids = table.portal.ids(name)
    table.portal.create(name, {})
    table.portal.change(name, ids[0], {})
    table.portal.archive(name, ids[1])
    table.portal.merge(name, ids[2], ids[3])

    output = table.run()

    assert table.differences() == []
    assert len(output.records(name)) < 10
    rows = {r["id"]: r for r in table.mirror.rows(name)}
    assert rows[ids[1]]["archived"] is True
    assert rows[ids[2]]["merged_into"] == table.portal.truth(name).merged[ids[2]]


@pytest.mark.parametrize("name", ["contacts", "tickets", "zipcodes"])
@pytest.mark.parametrize("version", ["v3", "2026-03"])
def test_every_api_version_reads_the_same(crm: Simulator, name: str, version: str) -> None:
    tables = [TypeMirror(crm, name), TypeMirror(crm, name)]

    tables[0].run()
    tables[1].run(api_version=version)

    rows = [[{**r, "read_at": None} for r in t.live().values()] for t in tables]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("start", "end"),
    [("contacts", "companies"), ("contacts", "deals"), ("companies", "contacts")],
)
def test_links_between_any_two_types_arrive_with_labels(
    crm: Simulator, start: str, end: str
) -> None:
    portal = crm.portal()
    one, other = portal.ids(start)[5], portal.ids(end)[5]
    portal.link(start, one, end, other)
    table = TypeMirror(crm, start, associations=[end])

    table.run()

    names = ("from_id", "to_id", "category", "type_id", "label")
    links = {
        tuple(r[n] for n in names)
        for r in table.mirror.rows("associations")
        if r["from_object_type"] == start and r["to_object_type"] == end
    }
    true = {
        (t.from_id, t.to_id, t.category, t.type_id, t.label) for t in portal.true_links(start, end)
    }
    assert links == true


def test_tickets_are_filtered_by_their_own_pipeline_properties(crm: Simulator) -> None:
    portal = crm.portal()
    stages = {d.properties["hs_pipeline_stage"] for d in portal.truth("tickets").live.values()}
    stage = min(s for s in stages if s)

    table = TypeMirror(crm, "tickets", stage=stage)
    table.run()

    true = portal.truth("tickets").live
    assert table.live().keys() == {
        i for i, d in true.items() if d.properties["hs_pipeline_stage"] == stage
    }


def test_each_type_has_its_own_properties_and_filters(crm: Simulator) -> None:
    config = config_for(
        crm,
        properties=["dealname"],
        objects=["deals", {"name": "contacts", "properties": ["email"]}, "companies"],
    )

    output = read(config)

    assert "dealname" in output.schema("deals")["properties"]
    assert "amount" not in output.schema("deals")["properties"]
    assert "email" in output.schema("contacts")["properties"]
    assert "firstname" not in output.schema("contacts")["properties"]
    assert "name" in output.schema("companies")["properties"]


def test_a_stream_per_pair_holds_the_links_of_that_pair(crm: Simulator) -> None:
    config = config_for(
        crm,
        objects=["deals", {"name": "contacts", "associations": ["companies"]}],
        associations_per_pair=True,
    )

    output = read(config)

    pairs = {"deals_contacts", "deals_companies", "contacts_companies"}
    streams = {m["stream"] for m in output.of("RECORD")}
    assert pairs <= streams
    assert "associations" not in streams
    for pair in pairs:
        start, end = pair.split("_")
        found = {(r["from_object_type"], r["to_object_type"]) for r in output.records(pair)}
        assert found == {(start, end)}


def test_a_sample_stops_at_its_limit_and_keeps_no_bookmark(crm: Simulator) -> None:
    config = config_for(crm, objects=["deals", {"name": "contacts", "max_records": 7}])

    output = read(config)

    assert len(output.records("contacts")) == 7
    assert live_ids(output, "deals") == set(crm.portal().truth("deals").live)
    bookmarks = output.state["bookmarks"]
    assert "replication_key_value" not in bookmarks["contacts"]["partitions"][0]
    assert "replication_key_value" in bookmarks["deals"]["partitions"][0]


@pytest.mark.parametrize("number", [1, 101])
def test_a_sample_has_the_links_and_histories_of_its_own_deals_alone(number: int) -> None:
    with Simulator([Portal.generate(250)]) as hubspot:
        config = config_for(hubspot, max_records=number, history=["dealstage"])
        output, catalog = read(config), discover(config)
        select(catalog, "deals", selected=False)
        links_alone = read(config, catalog=catalog)
    links = {r["from_id"] for r in output.records("associations")}
    assert len(output.ids()) == number
    assert links == {r["id"] for r in output.records() if any(r["associations"].values())}
    assert {r["record_id"] for r in output.records("deal_property_history")} == set(output.ids())
    for stream in ("associations", "deal_property_history"):
        assert len(links_alone.records(stream)) == len(output.records(stream)) > 0


def test_links_of_given_ids_are_read_without_reading_the_portal(crm: Simulator) -> None:
    wanted = crm.portal().ids("deals")[20:22]
    config = config_for(crm, association_ids=wanted, associations=["contacts"])
    catalog = discover(config)
    select(catalog, "deals", selected=False)
    crm.requests.clear()

    output = read(config, catalog=catalog)

    assert crm.requests.count(endpoint="list") == 0
    true = {
        (t.from_id, t.to_id)
        for t in crm.portal().true_links("deals", "contacts")
        if t.from_id in wanted
    }
    assert true
    assert {(r["from_id"], r["to_id"]) for r in output.records("associations")} == true


def test_given_ids_limit_links_but_not_deals(crm: Simulator) -> None:
    wanted = crm.portal().ids("deals")[20:22]

    output = read(config_for(crm, association_ids=wanted))

    assert live_ids(output, "deals") == set(crm.portal().truth("deals").live)
    assert {r["from_id"] for r in output.records("associations")} <= set(wanted)
    with_links = {r["id"] for r in output.records() if "associations" in r}
    assert with_links == set(wanted)


def test_types_and_links_without_scope_are_all_named_before_anything_is_read(
    crm: Simulator,
) -> None:
    portal = crm.portal()
    portal.add_token("pat-na1-few", scopes=["crm.objects.deals.read", "crm.objects.contacts.read"])
    config = config_for(crm, access_token="pat-na1-few", objects=["deals", "companies", "tickets"])

    with pytest.raises(MissingScopeError) as caught:
        read(config)

    for needed in ("crm.objects.companies.read", "tickets", "from deals to companies"):
        assert needed in str(caught.value)


def test_types_and_links_without_scope_are_skipped_by_setting(crm: Simulator) -> None:
    portal = crm.portal()
    scopes = ["crm.objects.deals.read", "crm.objects.contacts.read", "crm.objects.owners.read"]
    portal.add_token("pat-na1-three", scopes=scopes)
    config = config_for(
        crm,
        access_token="pat-na1-three",
        objects=["deals", "companies"],
        on_missing_scope="skip",
    )

    output = read(config)

    assert live_ids(output, "deals") == set(portal.truth("deals").live)
    assert output.records("companies") == []
    assert {r["to_object_type"] for r in output.records("associations")} == {"contacts"}


@pytest.mark.parametrize(
    ("objects", "sentence"),
    [
        (["deals", "deals"], "`objects` names 'deals' twice"),
        (["dealz"], "`objects` names 'dealz', no object type of HubSpot. Did you mean 'deals'?"),
        (["zipcode"], "Did you mean 'zipcodes'?"),
        ([{"name": "contacts", "properties": ["emial"]}], "which no contact has"),
        ([{"name": "contacts", "pipeline": "x"}], "`pipeline` does not apply to contacts"),
        ([{"name": "contacts", "start_date": "soon"}], "`start_date` is no ISO 8601 date"),
        ([{"name": "contacts", "associations": ["dealz"]}], "`associations` names 'dealz'"),
        ([{"name": "contacts", "limit": 3}], "limit"),
        ([{"name": ""}], "no HubSpot name"),
    ],
)
def test_mistakes_in_objects_are_told_in_one_sentence(
    crm: Simulator, objects: list[Any], sentence: str
) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        read(config_for(crm, objects=objects))

    assert any(sentence in error for error in caught.value.errors)


def test_custom_objects_answer_to_each_of_their_names(crm: Simulator) -> None:
    object_type = crm.portal().types.resolve("zipcodes")
    for name in ("zipcodes", object_type.type_id, f"p{crm.portal().portal_id}_zipcodes"):
        output = read(config_for(crm, objects=[name]))

        assert live_ids(output, name) == set(crm.portal().truth("zipcodes").live)
        assert {r["_tenant_id"] for r in output.records(name)} == {TENANT}


@pytest.mark.parametrize("name", ["associations", "owners", "deal_properties"])
def test_a_custom_object_called_like_another_stream_is_read_by_its_id(name: str) -> None:
    portal = Portal.generate(3, counts={name: 2}, custom_objects=(name,))
    with Simulator([portal]) as simulator:
        with pytest.raises(ConfigValidationError) as caught:
            read(config_for(simulator, objects=["deals", name]))
        type_id = portal.types.resolve(name).type_id
        output = read(config_for(simulator, objects=["deals", type_id]))

    [error] = caught.value.errors
    assert error.startswith(f"Two streams would be called '{name}'. In `objects`, give the custom")
    assert live_ids(output, type_id) == set(portal.truth(name).live)
