"""Values: typed by today's definitions, exact, and never lost where they do not fit."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from harness.singer import Mirroring, config_for, read
from hubspot_simulator import Portal

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]

DOUBLE = "0.200000000000000011102230246251565404236316680908203125"


def typed(hubspot: Simulator, kind: str, text: str | None, *, field_type: str = "") -> Any:
    """What a value of a custom property becomes: the record's value, and what did not fit."""
    portal = hubspot.portals[0]
    portal.add_property("deals", "probe", kind, field_type=field_type)
    deal = portal.create("deals", {"probe": text})
    mirroring = Mirroring(hubspot)
    mirroring.run(properties=["probe"], associations=[])
    row = mirroring.mirror.deals()[deal]
    return row["custom_properties"]["probe"], row["unparsed_properties"]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("number", "1500.00", Decimal("1500.00")),
        ("number", DOUBLE, Decimal(DOUBLE)),
        ("number", "12345678901234567.89", Decimal("12345678901234567.89")),
        ("number", "123456789012345678901234567890", 123456789012345678901234567890),
        ("number", "-0.10", Decimal("-0.10")),
        ("number", "1E+5", Decimal(100000)),
        ("number", "007", 7),
        ("number", "+.5", Decimal("0.5")),
        ("number", "", None),
        ("bool", "true", True),
        ("bool", "false", False),
        ("bool", "", None),
        ("date", "2024-02-29", "2024-02-29"),
        ("date", "1709164800000", "2024-02-29"),
        ("date", "-86400000", "1969-12-31"),
        ("date", "", None),
        ("datetime", "2024-05-10T16:50:41.180Z", "2024-05-10T16:50:41.180Z"),
        ("datetime", "2024-05-10T16:50:41Z", "2024-05-10T16:50:41Z"),
        ("datetime", "1709164800123", "2024-02-29T00:00:00.123Z"),
        ("datetime", "", None),
        ("string", "", ""),
        ("string", None, None),
        ("string", ' padded\r\n\t\u2028 🎉 \\ " ', ' padded\r\n\t\u2028 🎉 \\ " '),
        ("string", "x" * 65_536, "x" * 65_536),
        ("string", "2024-01-01", "2024-01-01"),
        ("string", "null", "null"),
        ("phone_number", "+15551234567", "+15551234567"),
        ("json", '{"a": 1}', '{"a": 1}'),
        ("enumeration", "retired_option", "retired_option"),
        ("enumeration", "", ""),
    ],
)
def test_a_value_becomes_what_its_type_says(
    hubspot: Simulator, kind: str, text: str | None, value: Any
) -> None:
    found, unparsed = typed(hubspot, kind, text)
    assert (found, type(found), unparsed) == (value, type(value), None)


@pytest.mark.parametrize(
    ("text", "value"),
    [("A;B", ["A", "B"]), ("A", ["A"]), (";A;B", ["A", "B"]), ("a b;ü", ["a b", "ü"]), ("", None)],
)
def test_a_multi_select_becomes_an_array(
    hubspot: Simulator, text: str, value: list[str] | None
) -> None:
    assert typed(hubspot, "enumeration", text, field_type="checkbox") == (value, None)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("number", "N/A"),
        ("number", "NaN"),
        ("number", "Infinity"),
        ("number", "1,500.00"),
        ("number", "1_500"),
        ("number", "   "),
        ("number", "٣"),
        ("bool", "yes"),
        ("date", "2024-02-30"),
        ("date", "29.02.2024"),
        ("date", "99999999999999999"),
        ("datetime", "yesterday"),
        ("datetime", "2024-13-01T00:00:00Z"),
        ("date", "0001-01-01T00:00:00+10:00"),
    ],
)
def test_a_text_that_does_not_fit_its_type_is_kept_and_told(
    hubspot: Simulator, kind: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert typed(hubspot, kind, text) == (None, {"probe": text})
    assert "1 values of the property 'probe' do not fit its type" in caplog.text


def test_records_fit_their_schemas(hubspot: Simulator) -> None:
    mirroring = Mirroring(hubspot)
    output = mirroring.run(include_raw=True)
    streams = {m["stream"] for m in output.of("SCHEMA")}
    described = {"deal_pipelines", "owners", "deal_properties", "account_details"}
    assert streams == {"deals", "associations"} | described
    for stream in streams:
        schema = output.schema(stream)
        check = jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())
        for record in output.records(stream)[:60]:
            check.validate(plain(record))
            assert set(record) <= set(schema["properties"])


def plain(value: Any) -> Any:
    """The same with floats, which is what the validator takes for numbers."""
    return json.loads(json.dumps(value, default=float))


