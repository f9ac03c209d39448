"""Killed at any moment and run again: one record a key, all links, nothing lost."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import lines, record, schema, state

if TYPE_CHECKING:
    import subprocess

    from hubspot_simulator import Portal, Simulator

    from .conftest import Target

CONTACTS = schema("contacts", ["email"], email="string", city="string")
DEALS = schema("deals", ["booking"], booking="string", dealname="string", dealstage="string")
COUNT = 250


def messages() -> list[dict[str, Any]]:
    contacts = [record("contacts", email=f"c{n}@example.com", city=f"{n}") for n in range(COUNT)]
    deals = [
        record(
            "deals",
            booking=f"B{n}",
            dealname=f"{n}",
            dealstage="closedwon",
            _associations=[{"to": "contacts", "key": "email", "value": f"c{n}@example.com"}],
        )
        for n in range(COUNT)
    ]
    return [CONTACTS, *contacts, state(1), DEALS, *deals, state(2)]


def whole(portal: Portal) -> None:
    """Assert that everything is there, once."""
    contacts = portal.truth("contacts").live
    cities = [
        (each.properties["email"], each.properties["city"])
        for each in contacts.values()
        if (each.properties["email"] or "").startswith("c")
    ]
    assert sorted(cities) == sorted((f"c{n}@example.com", f"{n}") for n in range(COUNT))
    deals = {
        key: each.properties["booking"]
        for key, each in portal.truth().live.items()
        if each.properties["booking"]
    }
    assert sorted(map(str, deals.values())) == sorted(f"B{n}" for n in range(COUNT))
    links = {
        (deals[each.from_id], contacts[each.to_id].properties["email"])
        for each in portal.true_links()
        if each.from_id in deals
    }
    assert links == {(f"B{n}", f"c{n}@example.com") for n in range(COUNT)}
    assert [each.action for each in portal.writes].count("created") == 2 * COUNT


def end_at(hubspot: Simulator, process: subprocess.Popen[bytes], nth: int, by: int) -> None:
    """Send a signal when the nth request is made up and not yet answered."""
    seen = 0

    def count(_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == nth:
            process.send_signal(by)

    hubspot.answer_hooks.append(count)


QUICK = {2, 5, 8, 12}


@pytest.mark.parametrize(
    "nth",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.heavy) for n in range(1, 20)],
)
def test_killed_at_any_request_and_run_again(
    target: Target, hubspot: Simulator, portal: Portal, nth: int
) -> None:
    with target.start() as process:
        end_at(hubspot, process, nth, signal.SIGKILL)
        process.communicate(lines(messages()))
    hubspot.answer_hooks.clear()

    again = target(*messages())

    assert (process.returncode in {-signal.SIGKILL, 0}, again.status) == (True, 0)
    assert again.states[-1] == 2
    whole(portal)


def test_ended_by_a_signal_it_finishes_its_batch_and_says_so(
    target: Target, hubspot: Simulator, portal: Portal
) -> None:
    with target.start() as process:
        assert process.stdin is not None
        end_at(hubspot, process, 2, signal.SIGTERM)
        process.stdin.write(lines(messages()[: COUNT + 3]))
        process.stdin.flush()
        # The input stays open: only the signal ends the run.
        assert process.wait(60) == 128 + signal.SIGTERM
        assert process.stdout is not None
        states = process.stdout.read()
    hubspot.answer_hooks.clear()

    assert states.strip() in {b"1", b""}
    assert target(*messages()).status == 0
    whole(portal)
