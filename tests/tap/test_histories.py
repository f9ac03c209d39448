"""Histories: every value and every stay that HubSpot tells, for few requests, through anything."""

from __future__ import annotations

import math
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from harness.histories import stay_faults, told, true_history
from harness.singer import Mirroring, config_for, discover, finished, read, run, start
from hubspot_simulator import Portal, add_lives
from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]

NAMES = ["amount", "dealstage", "closedate"]
STAGES = [stage.id for stage in Portal().pipelines["deals"][0].stages]


def lived(deals: int = 300, *, seed: int = 1) -> Portal:
    """A portal of deals with a past, and HubSpot's own times of stages."""
    portal = Portal()
    portal.add_stage_properties()
    add_lives(portal, deals, seed=seed)
    return portal


def asked_histories(hubspot: Simulator) -> int:
    requests = hubspot.requests.all(endpoint="batch_read")
    return sum(bool(request.summary["histories"]) for request in requests)


def differences(mirroring: Mirroring, *, gone: bool = False) -> list[str]:
    """What the tables of histories say otherwise than the portal.

    Args:
        mirroring: The mirror.
        gone: Whether records that were merged away had gone out before.
    """
    portal, mirror = mirroring.portal, mirroring.mirror
    deals = {i: r for i, r in mirror.deals().items() if not r.get("merged_into")}
    known = {r["record_id"] for r in mirror.rows("deal_property_history")} if gone else deals
    rows = told(mirror.rows("deal_property_history"))
    true = true_history(portal, [*NAMES, "hs_merged_object_ids"], of=known)
    stays = [r for r in mirror.rows("deal_stages") if r["record_id"] in deals]
    found = [f"{row} is in the tables only" for row in rows - true]
    found += [f"{row} is missing" for row in true - rows]
    found += stay_faults(stays, deals)
    found += [f"{r['record_id']}: {r['disagreements']}" for r in stays if r["disagreements"]]
    return found[:20]


def test_a_first_load_brings_every_value_typed_and_every_stay(serve: Serve) -> None:
    hubspot = serve(lived())
    mirroring = Mirroring(hubspot)
    mirroring.run(history=NAMES, archived=True)
    rows = mirroring.mirror.rows("deal_property_history")
    assert differences(mirroring) == []
    assert len(rows) > 1000
    for row in rows:
        number = Decimal(row["value"]) if row["property"] == "amount" else None
        merged = row["value"].split(";") if row["property"] == "hs_merged_object_ids" else None
        assert (row["value_number"], row["value_list"]) == (number, merged)
        assert (row["value_time"] == row["value"]) == (row["property"] == "closedate")
    assert {r["source_type"] for r in rows} == {"CRM_UI", "MERGE_OBJECTS"}
    assert {r["updated_by_user_id"] for r in rows} == {1001, None}


def test_a_text_that_does_not_fit_its_type_stands_as_it_is(serve: Serve) -> None:
    portal = Portal()
    deal = portal.create("deals", {"amount": "N/A"})
    portal.change("deals", deal, {"amount": "", "hs_tag_ids": "101;102"})
    output = read(config_for(serve(portal), history=["amount", "hs_tag_ids"]))
    rows = output.records("deal_property_history")
    assert [(r["value"], r["value_number"], r["value_list"]) for r in rows] == [
        ("N/A", None, None),
        ("", None, None),
        ("101;102", None, ["101", "102"]),
    ]


@pytest.mark.parametrize("deals", [1000, pytest.param(20_000, marks=pytest.mark.heavy)])
def test_histories_cost_two_requests_for_a_hundred_changed_records(
    serve: Serve, deals: int
) -> None:
    hubspot = serve(Portal.generate(deals, custom_properties=0))
    mirroring = Mirroring(hubspot)
    mirroring.run(history=["amount"], properties=["amount"])
    first = asked_histories(hubspot)
    changed = mirroring.portal.ids()[::4]
    for deal in changed:
        mirroring.portal.change("deals", deal, {"amount": "7"})
    hubspot.requests.clear()
    output = mirroring.run(history=["amount"], properties=["amount"])
    second = asked_histories(hubspot)
    hubspot.requests.clear()
    mirroring.run(history=["amount"], properties=["amount"], lookback_minutes=0)
    assert first <= 2 * math.ceil(deals / 100)
    assert {r["record_id"] for r in output.records("deal_property_history")} == set(changed)
    assert second <= 2 * math.ceil(len(changed) / 100)
    assert asked_histories(hubspot) == 0