def test_schemas_come_before_records_and_name_tenant_and_scan(mirroring: Mirroring) -> None:
    output = mirroring.run(scan_id="scan-7")
    announced = set()
    for message in output.messages:
        if message["type"] == "SCHEMA":
            announced.add(message["stream"])
            assert message["key_properties"][0] == "_tenant_id"
            assert message["schema"]["x-tenant-id"] == "acme"
            assert message["schema"]["x-scan-id"] == "scan-7"
        if message["type"] == "RECORD":
            assert message["stream"] in announced
            assert message["record"]["_tenant_id"] == "acme"


def test_a_property_added_between_runs_is_there_with_all_its_values(mirroring: Mirroring) -> None:
    mirroring.run()
    portal = mirroring.portal
    portal.add_property("deals", "tier", "number")
    # Calculated properties fill in without moving the modified date.
    for deal in portal.ids()[:40]:
        portal.change("deals", deal, {"tier": "1.5"}, touch=False)
    mirroring.run()
    assert mirroring.differences() == []


def test_a_retyped_property_is_retyped_in_every_deal(mirroring: Mirroring) -> None:
    portal = mirroring.portal
    portal.add_property("deals", "score", "number")
    for place, deal in enumerate(portal.ids()):
        portal.change("deals", deal, {"score": "N/A" if place % 7 == 0 else f"{place}.50"})
    mirroring.run()
    portal.retype_property("deals", "score", "string")
    mirroring.run()
    assert mirroring.differences() == []
    assert mirroring.mirror.rows()[0]["custom_properties"]["score"] in {"N/A", "0.50"}


def test_an_archived_property_is_not_asked_for_any_more(mirroring: Mirroring) -> None:
    mirroring.run()
    mirroring.portal.archive_property("deals", "custom_1")
    mirroring.portal.change("deals", mirroring.portal.ids()[0], {"dealname": "x"})
    mirroring.run()
    assert mirroring.differences() == []
    assert "custom_1" not in mirroring.mirror.rows()[0]["custom_properties"]


def test_1200_properties_are_read_whole(serve: Serve) -> None:
    portal = Portal.generate(130, archived=15, custom_properties=0)
    for place in range(1200):
        portal.add_property("deals", f"a_property_with_a_long_name_{place}", "number")
    for deal in portal.ids():
        portal.change("deals", deal, {f"a_property_with_a_long_name_{int(deal) % 1200}": "1.25"})
    hubspot = serve(portal)
    mirroring = Mirroring(hubspot)
    mirroring.run(archived=True)
    assert mirroring.differences(all_archived=True) == []
    assert not hubspot.requests.count(status=414)
    portal.change("deals", portal.ids()[0], {"a_property_with_a_long_name_7": "7.70"})
    mirroring.run(archived=True)
    assert mirroring.differences(all_archived=True) == []


def test_wide_filtered_reads_keep_search_bodies_short(serve: Serve) -> None:
    portal = Portal.generate(250, custom_properties=0)
    for place in range(300):
        portal.add_property("deals", f"a_property_with_a_long_name_{place}", "number")
    portal.behaviour.search_body_limit = 3000
    mirroring = Mirroring(serve(portal))
    mirroring.run(start_date="2000-01-01")
    assert mirroring.differences() == []


@pytest.mark.parametrize("flat", [False, True])
def test_names_with_capitals_great_lengths_and_clashes_are_kept_apart(
    hubspot: Simulator, *, flat: bool
) -> None:
    portal = hubspot.portals[0]
    names = [
        "Score",
        "score",
        "x" * 100,
        "x" * 99 + "y",
        "id",
        "archived",
        "created_at",
        "associations",
        "raw",
        "custom_properties",
        "property_id",
        "property_property_id",
        "_tenant_id",
        "read_at",
        "merged_into",
    ]
    for name in names:
        portal.add_property("deals", name, "string")
    deal = portal.create("deals", {name: f"value of {name}" for name in names})
    mirroring = Mirroring(hubspot)
    mirroring.run(flatten_custom_properties=flat, include_raw=True, tenant_id="acme")
    row = mirroring.mirror.deals()[deal]
    values = row if flat else row["custom_properties"]
    texts = sorted(v for v in values.values() if isinstance(v, str) and v.startswith("value of"))
    assert texts == sorted(f"value of {name}" for name in names)
    assert row["id"] == deal
    assert row["_tenant_id"] == "acme"
    assert row["archived"] is False
    if flat:
        assert "custom_properties" not in row
        assert values["property_id"] == "value of property_id"
        assert row["Score"] == "value of Score"
    else:
        assert {n: values[n] for n in names} == {n: f"value of {n}" for n in names}


def test_standard_properties_are_fields_and_custom_ones_stand_in_an_object(
    mirroring: Mirroring,
) -> None:
    output = mirroring.run()
    record = output.records()[0]
    definitions = mirroring.portal.records("deals").definitions.all()
    of_stages = {"hs_date_entered_closedwon", "hs_time_in_appointmentscheduled"}
    own = {d.name for d in definitions if not d.hubspot_defined}
    assert set(record["custom_properties"]) == own | of_stages
    assert {d.name for d in definitions} - own - of_stages <= set(record)


