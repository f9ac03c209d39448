"""What is asked for is what is read: filters, properties, the catalog, maps, tenants, versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirror, Mirroring, config_for, differences, discover, read, select
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator import TrueRecord

    Serve = Callable[..., Simulator]


def live(portal: Portal) -> dict[str, TrueRecord]:
    found: dict[str, TrueRecord] = portal.truth("deals").live
    return found


def test_a_pipeline_and_a_stage_filter_deals(mirroring: Mirroring) -> None:
    deals = live(mirroring.portal)
    pipeline = next(iter(deals.values())).properties["pipeline"]
    stage = next(r for r in deals.values() if r.properties["pipeline"] == pipeline).properties[
        "dealstage"
    ]
    in_pipeline = {i for i, r in deals.items() if r.properties["pipeline"] == pipeline}
    in_stage = {i for i, r in deals.items() if r.properties["dealstage"] == stage}
    assert 0 < len(in_pipeline) < len(deals)
    output = mirroring.run(pipeline=pipeline)
    assert set(output.ids()) == in_pipeline
    mirroring.run(deal_stage=stage)
    assert mirroring.mirror.live().keys() == in_stage
    mirroring.run(pipeline=pipeline, deal_stage=stage)
    assert mirroring.mirror.live().keys() == in_stage & in_pipeline


@pytest.mark.parametrize("archived", [False, True])
def test_an_end_date_without_time_includes_its_whole_day(
    hubspot: Simulator, *, archived: bool
) -> None:
    portal = hubspot.portals[0]
    moments = {
        "first": "2030-01-31T00:00:00Z",
        "last": "2030-01-31T23:59:59.999Z",
        "too early": "2030-01-30T23:59:59.999Z",
        "too late": "2030-02-01T00:00:00Z",
    }
    deals = {}
    for name, moment in moments.items():
        deals[name] = portal.create("deals", {"dealname": name, "createdate": moment})
        if archived:
            portal.archive("deals", deals[name])
    mirroring = Mirroring(hubspot)
    mirroring.run(start_date="2030-01-31", end_date="2030-01-31", archived=archived)
    assert set(mirroring.mirror.deals()) == {deals["first"], deals["last"]}


@pytest.mark.parametrize("archived", [False, True])
def test_dates_with_time_and_zone_are_exact_to_the_millisecond(
    hubspot: Simulator, *, archived: bool
) -> None:
    portal = hubspot.portals[0]
    deals = []
    for fraction in ("122", "123", "124", "125"):
        moment = f"2030-01-31T09:30:00.{fraction}Z"
        deals.append(portal.create("deals", {"createdate": moment}))
        if archived:
            portal.archive("deals", deals[-1])
    mirroring = Mirroring(hubspot)
    mirroring.run(
        start_date="2030-01-31T10:30:00.123+01:00",
        end_date="2030-01-31T09:30:00.124Z",
        archived=archived,
    )
    assert set(mirroring.mirror.deals()) == set(deals[1:3])


def test_named_properties_only(mirroring: Mirroring) -> None:
    only = ["dealname", "amount", "custom_2"]
    output = mirroring.run(properties=only)
    assert mirroring.differences(only=only) == []
    record = output.records()[0]
    assert "closedate" not in record
    assert list(record["custom_properties"]) == ["custom_2"]
    listed = mirroring.hubspot.requests.all(endpoint="list")[0]
    assert "closedate" not in listed.query


@pytest.mark.parametrize("size", [1, 7, 100])
def test_pages_are_as_large_as_asked_for(mirroring: Mirroring, size: int) -> None:
    mirroring.run(page_size=size)
    assert mirroring.differences() == []
    lists = mirroring.hubspot.requests.all(endpoint="list")
    assert {f"limit={size}&" in r.query for r in lists} == {True}


def test_another_selection_is_read_from_the_beginning(mirroring: Mirroring) -> None:
    mirroring.run(properties=["dealname", "amount"])
    output = mirroring.run(properties=["dealname", "amount"], include_raw=True)
    assert len(output.ids()) == 250
    assert mirroring.differences(only=["dealname", "amount"]) == []
    assert mirroring.run(properties=["amount", "dealname"], include_raw=True).ids() == []


def test_other_associations_are_read_from_the_beginning(mirroring: Mirroring) -> None:
    mirroring.run(associations=["contacts"])
    mirroring.run(associations=["contacts", "companies"])
    assert mirroring.differences() == []


def test_a_field_selected_later_is_there_in_every_deal(mirroring: Mirroring) -> None:
    catalog = discover(config_for(mirroring.hubspot))
    select(catalog, "deals", "amount", "custom_properties", selected=False)
    output = mirroring.run(catalog=catalog)
    assert "amount" not in output.records()[0]
    assert "custom_properties" not in output.records()[0]
    select(catalog, "deals", "amount", "custom_properties", selected=True)
    mirroring.run(catalog=catalog)
    assert mirroring.differences() == []


def test_deselected_fields_are_not_asked_from_hubspot(mirroring: Mirroring) -> None:
    catalog = discover(config_for(mirroring.hubspot))
    select(catalog, "deals", "amount", selected=False)
    output = mirroring.run(catalog=catalog)
    assert "amount" not in output.schema()["properties"]
    listed = mirroring.hubspot.requests.all(endpoint="list")[0]
    assert ",amount," not in listed.query


def test_a_single_custom_property_can_be_deselected(mirroring: Mirroring) -> None:
    catalog = discover(config_for(mirroring.hubspot))
    select(catalog, "deals", "custom_properties.custom_2", selected=False)
    output = mirroring.run(catalog=catalog)
    assert all("custom_2" not in r["custom_properties"] for r in output.records())
    assert all("custom_3" in r["custom_properties"] for r in output.records())


def test_deselected_streams_are_not_read(mirroring: Mirroring) -> None:
    catalog = discover(config_for(mirroring.hubspot))
    for stream in {each["tap_stream_id"] for each in catalog["streams"]} - {"deals"}:
        select(catalog, stream, selected=False)
    output = mirroring.run(catalog=catalog, emit_activate_version_messages=True)
    assert {m["stream"] for m in output.messages if m["type"] != "STATE"} == {"deals"}
    assert mirroring.hubspot.requests.count(endpoint="owners") == 0
    assert inline_is_whole(mirroring)


def inline_is_whole(mirroring: Mirroring) -> bool:
    return not [d for d in mirroring.differences() if "associations" in d]


def test_links_can_be_read_without_deals(mirroring: Mirroring) -> None:
    catalog = discover(config_for(mirroring.hubspot))
    select(catalog, "deals", selected=False)
    output = mirroring.run(catalog=catalog, emit_activate_version_messages=True)
    assert not output.records("deals")
    streams = {m["stream"] for m in output.of("SCHEMA")}
    assert "deals" not in streams
    assert {m["stream"] for m in output.of("ACTIVATE_VERSION")} <= streams
    names = ("to_object_type", "from_id", "to_id", "category", "type_id", "label")
    links = {tuple(r[n] for n in names) for r in output.records("associations")}
    true = {
        (name, t.from_id, t.to_id, t.category, t.type_id, t.label)
        for name in ("contacts", "companies")
        for t in mirroring.portal.true_links("deals", name)
    }
    assert links == true


def test_deals_selected_after_their_links_are_read_whole(mirroring: Mirroring) -> None:
    catalog = discover(config_for(mirroring.hubspot))
    select(catalog, "deals", selected=False)
    mirroring.run(catalog=catalog)
    mirroring.run()
    assert mirroring.differences() == []


def test_a_catalog_of_yesterday_does_not_freeze_types(mirroring: Mirroring) -> None:
    portal = mirroring.portal
    portal.add_property("deals", "score", "number")
    catalog = discover(config_for(mirroring.hubspot))
    portal.change("deals", portal.ids()[0], {"score": "high"})
    portal.retype_property("deals", "score", "string")
    portal.add_property("deals", "brand_new", "string")
    output = mirroring.run(catalog=catalog)
    properties = output.schema()["properties"]["custom_properties"]["properties"]
    assert properties["score"]["type"] == ["string", "null"]
    assert mirroring.differences() == []


def test_stream_maps_change_records(mirroring: Mirroring) -> None:
    maps = {
        "deals": {
            "double": "(float(amount) * 2) if amount is not None else None",
            "description": None,
            "closed_lost_reason": "__NULL__",  # as Meltano passes it on
        },
        "owners": None,
        "associations": {"__alias__": "links"},
    }
    output = mirroring.run(stream_maps=maps, include_raw=True)
    assert not output.of("RECORD", "owners")
    assert output.of("RECORD", "links")
    for record in output.records():
        assert not {"description", "closed_lost_reason"} & record.keys()
        if record["amount"] is not None:
            assert float(record["double"]) == pytest.approx(2 * float(record["amount"]))


def test_flattening_keeps_every_value(mirroring: Mirroring) -> None:
    output = mirroring.run(flattening_enabled=True, flattening_max_depth=2, include_raw=True)
    record = output.records()[0]
    plain = Mirroring(mirroring.hubspot).run().records()[0]
    assert record["custom_properties__custom_2"] == plain["custom_properties"]["custom_2"]
    assert "custom_properties" not in record
    assert set(record) <= set(output.schema()["properties"])


def test_two_tenants_share_a_state_and_nothing_else(serve: Serve) -> None:
    portals = [
        Portal.generate(60, seed=1, token="pat-a", odd_values=True),
        Portal.generate(70, seed=2, token="pat-b", rotate_types=1, odd_values=True),
    ]
    hubspot = serve(*portals)
    mirror = Mirror()
    for _ in range(2):
        for tenant, portal in zip(("acme", "globex"), portals, strict=True):
            config = config_for(hubspot, tenant_id=tenant, access_token=portal.token)
            portal.change("deals", portal.ids()[3], {"dealname": f"of {tenant}"})
            output = mirror.take(read(config, state=mirror.state or None))
            assert {r["_tenant_id"] for r in output.records()} == {tenant}
    assert len(mirror.state["bookmarks"]["deals"]["partitions"]) == 2
    for tenant, portal in zip(("acme", "globex"), portals, strict=True):
        assert differences(mirror, portal, tenant=tenant) == []


def test_a_scan_and_an_organization_stand_in_every_record(mirroring: Mirroring) -> None:
    output = mirroring.run(scan_id="scan-7", organization_id="org-1")
    for message in output.of("RECORD"):
        assert message["record"]["_scan_id"] == "scan-7"
        assert message["record"]["_organization_id"] == "org-1"
    for message in output.of("SCHEMA"):
        assert message["key_properties"][:2] == ["_tenant_id", "_scan_id"]


def test_another_scan_reads_everything_again(mirroring: Mirroring) -> None:
    mirroring.run(scan_id="one")
    assert len(mirroring.run(scan_id="two").ids()) == 250


def test_all_api_versions_give_the_same(serve: Serve) -> None:
    found = []
    for version in ("v3", "2026-03", "2026-09"):
        portal = Portal.generate(230, archived=20, odd_values=True, custom_objects=["zipcodes"])
        mirroring = Mirroring(serve(portal))
        settings: dict[str, Any] = {
            "api_version": version,
            "archived": True,
            "associations": ["contacts", "companies", "zipcodes"],
        }
        portal.behaviour.association_page = 1
        mirroring.run(**settings)
        ids = portal.ids()
        portal.change("deals", ids[0], {"amount": "7"}, at=1_700_000_000_000)
        mirroring.run(**settings, association_refresh_hours=0)
        portal.merge("deals", ids[1], ids[2], at=1_790_000_000_000)
        mirroring.run(**settings, association_refresh_hours=0)
        assert mirroring.differences(all_archived=True) == []
        kinds = {r.family for r in mirroring.hubspot.requests.all()}
        assert kinds == {"numbered" if version == "v3" else "dated"}
        found.append(without_times(mirroring.mirror))
    assert found[0] == found[1] == found[2]


def without_times(mirror: Mirror) -> dict[str, Any]:
    moving = {"read_at", "archived_at", "removed_at", "_sdc_deleted_at"}
    return {
        stream: {k: {n: v for n, v in r.items() if n not in moving} for k, r in table.items()}
        for stream, table in mirror.tables.items()
    }
