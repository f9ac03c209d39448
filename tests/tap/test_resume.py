"""A run that is killed anywhere and started again ends in the same tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirror, Mirroring, Output, config_for, finished, read, run, start
from hubspot_simulator import Portal
from singer_sdk.exceptions import ConfigValidationError
from tap_hubspot_deals.reading.progress import Progress

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from hubspot_simulator import Simulator
    from hubspot_simulator.faults import Kind

    Serve = Callable[..., Simulator]

PAGE = 25
LEGS = 10
LATE = 114
"""Of the 120 pages of 3,000 deals; the tap reads up to 90 of these small pages ahead."""


def heavy(*values: Any) -> Any:
    """A place to be killed at that the default tests leave out."""
    return pytest.param(*values, marks=pytest.mark.heavy)


def killed(
    hubspot: Simulator, folder: Path, config: dict[str, Any], mirror: Mirror, *, nth: int, at: str
) -> Output:
    """A run that ends with kill -9 when the nth request of a kind is answered."""
    processes: list[subprocess.Popen[bytes]] = []
    hubspot.after(nth, lambda: processes[0].kill(), endpoint=at)  # noqa: PLW0108 - not yet there
    processes.append(start(folder, config, state=mirror.state or None))
    output = finished(processes[0])
    assert output.code == -9, output.log
    return output


def until_last_state(output: Output) -> list[str]:
    """The ids of the deals whose STATE came out too."""
    ids: list[str] = []
    kept = 0
    for message in output.messages:
        if message["type"] == "RECORD" and message["stream"] == "deals":
            ids.append(message["record"]["id"])
        if message["type"] == "STATE":
            kept = len(ids)
    return ids[:kept]


@pytest.mark.parametrize("nth", [14, heavy(3), heavy(40), heavy(80), 118])
def test_a_first_read_goes_on_where_it_was_killed(serve: Serve, tmp_path: Path, nth: int) -> None:
    hubspot = serve(Portal.generate(3000, custom_properties=1))
    mirroring = Mirroring(hubspot)
    config = config_for(hubspot, page_size=PAGE)
    output = killed(hubspot, tmp_path, config, mirroring.mirror, nth=nth, at="list")
    done = until_last_state(output)
    mirroring.mirror.take(output)
    again = mirroring.run(page_size=PAGE)
    assert mirroring.differences() == []
    assert len(set(done) & set(again.ids())) <= PAGE * LEGS
    if nth > 100:
        # A page waits until the state says that it is about to go out.
        assert len(again.ids()) <= 2000 + 3 * PAGE
        assert len(done) >= 1000 - 3 * PAGE


@pytest.mark.parametrize("nth", [heavy(1), 9, heavy(17)])
def test_a_filtered_read_goes_on_where_it_was_killed(
    serve: Serve, tmp_path: Path, nth: int
) -> None:
    hubspot = serve(Portal.generate(4000, custom_properties=1))
    mirroring = Mirroring(hubspot)
    settings: dict[str, Any] = {"start_date": "2000-01-01", "properties": ["dealname", "amount"]}
    output = killed(
        hubspot, tmp_path, config_for(hubspot, **settings), mirroring.mirror, nth=nth, at="search"
    )
    done = until_last_state(output)
    mirroring.mirror.take(output)
    again = mirroring.run(**settings)
    assert mirroring.differences(only=["dealname", "amount"]) == []
    assert len(set(done) & set(again.ids())) <= 200


@pytest.mark.parametrize(
    ("nth", "at"), [(4, "search"), heavy(3, "batch_read"), heavy(2, "associations")]
)
def test_an_incremental_read_goes_on_where_it_was_killed(
    serve: Serve, tmp_path: Path, nth: int, at: str
) -> None:
    hubspot = serve(Portal.generate(1500, custom_properties=1))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal
    mirroring.run()
    ids = portal.ids()
    for deal in ids[:1200]:
        portal.change("deals", deal, {"dealname": "changed"})
    portal.archive("deals", ids[1300])
    portal.merge("deals", ids[1301], ids[1302])
    output = killed(hubspot, tmp_path, config_for(hubspot), mirroring.mirror, nth=nth, at=at)
    mirroring.mirror.take(output)
    portal.change("deals", ids[5], {"dealname": "changed while nobody looked"})
    mirroring.run()
    assert mirroring.differences() == []


@pytest.mark.parametrize("nth", [heavy(22), 26, heavy(33)])
def test_archived_deals_go_on_where_they_were_killed(
    serve: Serve, tmp_path: Path, nth: int
) -> None:
    hubspot = serve(Portal.generate(900, archived=400, custom_properties=1))
    mirroring = Mirroring(hubspot)
    config = config_for(hubspot, page_size=PAGE, archived=True)
    output = killed(hubspot, tmp_path, config, mirroring.mirror, nth=nth, at="list")
    done = until_last_state(output)
    mirroring.mirror.take(output)
    portal = mirroring.portal
    restored = portal.ids(archived=True)[0]
    portal.change("deals", portal.ids()[0], {"dealname": "changed"})
    again = mirroring.run(page_size=PAGE, archived=True)
    assert mirroring.differences(all_archived=True) == []
    assert len(set(done) & set(again.ids())) <= PAGE * LEGS + 1
    portal.restore("deals", restored)
    mirroring.run(page_size=PAGE, archived=True)
    assert mirroring.differences(all_archived=True) == []


def test_a_run_killed_again_and_again_comes_to_its_end(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(Portal.generate(2000, archived=200, custom_properties=1))
    mirroring = Mirroring(hubspot)
    config = config_for(hubspot, page_size=PAGE, archived=True)
    for nth in (45, 30, 25):
        hubspot.answer_hooks.clear()
        mirroring.mirror.take(
            killed(hubspot, tmp_path, config, mirroring.mirror, nth=nth, at="list")
        )
    hubspot.answer_hooks.clear()
    mirroring.run(page_size=PAGE, archived=True)
    assert mirroring.differences(all_archived=True) == []


def test_deals_that_vanish_at_a_saved_position_do_not_matter(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(Portal.generate(3000, custom_properties=1))
    mirroring = Mirroring(hubspot)
    config = config_for(hubspot, page_size=PAGE)
    mirroring.mirror.take(killed(hubspot, tmp_path, config, mirroring.mirror, nth=LATE, at="list"))
    progress = mirroring.mirror.state["bookmarks"]["deals"]["partitions"][0]["progress"]
    positions = {leg["after"] for leg in progress["legs"]} | {
        leg["until"] for leg in progress["legs"]
    }
    for deal in sorted(positions & set(mirroring.portal.ids())):
        mirroring.portal.archive("deals", deal)
    mirroring.run(page_size=PAGE)
    assert mirroring.differences() == []


def test_cursors_that_hubspot_forgot_start_the_read_over(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(Portal.generate(3000, custom_properties=1))
    mirroring = Mirroring(hubspot)
    config = config_for(hubspot, page_size=PAGE)
    mirroring.mirror.take(killed(hubspot, tmp_path, config, mirroring.mirror, nth=LATE, at="list"))
    mirroring.portal.behaviour.opaque_cursors = True
    mirroring.run(page_size=PAGE)
    assert mirroring.differences() == []


def test_cursors_that_lead_elsewhere_lose_nothing(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(Portal.generate(3000, custom_properties=1))
    mirroring = Mirroring(hubspot)
    config = config_for(hubspot, page_size=PAGE)
    mirroring.mirror.take(killed(hubspot, tmp_path, config, mirroring.mirror, nth=LATE, at="list"))
    mirroring.portal.behaviour.opaque_cursors = True
    mirroring.portal.behaviour.bare_cursor_restarts = True
    mirroring.run(page_size=PAGE)
    assert mirroring.differences() == []


def test_an_unfinished_run_that_asked_for_something_else_is_not_continued(
    serve: Serve, tmp_path: Path
) -> None:
    hubspot = serve(Portal.generate(3000, custom_properties=1))
    mirroring = Mirroring(hubspot)
    config = config_for(hubspot, page_size=PAGE, associations=["contacts"])
    mirroring.mirror.take(killed(hubspot, tmp_path, config, mirroring.mirror, nth=LATE, at="list"))
    mirroring.run(page_size=PAGE)
    assert mirroring.differences() == []


def test_versions_survive_a_kill(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(Portal.generate(3000, custom_properties=1))
    mirroring = Mirroring(hubspot)
    settings: dict[str, Any] = {"page_size": PAGE, "emit_activate_version_messages": True}
    config = config_for(hubspot, **settings)
    output = killed(hubspot, tmp_path, config, mirroring.mirror, nth=LATE, at="list")
    mirroring.mirror.take(output)
    again = mirroring.run(**settings)
    versions = {m["version"] for o in (output, again) for m in o.of("RECORD", "deals")}
    assert len(versions) == 1
    assert mirroring.differences() == []


def test_every_state_is_one_to_go_on_from(serve: Serve) -> None:
    hubspot = serve(Portal.generate(700, archived=150, custom_properties=1))
    whole = read(config_for(hubspot, page_size=20, archived=True))
    states = [i for i, m in enumerate(whole.messages) if m["type"] == "STATE"]
    assert len(states) > 15
    for position in states[::6]:
        mirroring = Mirroring(hubspot)
        mirroring.mirror.take(Output(whole.messages[: position + 1]))
        again = mirroring.run(page_size=20, archived=True)
        assert mirroring.differences(all_archived=True) == []
        done = set(Output(whole.messages[: position + 1]).ids())
        recent = set(mirroring.portal.ids(archived=True))  # archived within the look-back
        assert not (done & set(again.ids())) - recent


@pytest.mark.parametrize("kind", ["status", "daily"])
@pytest.mark.parametrize("nth", [3, heavy(5)])
def test_deals_whose_links_could_not_be_read_are_not_passed_over(
    serve: Serve, tmp_path: Path, kind: Kind, nth: int
) -> None:
    """The links of the deals behind them were read: they must wait all the same."""
    hubspot = serve(Portal.generate(2500, custom_properties=0))
    hubspot.fail(kind, status=400, endpoint="associations", nth=nth)
    mirroring = Mirroring(hubspot)
    output = mirroring.mirror.take(run(tmp_path, config_for(hubspot, properties=["dealname"])))
    assert output.code == 1
    hubspot.heal()
    mirroring.run(properties=["dealname"])
    assert mirroring.differences(only=["dealname"]) == []


@pytest.mark.parametrize("change", [{"phase": "dead"}, {"legs": None}, {"of another version": 1}])
def test_an_unfinished_run_that_cannot_be_understood_is_read_again(
    mirroring: Mirroring, change: dict[str, Any]
) -> None:
    mirroring.run()
    bookmark = mirroring.mirror.state["bookmarks"]["deals"]["partitions"][0]
    progress = vars(Progress("full", "2026-01-01T00:00:00Z", 1))
    bookmark["progress"] = {**progress, "selection": bookmark["selection"], **change}
    deal = mirroring.portal.ids()[3]
    mirroring.portal.change("deals", deal, {"dealname": "changed"})
    mirroring.hubspot.advance(2)
    assert mirroring.run().ids() == [deal]
    assert mirroring.differences() == []


@pytest.mark.parametrize("name", ["replication_key_value", "full_read_at"])
@pytest.mark.parametrize("value", ["yesterday", 5, ""])
def test_a_bookmark_that_is_no_time_is_named(mirroring: Mirroring, name: str, value: Any) -> None:
    mirroring.run()
    mirroring.mirror.state["bookmarks"]["deals"]["partitions"][0][name] = value
    with pytest.raises(ConfigValidationError) as raised:
        mirroring.run()
    assert name in raised.value.errors[0]
    assert repr(value) in raised.value.errors[0]


def test_a_bookmark_ahead_of_hubspots_clock_is_not_trusted(mirroring: Mirroring) -> None:
    hubspot, portal = mirroring.hubspot, mirroring.portal
    hubspot.advance(7200)
    mirroring.run()
    hubspot.advance(-7200)
    changed, archived = portal.ids()[3:5]
    portal.change("deals", changed, {"dealname": "changed"})
    portal.archive("deals", archived)
    mirroring.run()
    assert mirroring.differences() == []