def test_flattened_custom_properties_are_fields(mirroring: Mirroring) -> None:
    mirroring.run(flatten_custom_properties=True)
    assert mirroring.differences() == []
    assert "custom_properties" not in mirroring.mirror.rows()[0]


def test_nested_properties_are_the_same_values_in_two_objects(serve: Serve) -> None:
    portal = Portal.generate(20)
    portal.add_property("deals", "associations", "string", hubspot_defined=True)
    long = "hs_v2_cumulative_time_in_" + "a" * 60
    portal.add_property("deals", long, "number", hubspot_defined=True)
    deal = portal.create("deals", {"associations": "its own", long: "7.50"})
    hubspot = serve(portal)
    plain = {r["id"]: r for r in Mirroring(hubspot).run().records()}
    output = Mirroring(hubspot).run(nest_properties=True)
    nested = {r["id"]: r for r in output.records()}
    standard = {d.name for d in portal.records("deals").definitions.all() if d.hubspot_defined}
    fields = set(output.schema()["properties"])
    assert not standard - {"associations"} & fields
    assert {"properties", "custom_properties"} <= fields
    assert nested[deal]["properties"]["associations"] == "its own"
    assert nested[deal]["properties"][long] == Decimal("7.50")
    for key, record in plain.items():
        found = nested[key]["properties"]
        own = record["custom_properties"]
        both = {**record, **own}
        values = {n: both[n] for n in standard - {"associations"} if both[n] is not None}
        assert {n: v for n, v in found.items() if n != "associations"} == values
        own = {n: v for n, v in own.items() if n not in standard and v is not None}
        assert nested[key]["custom_properties"] == own


@pytest.mark.parametrize(
    "settings", [{}, {"archived": True}, {"start_date": "2000-01-01"}, {"page_size": 7}]
)
def test_raw_is_the_objects_own_json(serve: Serve, settings: dict[str, Any]) -> None:
    mirroring = Mirroring(serve(Portal.generate(60, archived=5, odd_values=True)))
    mirroring.run(include_raw=True, **settings)
    truth = mirroring.portal.truth("deals")
    for deal, row in mirroring.mirror.deals().items():
        true = truth.live.get(deal) or truth.archived[deal]
        assert row["raw"]["id"] == deal
        assert row["raw"]["properties"] == {n: true.properties[n] for n in row["raw"]["properties"]}
        assert set(row["raw"]["properties"]) == set(true.properties)
    assert mirroring.differences(all_archived="archived" in settings) == []


def test_without_the_setting_there_is_no_raw(mirroring: Mirroring) -> None:
    assert "raw" not in mirroring.run().records()[0]


def test_small_streams_are_whole(mirroring: Mirroring) -> None:
    output = mirroring.run()
    portal = mirroring.portal
    pipelines = output.records("deal_pipelines")
    assert {p["id"] for p in pipelines} == {p.id for p in portal.pipelines["deals"]}
    assert {s["id"] for p in pipelines for s in p["stages"]} == {
        s.id for p in portal.pipelines["deals"] for s in p.stages
    }
    owners = output.records("owners")
    assert {o["id"]: o["archived"] for o in owners} == {o.id: o.archived for o in portal.owners}
    definitions = portal.records("deals").definitions.all()
    assert {p["name"]: p["type"] for p in output.records("deal_properties")} == {
        d.name: d.type for d in definitions
    }


def test_half_an_emoji_is_marked_and_the_rest_of_the_page_stays(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    text = "cut \ud83d, whole \U0001f600, spelled \\ud83d, high \\\ude00"
    hubspot = serve(Portal.generate(3))
    with caplog.at_level(logging.WARNING):
        value, unparsed = typed(hubspot, "string", text)
    assert value == text.replace("\ud83d", "\ufffd").replace("\ude00", "\ufffd")
    assert unparsed is None
    assert "half characters" in caplog.text


def test_a_property_of_a_stage_is_no_column(hubspot: Simulator) -> None:
    portal = hubspot.portals[0]
    of_stages = [f"hs_v2_date_entered_stage_{number}" for number in range(300)]
    for name in of_stages:
        portal.add_property("deals", name, "datetime", hubspot_defined=True)
    portal.change("deals", portal.ids()[0], {of_stages[7]: "2026-01-31T09:30:00.000Z"})
    output = read(config_for(hubspot))
    fields = output.schema()["properties"]
    assert not set(of_stages) & set(fields)
    assert "hs_v2_date_entered_current_stage" not in of_stages
    assert set(of_stages) < set(fields["custom_properties"]["properties"])
    record = next(r for r in output.records() if r["id"] == portal.ids()[0])
    assert record["custom_properties"][of_stages[7]] == "2026-01-31T09:30:00.000Z"
    flat = read(config_for(hubspot, flatten_custom_properties=True)).schema()["properties"]
    assert set(of_stages) < set(flat)
