"""Search and lists against a plain model, over drawn records, filters and pages."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hubspot_simulator import Portal
from hubspot_simulator.call import Call, encode
from hubspot_simulator.listing import list_records
from hubspot_simulator.search import search
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

if TYPE_CHECKING:
    from collections.abc import Callable

import msgspec

AMOUNTS = st.sampled_from([None, "", "0", "1.50", "1.5", "-3", "20", "1e2", "99999999999.01"])
NAMES = st.sampled_from([None, "", "ant", "Bee", "cat food"])
STAGES = st.sampled_from(["closedwon", "contractsent", "gone"])
MOMENTS = st.integers(1_700_000_000_000, 1_700_000_000_005)
RECORDS = st.lists(
    st.tuples(
        st.fixed_dictionaries({"amount": AMOUNTS, "dealname": NAMES, "dealstage": STAGES}), MOMENTS
    ),
    max_size=25,
)
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "EQ": lambda left, right: left == right,
    "NEQ": lambda left, right: left != right,
    "LT": lambda left, right: left < right,
    "LTE": lambda left, right: left <= right,
    "GT": lambda left, right: left > right,
    "GTE": lambda left, right: left >= right,
}
FILTERS = st.one_of(
    st.builds(
        lambda operator, value: {"propertyName": "amount", "operator": operator, "value": value},
        st.sampled_from(sorted(ORDER)),
        st.sampled_from(["0", "1.5", "20", "-3"]),
    ),
    st.builds(
        lambda operator, value: {
            "propertyName": "hs_lastmodifieddate",
            "operator": operator,
            "value": str(value),
        },
        st.sampled_from(sorted(ORDER)),
        MOMENTS,
    ),
    st.builds(
        lambda low, high: {
            "propertyName": "hs_lastmodifieddate",
            "operator": "BETWEEN",
            "value": str(low),
            "highValue": str(high),
        },
        MOMENTS,
        MOMENTS,
    ),
    st.builds(
        lambda operator: {"propertyName": "dealname", "operator": operator},
        st.sampled_from(["HAS_PROPERTY", "NOT_HAS_PROPERTY"]),
    ),
    st.builds(
        lambda operator, values: {
            "propertyName": "dealstage",
            "operator": operator,
            "values": values,
        },
        st.sampled_from(["IN", "NOT_IN"]),
        st.lists(STAGES, max_size=2),
    ),
)


def call(portal: Portal, body: Any = None, **query: Any) -> Call:
    return Call(
        portal,
        portal.credentials[portal.token],
        "v3",
        {"object_type": "deals"},
        QueryParams({key: str(value) for key, value in query.items()}),
        encode(body),
    )


def passes(record: dict[str, str | None], each: dict[str, Any]) -> bool:
    """Say the same as the search, in the plainest way."""
    value = record[each["propertyName"]] or ""
    match each["operator"]:
        case "NOT_HAS_PROPERTY":
            found = not value
        case "HAS_PROPERTY":
            found = bool(value)
        case "IN":
            found = value in each["values"]
        case "NOT_IN":
            found = value not in {"", *each["values"]}
        case "BETWEEN":
            found = int(each["value"]) <= int(value) <= int(each["highValue"])
        case operator:
            found = value != "" and ORDER[operator](Decimal(value), Decimal(each["value"]))
    return found


def build(records: list[tuple[dict[str, str | None], int]]) -> tuple[Portal, dict[str, Any]]:
    """Write records into a portal whose generated ones lie in between."""
    portal = Portal.generate(12, contacts=2, companies=1, custom_properties=0)
    model: dict[str, Any] = {}
    for each in portal.ids():
        portal.archive("deals", each)
    for place, (properties, moment) in enumerate(records):
        new = str(21_000_000_001 + place * 5)
        if portal.records("deals").get(int(new)) is None:
            portal.create("deals", properties, id=new, at=moment)
            model[new] = {**properties, "hs_lastmodifieddate": str(moment), "hs_object_id": new}
    return portal, model


@settings(max_examples=120, deadline=None)
@given(
    records=RECORDS,
    groups=st.lists(st.lists(FILTERS, max_size=3), max_size=3),
    limit=st.integers(1, 9),
    archived=st.sets(st.integers(0, 24), max_size=5),
)
def test_search_finds_what_the_model_finds(
    records: list[tuple[dict[str, str | None], int]],
    groups: list[list[dict[str, Any]]],
    limit: int,
    archived: set[int],
) -> None:
    portal, model = build(records)
    for place in archived:
        if place < len(model):
            portal.archive("deals", list(model)[place])
    live = {each: record for each, record in model.items() if each in portal.truth().live}
    expected = sorted(
        each
        for each, record in live.items()
        if not groups or any(all(passes(record, one) for one in group) for group in groups)
    )

    found: list[str] = []
    body: dict[str, Any] = {"filterGroups": [{"filters": group} for group in groups]}
    while True:
        page = msgspec.json.decode(search(call(portal, {**body, "limit": limit})))
        assert page["total"] == len(expected)
        found += [record["id"] for record in page["results"]]
        if "paging" not in page:
            break
        body["after"] = page["paging"]["next"]["after"]

    assert found == expected


@settings(max_examples=60, deadline=None)
@given(records=RECORDS, window=st.tuples(MOMENTS, MOMENTS), limit=st.integers(1, 9))
def test_keyset_by_id_finds_the_window_once(
    records: list[tuple[dict[str, str | None], int]], window: tuple[int, int], limit: int
) -> None:
    portal, model = build(records)
    low, high = window
    expected = sorted(
        each for each, record in model.items() if low <= int(record["hs_lastmodifieddate"]) <= high
    )
    between: dict[str, Any] = {"propertyName": "hs_lastmodifieddate", "operator": "BETWEEN"}
    between |= {"value": str(low), "highValue": str(high)}

    found: list[str] = []
    last, size = "0", limit
    while size == limit:
        keyset: dict[str, Any] = {"propertyName": "hs_object_id", "operator": "GT", "value": last}
        body: dict[str, Any] = {
            "filters": [between, keyset],
            "sorts": ["hs_object_id"],
            "limit": limit,
        }
        page = msgspec.json.decode(search(call(portal, body)))["results"]
        found += [record["id"] for record in page]
        last, size = found[-1] if found else "0", len(page)

    assert found == expected


@settings(max_examples=60, deadline=None)
@given(
    deals=st.integers(0, 40),
    writes=st.lists(
        st.tuples(
            st.sampled_from(["create", "change", "archive", "delete", "merge"]), st.integers(0)
        ),
        max_size=12,
    ),
    limit=st.integers(1, 15),
    unordered=st.booleans(),
    opaque=st.booleans(),
)
def test_lists_hold_what_is_live_whatever_was_written(
    *,
    deals: int,
    writes: list[tuple[str, int]],
    limit: int,
    unordered: bool,
    opaque: bool,
) -> None:
    portal = Portal.generate(deals, contacts=2, companies=1, custom_properties=0)
    portal.behaviour.unordered_list, portal.behaviour.opaque_cursors = unordered, opaque
    for kind, choice in writes:
        write(portal, kind, choice)

    found: list[str] = []
    query: dict[str, Any] = {"limit": limit, "properties": "amount"}
    while True:
        page = msgspec.json.decode(list_records(call(portal, **query)))
        found += [record["id"] for record in page["results"]]
        if "paging" not in page:
            break
        query["after"] = page["paging"]["next"]["after"]

    assert len(found) == len(set(found)) == portal.records("deals").live_count()
    assert set(found) == portal.truth().live.keys()


def write(portal: Portal, kind: str, choice: int) -> None:
    ids = portal.ids()
    if kind == "create" or len(ids) < 2:
        portal.create("deals", {"amount": "1"})
        return
    picked, other = ids[choice % len(ids)], ids[(choice + 1) % len(ids)]
    match kind:
        case "change":
            portal.change("deals", picked, {"amount": "2"})
        case "merge":
            portal.merge("deals", picked, other)
        case _:
            getattr(portal, kind)("deals", picked)


@pytest.mark.parametrize("archived", [True, False])
def test_generated_and_written_records_obey_the_same_filters(*, archived: bool) -> None:
    generated = Portal.generate(150)
    if archived:
        generated.archive("deals", generated.ids()[5])
    written = Portal.generate(150)
    if archived:
        written.archive("deals", written.ids()[5])
    for each in written.ids():
        written.change("deals", each, {}, touch=False)
    some = generated.truth().live[generated.ids()[60]]

    for one in (
        {"propertyName": "amount", "operator": "GT", "value": "1000"},
        {"propertyName": "createdate", "operator": "GTE", "value": some.created_at},
        {"propertyName": "hs_lastmodifieddate", "operator": "LT", "value": some.updated_at},
        {"propertyName": "dealstage", "operator": "NEQ", "value": "closedwon"},
        {"propertyName": "custom_4", "operator": "IN", "values": ["A"]},
        {"propertyName": "custom_1", "operator": "NOT_HAS_PROPERTY"},
    ):
        answers = [
            msgspec.json.decode(search(call(portal, {"filters": [one], "limit": 200})))
            for portal in (generated, written)
        ]
        assert answers[0]["total"] == answers[1]["total"] > 0
        first, second = ([each["id"] for each in found["results"]] for found in answers)
        assert first == second
