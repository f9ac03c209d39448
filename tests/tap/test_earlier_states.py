"""States of versions before this one: a run goes on from them, or says what they do not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring, config_for, tried
from tap_hubspot_deals.ending import NotComparedError

if TYPE_CHECKING:
    from hubspot_simulator import Simulator

WARNING = "does not say which deals earlier runs sent"


@pytest.fixture(name="earlier")
def _earlier(mirroring: Mirroring) -> Mirroring:
    """A mirror whose bookmark knows a time and a selection alone; a deal was purged since."""
    mirroring.run()
    for partition in partitions(mirroring):
        known = ("context", "replication_key", "replication_key_value", "full_read_at", "version")
        for name in partition.keys() - known:
            del partition[name]
        partition["selection"] = "0123456789abcdef"
    mirroring.portal.delete("deals", mirroring.portal.ids()[3])
    return mirroring


def partitions(mirroring: Mirroring) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = mirroring.mirror.state["bookmarks"]["deals"]["partitions"]
    return found


def test_what_no_state_tells_is_told_once(
    earlier: Mirroring, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for warns in (True, False):
        caplog.clear()
        earlier.run()
        assert (WARNING in caplog.text) is warns
        assert ('"not_compared": {"deals": {"earlier_runs": 1}}' in caplog.text) is warns

    assert len(earlier.differences()) > 0
    earlier.run(emit_activate_version_messages=True, full_refresh_hours=0)
    assert earlier.differences() == []


def test_versions_clear_what_no_state_tells(
    earlier: Mirroring, caplog: pytest.LogCaptureFixture
) -> None:
    earlier.run(emit_activate_version_messages=True)

    assert WARNING not in caplog.text
    assert earlier.differences() == []


def test_who_compares_everything_is_told_by_the_end_of_the_run(
    hubspot: Simulator, earlier: Mirroring
) -> None:
    config = config_for(hubspot, compare_everything=True)
    _, failure = tried(config, state=earlier.mirror.state)

    assert isinstance(failure, NotComparedError)


def test_a_first_run_has_nothing_before_it(
    mirroring: Mirroring, caplog: pytest.LogCaptureFixture
) -> None:
    mirroring.run()

    assert WARNING not in caplog.text
