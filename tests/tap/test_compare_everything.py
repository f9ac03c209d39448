"""What no modified date tells, in an account of more than 1,000 records, and told by each run."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring, config_for, tried
from hubspot_simulator import Portal
from tap_hubspot_deals.ending import NotComparedError
from tap_hubspot_deals.reading import holdings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]

LIVE, ARCHIVED = 1400, 450
ASKED: dict[str, Any] = {"properties": ["dealname"], "archived": True}
ALL: dict[str, Any] = {**ASKED, "compare_everything": True}


@pytest.fixture
def large(serve: Serve) -> Mirroring:
    """A mirror of an account whose links and archived deals take more than one turn."""
    hubspot = serve(Portal.generate(LIVE + ARCHIVED, archived=ARCHIVED, custom_properties=0))
    return Mirroring(hubspot)


def restore_beside_a_deletion(portal: Portal) -> None:
    """A deal is restored while its neighbour is purged: no count tells of it."""
    portal.delete("deals", portal.ids()[0])
    portal.restore("deals", portal.ids(archived=True)[-1])


def change_without_a_trace(portal: Portal) -> None:
    """Links come and go, and archived deals are purged."""
    ids, archived = portal.ids(), portal.ids(archived=True)
    contact = portal.ids("contacts")[0]
    for deal in ids[5::200]:
        for link in portal.true_links("deals", "companies"):
            if link.from_id == deal:
                portal.unlink("deals", deal, "companies", link.to_id)
        portal.link("deals", deal, "contacts", contact)
    for deal in archived[7::60]:
        portal.delete("deals", deal)


def paid(hubspot: Simulator) -> int:
    """Requests for deals and their links, those of discovery aside."""
    requests = hubspot.requests.all()
    first = next(i for i, r in enumerate(requests) if r.endpoint in {"list", "search"})
    wanted = {"list", "search", "batch_read", "associations"}
    return sum(r.endpoint in wanted for r in requests[first:])


def test_every_change_without_a_trace_is_told_by_the_next_run(large: Mirroring) -> None:
    large.run(**ALL)
    change_without_a_trace(large.portal)
    restore_beside_a_deletion(large.portal)
    large.run(**ALL)

    assert large.differences(only=["dealname"], all_archived=True) == []
    links = large.mirror.rows("associations")
    gone = [r for r in links if r["removed_at"] and r["to_object_type"] == "companies"]
    assert len(gone) >= len(large.portal.ids()[5::200])

    large.hubspot.requests.clear()
    assert large.run(**ALL).ids() == []
    lists = ceil(LIVE / 100) + 2 * ceil(ARCHIVED / 100)  # archived ones by id, and the bin
    assert paid(large.hubspot) <= lists + 2 * ceil(LIVE / 1000) + 10


def test_without_it_a_run_compares_some_in_turn_and_tells_when_all_had_theirs(
    large: Mirroring, caplog: pytest.LogCaptureFixture
) -> None:
    large.run(**ASKED)
    change_without_a_trace(large.portal)
    with caplog.at_level("INFO"):
        large.run(**ASKED)

    assert large.differences(only=["dealname"], all_archived=True)
    assert "at all within 2 runs or by a full read" in caplog.text
    summary = [vars(each)["summary"] for each in caplog.records if "summary" in vars(each)][-1]
    left = {"links_of": LIVE - 1000, "archived": ARCHIVED - 300}
    assert summary["not_compared"] == {"deals": left}
    state = large.mirror.state["bookmarks"]["deals"]["partitions"][0]
    assert summary["compared_since"]["deals"] == state["compared_since"]
    assert state["compared_since"].keys() == left.keys()
    assert max(state["compared_since"].values()) < state["replication_key_value"]
    large.run(**ASKED)
    assert large.differences(only=["dealname"], all_archived=True) == []


def test_what_cannot_be_compared_ends_the_run_after_everything_is_written(
    large: Mirroring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "LINK_LIMIT_OF_ALL", 3)
    output, failure = tried(config_for(large.hubspot, **ALL))
    large.mirror.take(output)

    assert isinstance(failure, NotComparedError)
    assert str({"links_of": LIVE}).replace("'", '"') in str(failure)
    assert large.differences(only=["dealname"], all_archived=True) == []
    assert "replication_key_value" in output.state["bookmarks"]["deals"]["partitions"][0]


def test_turned_on_it_reads_everything_once_and_keeps_the_links_again(
    large: Mirroring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "LINK_LIMIT", 3)
    large.run(**ASKED)
    output = large.run(**ALL)
    assert len(output.ids()) == LIVE + ARCHIVED

    deal = large.portal.ids()[-1]
    change_without_a_trace(large.portal)
    output = large.run(**ALL)
    assert 0 < len(output.ids()) < 50
    assert large.differences(only=["dealname"], all_archived=True) == []
    assert deal not in output.ids()