def test_what_hubspot_cuts_is_told_and_what_went_out_before_is_kept(
    serve: Serve, tmp_path: Path
) -> None:
    portal = Portal()
    deal = portal.create("deals", {"amount": "0", "pipeline": "default", "dealstage": STAGES[0]})
    mirroring = Mirroring(serve(portal))
    config = config_for(mirroring.hubspot, history=["amount"], lookback_minutes=0)

    def reads(first: int, last: int) -> list[str]:
        """The amounts before which something may be missing, after so many changes."""
        for number in range(first, last):
            portal.clock.advance(1)
            portal.change("deals", deal, {"amount": str(number)})
        # A run leaves to the next one what changes in the second that it begins in.
        portal.clock.advance(2)
        output = run(tmp_path, config, state=mirroring.mirror.state or None)
        mirroring.mirror.take(output)
        rows = output.records("deal_property_history")
        gaps = [r["value"] for r in rows if r.get("gap_before")]
        assert ("tells no older versions of 1 properties" in output.log) == bool(gaps)
        return gaps

    assert reads(1, 30) == ["10"]
    assert reads(30, 35) == []
    assert reads(35, 60) == ["40"]
    rows = mirroring.mirror.rows("deal_property_history")
    assert sorted(int(r["value"]) for r in rows) == [*range(10, 35), *range(40, 60)]
    assert [r["value"] for r in rows if r.get("gap_before")] == ["10", "40"]


def test_merged_archived_and_restored_records_keep_theirs(serve: Serve) -> None:
    portal = lived(60)
    mirroring = Mirroring(serve(portal))
    mirroring.run(history=NAMES)
    ids = portal.ids()
    portal.change("deals", ids[0], {"amount": "17"})
    portal.archive("deals", ids[0])
    portal.archive("deals", ids[1])
    portal.change("deals", ids[2], {"amount": "18"})
    mirroring.run(history=NAMES)
    # What changed right before a merge went with the merged record.
    new = portal.merge("deals", ids[3], ids[4])
    portal.restore("deals", ids[1])
    mirroring.run(history=NAMES)
    known = {r["record_id"] for r in mirroring.mirror.rows("deal_property_history")}
    assert {*ids[:5], new} <= known
    assert differences(mirroring, gone=True) == []


def walk(portal: Portal, rng: Random, steps: int) -> None:
    """Do something to some deals."""
    for _ in range(steps):
        live, binned = portal.ids(), portal.ids(archived=True)
        what = rng.randrange(12)
        if what == 0:
            values = {"amount": "1", "pipeline": "default", "dealstage": rng.choice(STAGES)}
            portal.create("deals", values)
        elif what == 1:
            portal.archive("deals", rng.choice(live))
        elif what == 2 and binned:
            portal.restore("deals", rng.choice(binned))
        elif what == 3:
            values = {"pipeline": "74513908", "dealstage": rng.choice(("141802331", "141802333"))}
            portal.change("deals", rng.choice(live), values)
        else:
            values = {"amount": str(rng.randrange(9)), "dealstage": rng.choice(STAGES)}
            portal.change("deals", rng.choice(live), {"pipeline": "default", **values})


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.heavy) for n in (2, 3))])
def test_tables_follow_a_random_walk_also_through_kills(
    serve: Serve, tmp_path: Path, seed: int
) -> None:
    rng = Random(seed)
    hubspot = serve(lived(200, seed=seed))
    mirroring = Mirroring(hubspot)
    portal, mirror = mirroring.portal, mirroring.mirror
    for number in range(6):
        config = config_for(hubspot, history=NAMES, archived=True, page_size=25)
        process = start(tmp_path, config, state=mirror.state or None)
        nth = rng.randrange(1, 6)
        if number % 2 == 0:
            hubspot.after(nth, process.kill, endpoint="batch_read")
        mirror.take(finished(process))
        walk(portal, rng, 20)
    mirroring.run(history=NAMES, archived=True, page_size=25)
    assert differences(mirroring, gone=True) == []


def test_a_deal_that_moves_between_two_requests_is_told_as_it_was(serve: Serve) -> None:
    hubspot = serve(lived(80))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal
    moved = portal.ids()[:40]

    def move() -> None:
        for deal in moved:
            stage = portal.truth().live[deal].properties["dealstage"]
            other = next(s for s in STAGES if s != stage)
            portal.change("deals", deal, {"pipeline": "default", "dealstage": other})

    hubspot.after(1, move, endpoint="list")
    mirroring.run(history=NAMES)
    deals = mirroring.mirror.deals()
    before = stay_faults(mirroring.mirror.rows("deal_stages"), deals)
    disagreeing = [r for r in mirroring.mirror.rows("deal_stages") if r["disagreements"]]
    mirroring.run(history=NAMES)
    assert (before, disagreeing, differences(mirroring)) == ([], [], [])


