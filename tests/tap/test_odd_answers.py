"""Odd answers of HubSpot and odd wishes of users lose nothing: they are carried out, or told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from harness.singer import Mirroring, config_for, discover, read, select, tried
from hubspot_client.decoding import decode
from hubspot_client.errors import InconsistentError, MissingScopeError
from hubspot_client.properties import Definitions
from hubspot_simulator import Portal, Simulator
from tap_hubspot_deals.reading import census, objects

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., Simulator]


def with_meetings() -> Portal:
    portal = Portal.generate(30, counts={"meetings": 12, "tickets": 12})
    portal.behaviour.no_archived_list = ("meetings",)
    return portal


def test_a_type_without_a_recycle_bin_is_read_without_it(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    hubspot = serve(with_meetings())
    portal = hubspot.portals[0]
    mirroring = Mirroring(hubspot)
    objects = [{"name": "meetings", "archived": True}, {"name": "tickets", "archived": True}]
    mirroring.run(objects=objects)
    assert "meetings have no recycle bin" in caplog.text
    gone = portal.ids("meetings")[3]
    portal.archive("meetings", gone)
    mirroring.run(objects=objects)
    live = {r["id"] for r in mirroring.mirror.rows("meetings") if not r.get("archived")}
    assert live == set(portal.truth("meetings").live)
    assert {r["id"] for r in mirroring.mirror.rows("tickets")} == set(portal.ids("tickets"))


@pytest.mark.parametrize("where", ["list", "associations", "owners"])
def test_cursors_that_go_round_in_a_circle_end_the_run(serve: Serve, where: str) -> None:
    portal = Portal.generate(90)
    hubspot = serve(portal)
    settings: dict[str, Any] = {}
    if where == "list":
        settings = {"page_size": 20}
    if where == "associations":
        portal.behaviour.association_page = 1
        for contact in portal.ids("contacts")[:4]:
            portal.link("deals", portal.ids()[0], "contacts", contact)
    if where == "owners":
        portal.owners *= 60
        for number, owner in enumerate(portal.owners):
            portal.owners[number] = type(owner)(**{**vars(owner), "id": str(90_000 + number)})
    portal.behaviour.stuck_cursors = True
    _, failure = tried(config_for(hubspot, **settings))
    assert isinstance(failure, InconsistentError)
    assert "circle" in str(failure)
    assert len(hubspot.requests) < 60


def test_ids_that_a_batch_leaves_out_end_the_run_and_are_read_by_the_next(
    mirroring: Mirroring,
) -> None:
    mirroring.run()
    portal = mirroring.portal
    for deal in portal.ids()[:3]:
        portal.change("deals", deal, {"dealname": "changed"})
    mirroring.hubspot.advance(2)
    portal.behaviour.batch_forgets_every = 3
    with pytest.raises(InconsistentError, match="what became of 1 of 3 records"):
        mirroring.run()
    portal.behaviour.batch_forgets_every = 0
    mirroring.run()
    assert mirroring.differences() == []


@pytest.mark.parametrize("settings", [{}, {"associations_per_pair": True}])
def test_a_page_of_links_that_does_not_come_ends_the_run_and_is_read_by_the_next(
    mirroring: Mirroring, settings: dict[str, Any]
) -> None:
    mirroring.portal.behaviour.association_page = 1
    mirroring.hubspot.fail(
        "silent", endpoint="associations", times=1, when=lambda asked: b'"after"' in asked.body
    )
    with pytest.raises(InconsistentError, match="did not bring the next page"):
        mirroring.run(**settings)
    mirroring.run(**settings)
    tables = ("deals_contacts", "deals_companies") if settings else ("associations",)
    rows = [row for table in tables for row in mirroring.mirror.rows(table)]
    links = {(row["to_object_type"], row["from_id"], row["to_id"], row["type_id"]) for row in rows}
    names = ("contacts", "companies")
    true = [link for name in names for link in mirroring.portal.true_links("deals", name)]
    assert len(links) == len(true)


def test_a_null_that_is_not_documented_is_a_field_that_is_not_there() -> None:
    content = b"""{"results": [{"name": "tier", "type": "string", "label": "Tier",
        "description": null, "groupName": null, "options": null}], "paging": null}"""
    (definition,) = decode(content, Definitions).results
    assert (definition.description, definition.options) == ("", [])
    with pytest.raises(msgspec.ValidationError):
        decode(b'{"results": [{"name": null, "type": "string"}]}', Definitions)


def test_numbers_and_booleans_on_the_wire_are_the_texts_that_they_were(serve: Serve) -> None:
    portal = Portal.generate(120, odd_values=True)
    hubspot = serve(portal)
    deal = portal.ids()[4]
    portal.add_property("deals", "code", "string")
    portal.change("deals", deal, {"dealname": "007", "amount": "12.50", "code": "1.10"})
    portal.behaviour.json_scalars = True
    mirroring = Mirroring(hubspot)
    mirroring.run()
    assert mirroring.differences() == []
    row = mirroring.mirror.deals()[deal]
    assert row["dealname"] == "007"
    assert row["custom_properties"]["code"] == "1.10"
    portal.change("deals", deal, {"dealname": "1e5"})
    mirroring.run(include_raw=True)
    assert mirroring.differences() == []


@pytest.mark.parametrize("text", ["20231-01-01T00:00:00Z", "1700000000000000", "soon"])
def test_a_day_of_creation_that_is_none_is_kept_as_text(serve: Serve, text: str) -> None:
    portal = Portal.generate(20, archived=3)
    binned = portal.ids(archived=True)[0]
    portal.restore("deals", binned)
    portal.change("deals", binned, {"createdate": text})
    portal.archive("deals", binned)
    mirroring = Mirroring(serve(portal))
    mirroring.run(archived=True, created_from="2000-01-01")
    row = mirroring.mirror.deals()[binned]
    assert row["archived"] is True
    assert row["createdate"] is None
    assert row["unparsed_properties"]["createdate"] == text


@pytest.mark.parametrize("room", [None, 100_000], ids=["whole pages", "pages of few records"])
def test_searches_that_do_not_tell_how_many_there_are_lose_nothing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, room: int | None
) -> None:
    monkeypatch.setattr(census, "SMALL", 100)
    if room is not None:
        monkeypatch.setattr(objects, "PAGE_ROOM", room)
    mirroring = Mirroring(serve(Portal.generate(450, custom_properties=0)))
    portal = mirroring.portal
    portal.behaviour.search_totals = False
    asked: dict[str, Any] = {"properties": ["dealname"], "created_from": "2000-01-01"}
    assert sorted(mirroring.run(**asked).ids()) == portal.ids()
    for deal in portal.ids()[:230]:
        portal.change("deals", deal, {"dealname": "x"})
    portal.archive("deals", portal.ids()[300])
    mirroring.hubspot.advance(3600)
    assert len(mirroring.run(**asked).ids()) == 231
    assert mirroring.differences(only=["dealname"]) == []


def test_a_type_that_cannot_be_searched_is_listed(mirroring: Mirroring) -> None:
    mirroring.run()
    portal = mirroring.portal
    changed, gone = portal.ids()[3:5]
    portal.change("deals", changed, {"dealname": "x"})
    portal.archive("deals", gone)
    mirroring.hubspot.fail("status", status=400, endpoint="search")
    output = mirroring.run()
    assert sorted(output.ids()) == [changed, gone]
    assert mirroring.differences() == []
    mirroring.run(pipeline="default")
    live = portal.truth("deals").live
    wanted = {i for i, r in live.items() if r.properties["pipeline"] == "default"}
    assert mirroring.mirror.live().keys() == wanted


def test_a_chosen_property_that_was_deleted_is_done_without(
    mirroring: Mirroring, caplog: pytest.LogCaptureFixture
) -> None:
    settings: dict[str, Any] = {"properties": ["dealname", "custom_1"]}
    mirroring.run(**settings)
    mirroring.portal.archive_property("deals", "custom_1")
    for _ in range(2):
        caplog.clear()
        mirroring.run(**settings)
        assert "names 'custom_1', which no deal has any more; reading the others" in caplog.text
    assert mirroring.differences(only=["dealname"]) == []


# What the catalog selects


def test_a_property_of_contacts_that_was_deleted_stops_neither_deals_nor_contacts(
    mirroring: Mirroring,
) -> None:
    portal = mirroring.portal
    contacts = {"name": "contacts", "properties": ["firstname", "custom_1"]}
    settings: dict[str, Any] = {"objects": ["deals", contacts]}
    mirroring.run(**settings)
    portal.archive_property("contacts", "custom_1")
    deal, contact = portal.ids()[0], portal.ids("contacts")[0]
    portal.change("deals", deal, {"dealname": "changed"})
    portal.change("contacts", contact, {"firstname": "Ada"})
    output = mirroring.run(**settings)
    assert output.ids() == [deal]
    assert [(r["id"], r["firstname"]) for r in output.records("contacts")] == [(contact, "Ada")]


def test_marks_go_out_whatever_is_selected(mirroring: Mirroring) -> None:
    catalog = discover(config_for(mirroring.hubspot))
    entry = next(s for s in catalog["streams"] if s["tap_stream_id"] == "deals")
    names = [n for n in entry["schema"]["properties"] if n not in {"dealname", "amount"}]
    select(catalog, "deals", *names, selected=False)
    mirroring.run(catalog=catalog)
    portal = mirroring.portal
    first, second, binned = portal.ids()[2:5]
    portal.merge("deals", first, second)
    portal.archive("deals", binned)
    output = mirroring.run(catalog=catalog)
    rows = mirroring.mirror.deals()
    assert rows[binned]["archived"] is True
    assert rows[first]["merged_into"] == rows[second]["merged_into"]
    assert mirroring.mirror.live().keys() == portal.truth("deals").live.keys()
    marks = {"archived", "archived_at", "merged_into", "read_at", "removed_at", "_sdc_deleted_at"}
    fields = output.schema()["properties"].keys()
    assert fields == {"_tenant_id", "id", "updated_at", "dealname", "amount", *marks}
    inclusion = {tuple(m["breadcrumb"]): m["metadata"].get("inclusion") for m in entry["metadata"]}
    assert {inclusion["properties", mark] for mark in marks} == {"automatic"}


def test_one_custom_property_is_asked_alone(mirroring: Mirroring) -> None:
    config = config_for(mirroring.hubspot, include_raw=True)
    catalog = discover(config)
    entry = next(s for s in catalog["streams"] if s["tap_stream_id"] == "deals")
    custom = entry["schema"]["properties"]["custom_properties"]["properties"]
    others = [f"custom_properties.{n}" for n in custom if n != "custom_2"]
    select(catalog, "deals", *others, "amount", selected=False)
    mirroring.hubspot.requests.clear()
    output = read(config, catalog=catalog)
    listed = mirroring.hubspot.requests.all(endpoint="list")[0].query
    assert "custom_2" in listed
    assert "custom_1" not in listed
    for record in output.records():
        assert set(record["custom_properties"]) == {"custom_2"}
        assert "amount" not in record["raw"]["properties"]


def test_deselected_streams_cost_no_request(serve: Serve) -> None:
    hubspot = serve(Portal.generate(30, counts={"tickets": 5}))
    config = config_for(
        hubspot, objects=["deals", {"name": "contacts", "associations": ["companies"]}, "tickets"]
    )
    catalog = discover(config)
    for stream in catalog["streams"]:
        wanted = stream["tap_stream_id"] in {"tickets", "ticket_properties"}
        select(catalog, stream["tap_stream_id"], selected=wanted)
    hubspot.requests.clear()
    output = read(config, catalog=catalog)
    assert {m["stream"] for m in output.of("RECORD")} == {"tickets", "ticket_properties"}
    paths = {r.path for r in hubspot.requests.all()}
    assert not [p for p in paths if "deals" in p or "contacts" in p or "owners" in p]


def test_links_deselected_everywhere_need_no_scope_and_no_request(serve: Serve) -> None:
    hubspot = serve(Portal.generate(30))
    hubspot.portals[0].add_token("pat-na1-deals", scopes=["crm.objects.deals.read"])
    catalog = discover(config_for(hubspot))
    for name in ("associations", "owners"):
        select(catalog, name, selected=False)
    select(catalog, "deals", "associations", selected=False)
    hubspot.requests.clear()

    output = read(config_for(hubspot, access_token="pat-na1-deals"), catalog=catalog)

    assert len(output.records()) == 30
    assert hubspot.requests.all(endpoint="associations") == []


@pytest.mark.parametrize("name", ["account_details", "owners", "deal_properties", None])
def test_a_small_stream_may_be_selected_alone(serve: Serve, name: str | None) -> None:
    hubspot = serve(Portal.generate(3))
    catalog = discover(config_for(hubspot))
    for stream in catalog["streams"]:
        select(catalog, stream["tap_stream_id"], selected=stream["tap_stream_id"] == name)
    hubspot.requests.clear()

    output = read(config_for(hubspot), catalog=catalog)

    assert {m["stream"] for m in output.of("RECORD")} == ({name} if name else set())
    assert len(hubspot.requests.all()) <= 2


def test_records_deselected_beside_others_are_not_read(serve: Serve) -> None:
    hubspot = serve(Portal.generate(30))
    config = config_for(hubspot, objects=["deals", "contacts"])
    catalog = discover(config)
    select(catalog, "contacts", selected=False)
    hubspot.requests.clear()
    output = read(config, catalog=catalog)
    assert output.records("contacts") == []
    lists = [r.path for r in hubspot.requests.all(endpoint="list")]
    assert sum("contacts" in path for path in lists) <= 1  # may the token read them?


@pytest.mark.parametrize("name", ["", "replication-method", "forced-replication-method"])
def test_full_table_reads_everything_at_every_run(mirroring: Mirroring, name: str) -> None:
    catalog = discover(config_for(mirroring.hubspot))
    entry = next(s for s in catalog["streams"] if s["tap_stream_id"] == "deals")
    for _ in range(2):
        assert len(mirroring.run(catalog=catalog).ids()) in {250, 0}
    if name:  # in the metadata alone, beside the method that discovery wrote
        root = next(each for each in entry["metadata"] if not each["breadcrumb"])
        root["metadata"][name] = "FULL_TABLE"
    else:
        entry["replication_method"] = "FULL_TABLE"
    for _ in range(2):
        assert len(mirroring.run(catalog=catalog).ids()) == 250


# What keeps no state, and what clears nothing


def test_links_of_given_ids_leave_the_mirror_as_it_is(mirroring: Mirroring) -> None:
    versions: dict[str, Any] = {"emit_activate_version_messages": True}
    mirroring.run(**versions)
    before = mirroring.mirror.state["bookmarks"]["deals"]["partitions"][0]
    output = mirroring.run(
        **versions, full_refresh_hours=0, association_ids=mirroring.portal.ids()[:2]
    )
    assert not output.of("ACTIVATE_VERSION", "associations")
    assert not output.of("ACTIVATE_VERSION", "deals")
    after = output.state["bookmarks"]["deals"]["partitions"][0]
    assert {**after, "held": None} == {**before, "held": None, "recent": after["recent"]}
    assert mirroring.differences() == []


def test_a_scope_that_is_lost_clears_no_links(mirroring: Mirroring) -> None:
    versions: dict[str, Any] = {
        "emit_activate_version_messages": True,
        "full_refresh_hours": 0,
        "on_missing_scope": "skip",
    }
    mirroring.run(**versions)
    before = mirroring.mirror.links()
    scopes = ["crm.objects.deals.read", "crm.objects.contacts.read", "crm.objects.owners.read"]
    mirroring.portal.add_token("pat-na1-fewer", scopes=scopes)
    mirroring.run(**versions, access_token="pat-na1-fewer")
    rows = mirroring.mirror.rows("associations")
    companies = [r for r in rows if r["to_object_type"] == "companies" and not r["removed_at"]]
    assert len(companies) == sum(link[0] == "companies" for link in before)
    mirroring.run(**versions)
    assert mirroring.mirror.links() == before


def test_a_stream_per_pair_begins_with_all_links(mirroring: Mirroring) -> None:
    mirroring.run()
    mirroring.run(associations_per_pair=True)
    pair = {(r["from_id"], r["to_id"]) for r in mirroring.mirror.rows("deals_contacts")}
    true = mirroring.portal.true_links("deals", "contacts")
    assert pair == {(t.from_id, t.to_id) for t in true}


def test_a_scope_that_only_owners_need_is_told_before_anything_is_written(
    hubspot: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    hubspot.portals[0].add_token("pat-na1-no-owners", scopes=["crm.objects.deals.read"])
    config = config_for(hubspot, access_token="pat-na1-no-owners", associations=[])
    output, failure = tried(config)
    assert isinstance(failure, MissingScopeError)
    assert output.messages == []
    output = read({**config, "on_missing_scope": "skip"})
    assert len(output.ids()) == 250
    assert output.records("owners") == []
    assert "Skipped: The token may not read owners" in caplog.text


# What nobody tells


def test_deals_restored_while_the_first_read_goes_on_come_with_the_next(serve: Serve) -> None:
    hubspot = serve(Portal.generate(600, archived=60))
    portal = hubspot.portals[0]
    back = portal.ids(archived=True)[:27]

    def restore() -> None:
        for deal in back:
            portal.restore("deals", deal)

    hubspot.after(5, restore, endpoint="list")
    mirroring = Mirroring(hubspot)
    mirroring.run(page_size=50)
    mirroring.run(page_size=50)
    assert mirroring.differences() == []


def test_a_merge_into_a_deal_outside_the_filter_is_marked(mirroring: Mirroring) -> None:
    portal = mirroring.portal
    live = portal.truth("deals").live
    first, second = [i for i, r in live.items() if r.properties["pipeline"] == "default"][:2]
    other = next(r for r in live.values() if r.properties["pipeline"] != "default").properties
    mirroring.run(pipeline="default")
    survivor = portal.merge("deals", first, second)
    portal.change("deals", survivor, {n: other[n] for n in ("pipeline", "dealstage")})
    mirroring.run(pipeline="default")
    rows = mirroring.mirror.deals()
    assert rows[first]["merged_into"] == rows[second]["merged_into"] == survivor
    assert survivor not in rows


def test_merged_deals_that_never_went_out_are_not_mentioned_later(serve: Serve) -> None:
    portal = Portal.generate(50)
    mirroring = Mirroring(serve(portal))
    portal.merge("deals", *portal.ids()[:2])
    for refresh in (24, 0, 24):
        mirroring.run(full_refresh_hours=refresh)
        assert len(mirroring.mirror.deals()) == 49


def test_archived_deals_stay_marked_through_a_full_read_with_versions(
    mirroring: Mirroring,
) -> None:
    versions: dict[str, Any] = {"emit_activate_version_messages": True}
    mirroring.run(**versions)
    portal = mirroring.portal
    binned, first, second = portal.ids()[:3]
    portal.archive("deals", binned)
    portal.merge("deals", first, second)
    mirroring.run(**versions)
    before = mirroring.mirror.deals().keys()
    mirroring.run(**versions, full_refresh_hours=0)
    assert mirroring.mirror.deals().keys() == before
    assert mirroring.mirror.deals()[binned]["archived"] is True


def test_a_property_with_a_targets_name_keeps_away_from_its_columns(mirroring: Mirroring) -> None:
    for name in ("_sdc_deleted_at", "_tenant_id", "_sdc_batched_at"):
        mirroring.portal.add_property("deals", name, "string")
    deal = mirroring.portal.ids()[0]
    mirroring.portal.change("deals", deal, {"_sdc_deleted_at": "never", "_tenant_id": "other"})
    output = mirroring.run(flatten_custom_properties=True)
    record = next(r for r in output.records() if r["id"] == deal)
    assert record["_sdc_deleted_at"] is None
    assert record["_tenant_id"] == "acme"
    assert record["property__sdc_deleted_at"] == "never"
    assert record["property__tenant_id"] == "other"
