"""Batches of one run whose calls are under way at once: none waits for the other's last answer."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hubspot_client.errors import HubSpotError
from singer_sdk.mapper import PluginMapper
from target_hubspot import run as run_module
from target_hubspot.run import Run
from target_hubspot.settings import settings_of

from .conftest import TOKEN, lines, record, schema, state

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator import Portal, Simulator

    Carry = Callable[..., list[Any]]
CONTACTS = schema("contacts", ["email"], email="string", city="string")
BATCH = 10
LOGGER = logging.getLogger("side by side")


@pytest.fixture
def carry(hubspot: Simulator, monkeypatch: pytest.MonkeyPatch) -> Carry:
    """Carry messages into HubSpot, ten records a batch and a call; give the STATEs."""
    monkeypatch.setattr(run_module, "FLUSH_ROWS", BATCH)
    states: list[Any] = []

    def carried(*messages: Any, **settings: Any) -> list[Any]:
        config = {"access_token": TOKEN, "base_url": hubspot.url, "compare": False, **settings}
        mapper = PluginMapper(plugin_config={"stream_maps": {}}, logger=LOGGER)
        run = Run(settings_of(config), mapper, LOGGER, lambda text: states.append(json.loads(text)))
        try:
            run.read(lines(messages).splitlines(keepends=True))
            run.finish(last=True)
        finally:
            run.close()
        return states

    carried.states = states  # type: ignore[attr-defined]
    return carried


def people(first: int, count: int, city: str = "Ulm") -> list[Any]:
    return [record("contacts", email=f"x{first + n}@example.com", city=city) for n in range(count)]


def test_the_next_batch_begins_before_the_one_before_is_answered(
    carry: Carry, hubspot: Simulator, portal: Portal
) -> None:
    hubspot.latency_ms = 200

    states = carry(
        CONTACTS, *people(0, BATCH), state(1), *people(BATCH, BATCH), state(2), *people(99, 1)
    )

    assert hubspot.requests.max_in_flight == 2
    assert states == [1, 2]
    assert [each.action for each in portal.writes].count("created") == 2 * BATCH + 1


def test_records_that_come_again_are_written_in_their_order(
    carry: Carry, hubspot: Simulator, portal: Portal
) -> None:
    hubspot.latency_ms = 20
    towns = [f"town {n}" for n in range(6)]

    carry(CONTACTS, *(each for town in towns for each in people(0, BATCH, town)))

    assert hubspot.requests.max_in_flight == 1
    cities = [
        each.properties["city"]
        for each in portal.truth("contacts").live.values()
        if (each.properties["email"] or "").startswith("x")
    ]
    assert cities == ["town 5"] * BATCH


def test_no_state_passes_a_batch_that_failed(carry: Any, hubspot: Simulator) -> None:
    hubspot.latency_ms = 100
    hubspot.fail(kind="missing_scope", endpoint="batch_upsert", times=1)

    with pytest.raises(HubSpotError):
        carry(CONTACTS, *people(0, BATCH), state(1), *people(BATCH, BATCH), state(2))

    assert carry.states == []


def test_links_keep_to_the_same_number_of_calls(
    carry: Carry, hubspot: Simulator, portal: Portal
) -> None:
    hubspot.latency_ms = 50
    carry(CONTACTS, *people(0, 1))
    deals = [
        record(
            "deals",
            booking=f"{n}",
            dealname="x",
            dealstage="closedwon",
            _associations=[{"to": "contacts", "key": "email", "value": "x0@example.com"}],
        )
        for n in range(12 * BATCH)
    ]
    kinds = dict.fromkeys(("booking", "dealname", "dealstage"), "string")

    carry(schema("deals", ["booking"], **kinds), *deals, batch_size=1)

    assert hubspot.requests.max_in_flight == 4
    made = portal.truth("deals").live
    linked = {each.from_id for each in portal.true_links()}
    assert {key for key, each in made.items() if each.properties["booking"]} <= linked
