"""What went out before a kill, unknown to any state, and vanished before the next run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring, Output, config_for, output_of, read
from hubspot_simulator import Portal
from tap_hubspot_deals.streams import feeding

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]

ASKED: dict[str, Any] = {"properties": ["dealname"], "associations": []}


def partition(state: dict[str, Any]) -> dict[str, Any]:
    """The bookmark of the deals."""
    found: dict[str, Any] = state["bookmarks"]["deals"]["partitions"][0]
    return found


def cut_behind_what_a_state_knows(content: bytes) -> tuple[bytes, list[str]]:
    """A run's output up to its third STATE in the deals, and the last ids before that."""
    lines = content.splitlines(keepends=True)
    told = [n for n, line in enumerate(lines) if b'"STATE"' in line and b'"progress"' in line]
    cut = b"".join(lines[: told[2]])
    return cut, output_of(b"".join(lines[told[1] : told[2]])).ids()[-50:]


def test_deals_that_vanished_before_the_next_run_are_told(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feeding, "SMALL_STATE", 0)
    monkeypatch.setattr(feeding, "DATA_PER_STATE", 100)
    hubspot = serve(Portal.generate(2500, custom_properties=0))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal
    content, unknown = cut_behind_what_a_state_knows(read(config_for(hubspot, **ASKED)).content)
    mirroring.mirror.take(output_of(content))
    known = partition(mirroring.mirror.state)
    archived, merged, deleted = unknown[10], unknown[20], unknown[30]
    portal.archive("deals", archived)
    survivor = portal.merge("deals", portal.ids()[-1], merged)
    portal.delete("deals", deleted)
    with caplog.at_level("WARNING"):
        mirroring.run(**ASKED)

    rows = mirroring.mirror.deals()
    assert known["doubtful_since"] == known["progress"]["started_at"]
    assert {archived, merged, deleted} <= rows.keys()
    assert rows[archived]["archived"] is True
    assert rows[merged]["merged_into"] == survivor
    assert mirroring.differences(only=["dealname"], links_to=[]) == [
        f"deal {deleted} is in the tables only"
    ]
    assert "those of them that were deleted for good since may be left" in caplog.text

    caplog.clear()
    mirroring.run(**ASKED)
    assert "deleted for good" not in caplog.text
    assert "doubtful_since" not in partition(mirroring.mirror.state)


def test_a_run_that_comes_to_its_end_leaves_no_doubt(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "SMALL_STATE", 0)
    output = read(config_for(serve(Portal.generate(900, custom_properties=0)), **ASKED))

    assert "doubtful_since" not in partition(output.state)


@pytest.mark.parametrize("kills", [1, 2])
@pytest.mark.parametrize("edit", ["restore", "link"])
def test_what_only_a_comparison_finds_goes_out_after_a_kill_before_it(
    serve: Serve, edit: str, kills: int
) -> None:
    """No search finds it again: a restore and a link move no modified date."""
    hubspot = serve(Portal.generate(12, contacts=8, custom_properties=0, archived=1))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal
    mirroring.run()
    if edit == "restore":
        (deal,) = portal.ids("deals", archived=True)
        portal.restore("deals", deal)
    else:
        deal = portal.ids()[3]
        linked = {str(contact) for contact in portal.live_links("deals", int(deal), "contacts")}
        other = next(contact for contact in portal.ids("contacts") if contact not in linked)
        portal.link("deals", deal, "contacts", other)
    for _ in range(kills):
        hubspot.advance(3600)
        output = read(config_for(hubspot), state=mirroring.mirror.state)
        mirroring.mirror.take(cut_before_records_of(deal, output.content))
        assert mirroring.differences() != []
    hubspot.advance(3600)
    mirroring.run()

    assert mirroring.differences() == []


def cut_before_records_of(deal: str, content: bytes) -> Output:
    """A run's output up to the first record that names a deal."""
    lines = content.splitlines(keepends=True)
    named = (n for n, line in enumerate(lines) if b'"RECORD"' in line and deal.encode() in line)
    return output_of(b"".join(lines[: next(named)]))
