"""Whatever goes wrong, and in whichever order: one record a key, and no row unaccounted for."""

from __future__ import annotations

from typing import Any

from hubspot_client.errors import HubSpotError
from hubspot_simulator import Portal, Simulator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import TOKEN, conversation, make_writer

KEYS = ["a@example.com", "B@example.com", "b@example.com", "c@example.com ", "second@example.com"]
CITIES = st.sampled_from(["Ulm", "Bonn", "Kiel"])
ROWS = st.lists(
    st.tuples(st.sampled_from(KEYS), st.fixed_dictionaries({"city": CITIES})), min_size=1
)
FAULTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["reset", "html", "status", "silent", "partial", "truncated"]),
        "endpoint": st.sampled_from(["batch_upsert", "batch_read"]),
        "carried_out": st.booleans(),
        "times": st.integers(1, 2),
        "retry_after": st.just(0.01),
        "status": st.sampled_from([500, 502, 504, 423]),
    }
)
STEPS = st.lists(st.tuples(ROWS, st.lists(FAULTS, max_size=2)), min_size=1, max_size=4)


def normal(key: str) -> str:
    found = key.strip().lower()
    return "first@example.com" if found == "second@example.com" else found


def account() -> Portal:
    portal = Portal.generate(1, seed=9, token=TOKEN, contacts=0, contacts_per_deal=0)
    portal.create(
        "contacts", {"email": "first@example.com", "hs_additional_emails": "second@example.com"}
    )
    return portal


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS, compare=st.booleans(), echo=st.booleans(), batch=st.sampled_from([1, 2, 100]))
def test_one_record_a_key_under_every_fault(
    steps: list[tuple[list[tuple[str, dict[str, str]]], list[dict[str, Any]]]],
    batch: int,
    *,
    compare: bool,
    echo: bool,
) -> None:
    portal = account()
    portal.behaviour.echo_trace_ids = echo
    expected: dict[str, str] = {}
    with Simulator([portal]) as hubspot, conversation(hubspot) as client:
        writer = make_writer(client, compare=compare, batch_size=batch)
        for rows, faults in steps:
            for fault in faults:
                fails_late = fault["kind"] in {"truncated", "silent", "partial"}
                carried_out = fault["carried_out"] and not fails_late
                hubspot.fail(**{**fault, "carried_out": carried_out})
            outcomes = None
            while outcomes is None or any(each.kind == "unknown" for each in outcomes):
                try:
                    outcomes = writer.write(rows)
                except HubSpotError:
                    continue
            assert [each.kind for each in outcomes].count("rejected") == 0
            assert len(outcomes) == len(rows)
            hubspot.heal()
            for key, values in rows:
                expected[normal(key)] = values["city"]
        writer.close()

    live = list(portal.truth("contacts").live.values())
    cities = {each.properties["email"]: each.properties["city"] for each in live}
    assert len(live) == len(cities)
    for key, city in expected.items():
        # Two addresses of one contact keep their order within a batch, not across batches.
        if key != "first@example.com" or (compare and batch == 100):
            assert cities[key] == city
    assert set(cities) == {"first@example.com", *expected}
