"""Whatever goes wrong in whichever order, and however often a run is started again."""

from __future__ import annotations

import logging
from typing import Any

from hubspot_client.errors import HubSpotError
from hubspot_simulator import Portal, Simulator
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from target_hubspot.delivery import Delivery
from target_hubspot.settings import settings_of

from .conftest import TOKEN, schema

LOGGER = logging.getLogger("walks")
KEYS = ["a@example.com", "B@example.com", "b@example.com ", "c@example.com", "no address"]
PEOPLE = [key for key in KEYS if "@" in key]
CONTACTS = st.fixed_dictionaries(
    {"email": st.sampled_from(KEYS), "city": st.sampled_from(["Ulm", "Bonn", "Kiel"])}
)
DEALS = st.fixed_dictionaries(
    {
        "booking": st.sampled_from(["1", "2", "3"]),
        "dealname": st.sampled_from(["x", "y"]),
        "dealstage": st.sampled_from(["closedwon", "nowhere"]),
        "_associations": st.lists(
            st.sampled_from([{"to": "contacts", "key": "email", "value": key} for key in PEOPLE]),
            max_size=2,
        ),
    }
)
FAULTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(
            ["reset", "html", "status", "silent", "partial", "truncated", "daily"]
        ),
        "endpoint": st.sampled_from(["batch_upsert", "batch_read", "link", "associations"]),
        "carried_out": st.booleans(),
        "times": st.integers(1, 2),
        "retry_after": st.just(0.01),
        "status": st.sampled_from([500, 502, 504, 423]),
    }
)
RUNS = st.lists(
    st.tuples(
        st.lists(CONTACTS, max_size=6), st.lists(DEALS, max_size=6), st.lists(FAULTS, max_size=2)
    ),
    min_size=1,
    max_size=3,
)
# HubSpot would refuse the first deal; it is one with the second while both wait.
REFUSED_BY_ITSELF: tuple[Any, ...] = (
    [{"email": "a@example.com", "city": "Ulm"}],
    [
        {
            "booking": "1",
            "dealname": "x",
            "dealstage": "nowhere",
            "_associations": [{"to": "contacts", "key": "email", "value": "a@example.com"}],
        },
        {"booking": "1", "dealname": "x", "dealstage": "closedwon", "_associations": []},
    ],
    [],
)
Records = list[dict[str, Any]]
FIELDS = {"contacts": ("email", "city"), "deals": ("booking", "dealname", "dealstage")}
OUTCOMES = ("created", "updated", "unchanged", "rejected", "unknown")


def delivered(hubspot: Simulator, contacts: Records, deals: Records, *, batch: int) -> bool:
    """One run to its end; whether it came to a good one. Each record is accounted for."""
    given = {"access_token": TOKEN, "base_url": hubspot.url, "batch_size": batch}
    delivery = Delivery(settings_of({**given, "max_rejected_records": -1}), LOGGER)
    is_done = False
    try:
        for stream, names in FIELDS.items():
            fields = dict.fromkeys(names, "string")
            delivery.load(stream, schema(stream, **fields)["schema"], [names[0]])
        for stream, records in (("contacts", contacts), ("deals", deals)):
            for line, record in enumerate(records):
                delivery.add(stream, line, record)
        waiting = delivery.cut()
        delivery.begin(waiting)
        delivery.finish(waiting, last=True)
        is_done = True
    except HubSpotError:
        LOGGER.debug("ended")
    finally:
        delivery.close()
    told = delivery.report.as_json(dry_run=False)["streams"]
    for stream, records in (("contacts", contacts), ("deals", deals)):
        sums = told[stream]
        settled = sum(sums.get(k, 0) for k in OUTCOMES)
        assert sums["read"] == len(records) == settled + sums["unsettled"]
        assert not (is_done and sums["unsettled"]), sums
    return is_done and not delivery.report.unknown


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@example(runs=[REFUSED_BY_ITSELF], echo=True, batch=1)
@given(runs=RUNS, echo=st.booleans(), batch=st.sampled_from([1, 2, 100]))
def test_one_record_a_key_every_link_and_every_record_told_of(
    runs: list[tuple[Records, Records, Records]], batch: int, *, echo: bool
) -> None:
    portal = Portal.generate(0, seed=9, token=TOKEN, contacts=0)
    portal.add_property("deals", "booking", has_unique_value=True)
    portal.behaviour.echo_trace_ids = echo
    portal.search_lag, portal.search_flicker = 5.0, 5.0
    cities: dict[str, str] = {}
    names: dict[str, str] = {}
    links: set[tuple[str, str]] = set()
    with Simulator([portal]) as hubspot:
        for contacts, deals, faults in runs:
            for fault in faults:
                is_late = fault["kind"] in {"truncated", "silent", "partial", "daily"}
                carried_out = fault["carried_out"] and not is_late
                hubspot.fail(**{**fault, "carried_out": carried_out})
            while not delivered(hubspot, contacts, deals, batch=batch):
                pass
            hubspot.heal()
            for each in contacts:
                if "@" in each["email"]:
                    cities[each["email"].strip().lower()] = each["city"]
            # Records of one key are one while they wait: their last values, and all their links.
            # Only if HubSpot refuses those is each of them sent for itself.
            last = {each["booking"]: each["dealstage"] for each in deals}
            for each in deals:
                if each["dealstage"] == "closedwon":
                    names[each["booking"]] = each["dealname"]
                if "closedwon" in (each["dealstage"], last[each["booking"]]):
                    ends = (link["value"].strip().lower() for link in each["_associations"])
                    links |= {(each["booking"], end) for end in ends if end in cities}

    people = portal.truth("contacts").live
    assert {each.properties["email"]: each.properties["city"] for each in people.values()} == cities
    assert len(people) == len(cities)
    made = portal.truth("deals").live
    assert {
        each.properties["booking"]: each.properties["dealname"] for each in made.values()
    } == names
    assert len(made) == len(names)
    linked = {
        (made[each.from_id].properties["booking"], people[each.to_id].properties["email"])
        for each in portal.true_links()
    }
    assert linked == links