def test_a_history_that_does_not_agree_is_listed(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(lived(40))
    records = hubspot.portals[0].records("deals")
    first, second, *_ = hubspot.portals[0].ids()
    for deal, name, value in (
        (first, "dealstage", "qualifiedtobuy-or-not"),
        (second, "hs_v2_date_entered_{}", "2001-01-01T00:00:00Z"),
    ):
        record = records.get(int(deal))
        assert record is not None
        stage = record.properties["dealstage"]
        records.put(record)  # so that it may be changed behind the history's back
        record.properties[name.format(stage)] = value
    mirroring = Mirroring(hubspot)
    output = run(tmp_path, config_for(hubspot, history=["amount"]))
    mirroring.mirror.take(output)
    listed = {
        r["record_id"]: r["disagreements"]
        for r in mirroring.mirror.rows("deal_stages")
        if r["disagreements"]
    }
    assert listed.keys() == {first, second}
    assert "the record says 'qualifiedtobuy-or-not'" in listed[first][0]
    assert "HubSpot says 2001-01-01T00:00:00Z" in listed[second][0]
    assert f"do not agree with 2 of its records (the first is {first}" in output.log


def test_of_several_times_in_a_stage_hubspot_may_tell_any(serve: Serve) -> None:
    portal = Portal()
    portal.add_stage_properties()
    deal = portal.create("deals", {"pipeline": "default", "dealstage": STAGES[0]})
    for stage in (STAGES[1], STAGES[0], STAGES[2]):
        portal.clock.advance(60)
        portal.change("deals", deal, {"dealstage": stage})
    record = portal.records("deals").get(int(deal))
    assert record is not None
    name = f"hs_v2_date_entered_{STAGES[0]}"
    told = [record.properties[name], record.properties["createdate"]]
    hubspot = serve(portal)
    for time in told:
        record.properties[name] = time
        rows = read(config_for(hubspot, history=["amount"])).records("deal_stages")
        assert [r["disagreements"] for r in rows] == [None] * 4
    assert told[0] != told[1]


def test_tickets_have_stages_and_contacts_have_none(serve: Serve) -> None:
    portal = Portal()
    ticket = portal.create("tickets", {"hs_pipeline": "0", "hs_pipeline_stage": "1"})
    portal.clock.advance(1)
    portal.change("tickets", ticket, {"hs_pipeline_stage": "4"})
    portal.create("contacts", {"email": "a@example.com"})
    objects = [
        {"name": "tickets", "history": ["subject"]},
        {"name": "contacts", "history": "all"},
        {"name": "companies"},
    ]
    output = read(config_for(serve(portal), objects=objects))
    streams = {m["stream"] for m in output.of("SCHEMA")}
    assert {"ticket_stages", "ticket_property_history", "contact_property_history"} <= streams
    assert streams.isdisjoint({"contact_stages", "company_property_history"})
    assert [r["stage"] for r in output.records("ticket_stages")] == ["1", "4"]
    names = {r["property"] for r in output.records("contact_property_history")}
    assert {"email", "createdate"} <= names
    assert "lastmodifieddate" not in names


def test_no_streams_come_where_no_history_is_asked_for(hubspot: Simulator) -> None:
    streams = {s["tap_stream_id"] for s in discover(config_for(hubspot))["streams"]}
    assert streams.isdisjoint({"deal_property_history", "deal_stages"})


def test_asking_for_more_history_reads_everything_again(mirroring: Mirroring) -> None:
    mirroring.run(history=["amount"])
    output = mirroring.run(history=["amount", "dealname"])
    ids = {r["record_id"] for r in output.records("deal_property_history")}
    assert len(ids) == 250


def test_histories_come_from_the_environment_and_without_their_records(
    hubspot: Simulator, tmp_path: Path
) -> None:
    catalog = discover(config_for(hubspot, history="all"))
    for entry in catalog["streams"]:
        wanted = entry["tap_stream_id"] == "deal_property_history"
        for metadata in entry["metadata"]:
            if metadata["breadcrumb"] == []:
                metadata["metadata"]["selected"] = wanted
    environment = {"TAP_HUBSPOT_DEALS_HISTORY": "dealname"}
    arguments = ("--config", "ENV")
    output = run(
        tmp_path, config_for(hubspot), *arguments, catalog=catalog, environment=environment
    )
    assert output.code == 0, output.log
    assert {m["stream"] for m in output.of("RECORD")} == {"deal_property_history"}
    assert {r["property"] for r in output.records("deal_property_history")} == {"dealname"}


def test_an_unknown_property_is_refused_and_one_that_vanished_is_told(
    mirroring: Mirroring, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigValidationError) as refusal:
        mirroring.run(history=["dealstagge"])
    assert "`history` names 'dealstagge', which no deal has. Did you mean 'dealstage'?" in str(
        refusal.value.errors
    )
    settings: dict[str, Any] = {"history": ["custom_1", "amount"]}
    mirroring.run(**settings)
    mirroring.portal.archive_property("deals", "custom_1")
    deal = mirroring.portal.ids()[0]
    mirroring.portal.change("deals", deal, {"amount": "5"})
    rows = mirroring.run(**settings).records("deal_property_history")
    assert {(r["record_id"], r["property"]) for r in rows} == {(deal, "amount")}
    assert "`history` names 'custom_1', which no deal has any more" in caplog.text
