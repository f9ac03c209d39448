"""What a run costs: requests, memory, and what its summary says about them."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import TAP, Mirroring, config_for, read, run
from hubspot_simulator import Portal
from tap_hubspot_deals.reading import holdings
from tap_hubspot_deals.reading.holdings import LINK_LIMIT, Holdings
from tap_hubspot_deals.reading.packing import Mark

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]

METADATA = ("properties", "pipelines", "owners", "labels", "account")


def paid(hubspot: Simulator) -> int:
    """The requests besides metadata, which end with the first look at the deals themselves."""
    requests = hubspot.requests.all()
    first = next(i for i, r in enumerate(requests) if r.endpoint in {"list", "search"})
    return sum(r.endpoint not in METADATA for r in requests[first:])


def forty(portal: Portal) -> list[str]:
    """The names of 40 properties, the size of a record that the memory is promised for."""
    return [d.name for d in portal.records("deals").definitions.all()][:40]


def minimum(deals: int, *, links: int, archived: int = 0) -> int:
    """The requests that the API needs at the least for a full read."""
    lists = math.ceil(deals / 100) + math.ceil(archived / 100)
    return lists + links * math.ceil(deals / 1000)


@pytest.mark.parametrize("deals", [900, 5000, 10_000])
def test_a_full_read_needs_hardly_more_requests_than_the_least(serve: Serve, deals: int) -> None:
    hubspot = serve(Portal.generate(deals, custom_properties=0))
    mirroring = Mirroring(hubspot)
    output = mirroring.run(properties=["dealname"])
    assert len(output.ids()) == deals
    # One request counts what there is, one sweeps the recycle bin.
    assert paid(hubspot) <= 1.15 * minimum(deals, links=2) + 2


def test_states_are_a_small_part_of_what_goes_out(serve: Serve) -> None:
    hubspot = serve(Portal.generate(5000, custom_properties=0, archived=50))
    output = read(config_for(hubspot, properties=["dealname"]))
    sizes = {"STATE": [0], "RECORD": [0]}
    for message in output.messages:
        sizes.setdefault(message["type"], []).append(len(json.dumps(message)))
    states = sizes["STATE"]
    assert len(states) > 10
    # The last ones come whatever went before: of pipelines, properties, deals and owners.
    assert sum(states) - 3 * max(states) < sum(sizes["RECORD"]) / 12


def test_an_incremental_run_over_a_large_portal_costs_few_requests(serve: Serve) -> None:
    hubspot = serve(Portal.generate(12_000, custom_properties=0, archived=250))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal
    settings: dict[str, Any] = {"properties": ["dealname"]}
    mirroring.run(**settings)
    for deal in portal.ids()[:10_000:20]:
        portal.change("deals", deal, {"dealname": "changed"})
    hubspot.requests.clear()
    output = mirroring.run(**settings)
    assert len(set(output.ids()) & set(portal.ids())) == 500
    assert mirroring.differences(only=["dealname"]) == []
    assert paid(hubspot) < 30


def state_of_all(serve: Serve, hubspot: Simulator, **settings: Any) -> dict[str, Any]:
    """The state that a whole read of a portal would leave, without reading it.

    It comes from a small portal, but for what went out, which the tap's own code packs.
    """
    small = serve(Portal.generate(50, custom_properties=0))
    state = read(config_for(small, **settings)).state
    held = Holdings()
    portal = hubspot.portals[0]
    held.take(Mark(int(i), "live") for i in portal.ids())
    if settings.get("archived"):
        held.take(Mark(int(i), "archived") for i in portal.ids(archived=True))
    if len(held.live) > LINK_LIMIT:
        held.links = None
    state["bookmarks"]["deals"]["partitions"][0]["held"] = held.pack()
    return state


def cost_of_changes(serve: Serve, deals: int) -> tuple[int, float]:
    """The requests and seconds in which a portal of so many deals gives its 500 changed ones."""
    hubspot = serve(Portal.generate(deals, custom_properties=0, archived=250))
    portal = hubspot.portals[0]
    settings: dict[str, Any] = {"properties": ["dealname"], "associations": []}
    state = state_of_all(serve, hubspot, **settings)
    changed = portal.ids()[:: deals // 600][:500]
    for deal in changed:
        portal.change("deals", deal, {"dealname": "changed"})
    began = time.monotonic()
    output = read(config_for(hubspot, **settings), state=state)
    seconds = time.monotonic() - began
    records = {r["id"]: r for r in output.records()}
    assert records.keys() == set(changed)
    assert {r["dealname"] for r in records.values()} == {"changed"}
    return paid(hubspot), seconds


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_an_incremental_run_costs_the_same_in_a_portal_of_a_million(serve: Serve) -> None:
    costs = {n: cost_of_changes(serve, n) for n in (2000, 1_000_000)}
    print("".join(f"\n{n:,} deals: {r} requests, {s:.1f} s" for n, (r, s) in costs.items()))
    assert costs[1_000_000][0] == costs[2000][0] < 30


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "settings", [{}, {"created_from": "2000-01-01"}, {"archived": True}], ids=str
)
def test_an_idle_run_over_a_million_deals_costs_fifteen_requests(
    serve: Serve, settings: dict[str, Any]
) -> None:
    hubspot = serve(Portal.generate(1_100_000, custom_properties=0, archived=100_000))
    settings = {"properties": ["dealname"], **settings}
    state = state_of_all(serve, hubspot, **settings)
    began = time.monotonic()
    output = read(config_for(hubspot, **settings), state=state)
    seconds = time.monotonic() - began
    states, size = len(output.of("STATE")), len(json.dumps(output.state))
    print(f"\n{paid(hubspot)} requests, {states} STATEs of {size:,} bytes, {seconds:.1f} s")
    assert output.ids() == []
    assert paid(hubspot) <= 15
    assert states <= 1 + 6  # the one at its start, and one a stream


def test_a_run_with_nothing_to_do_lists_a_small_portal_and_its_links(mirroring: Mirroring) -> None:
    mirroring.run()
    mirroring.hubspot.requests.clear()
    output = mirroring.run()
    # A search for changes, a count, three pages of ids, the links to two types.
    assert paid(mirroring.hubspot) == 7
    assert len(output.of("STATE")) <= 1 + 6  # the one at its start, and one a stream


def test_a_run_with_nothing_to_do_counts_a_large_portal(serve: Serve) -> None:
    hubspot = serve(Portal.generate(12_000, custom_properties=0, archived=1200))
    mirroring = Mirroring(hubspot)
    settings: dict[str, Any] = {"properties": ["dealname"], "archived": True}
    mirroring.run(**settings)
    hubspot.requests.clear()
    output = mirroring.run(**settings)
    assert output.ids() == []
    assert paid(hubspot) <= 15
    assert len(output.of("STATE")) <= 1 + 6
    hubspot.requests.clear()
    assert mirroring.run(properties=["dealname"], archived=True).ids() == []


def test_a_few_deals_gone_from_a_large_portal_are_found_by_counting(serve: Serve) -> None:
    hubspot = serve(Portal.generate(12_000, custom_properties=0, contacts_per_deal=0))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal
    settings: dict[str, Any] = {"properties": ["dealname"]}
    mirroring.run(**settings)
    ids = portal.ids()
    portal.delete("deals", ids[5000])
    portal.archive("deals", ids[9000])
    hubspot.requests.clear()
    output = mirroring.run(**settings)
    assert sorted(output.ids()) == [ids[5000], ids[9000]]
    assert mirroring.differences(only=["dealname"]) == []
    assert paid(hubspot) < 60


def test_small_pages_do_not_multiply_association_requests(serve: Serve) -> None:
    hubspot = serve(Portal.generate(2000, custom_properties=0))
    Mirroring(hubspot).run(properties=["dealname"], page_size=20)
    large = [r for r in hubspot.requests.all(endpoint="associations") if r.summary["inputs"] > 1]
    assert len(large) <= 2 * 3


def summary_of(log: str) -> dict[str, Any]:
    """The run's summary out of the log."""
    line = next(each for each in log.splitlines() if "Run summary: " in each)
    found: dict[str, Any] = json.loads(line.partition("Run summary: ")[2])
    return found


def test_a_run_ends_with_a_summary(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(Portal.generate(300))
    hubspot.fail("secondly", endpoint="list", nth=2, retry_after=0.1)
    output = run(tmp_path, config_for(hubspot))
    assert output.code == 0
    summary = summary_of(output.log)
    assert summary["records"]["deals"] == 300
    assert summary["records"]["associations"] == len(output.records("associations"))
    assert summary["records"]["owners"] == len(output.records("owners"))
    assert sum(summary["requests"].values()) == len(hubspot.requests)
    assert summary["requests"]["associations"] == hubspot.requests.count(endpoint="associations")
    assert summary["answered_429"] == {"list": 1}
    assert summary["retries"] == 1
    bookmark = output.state["bookmarks"]["deals"]["partitions"][0]["replication_key_value"]
    assert summary["bookmarks"]["deals"] == {"from": None, "to": bookmark}


def test_a_run_tells_what_it_could_not_compare(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hubspot = serve(Portal.generate(1900, archived=500, custom_properties=0))
    mirroring = Mirroring(hubspot)
    asked: dict[str, Any] = {"properties": ["dealname"], "archived": True}
    mirroring.run(**asked)
    output = run(tmp_path, config_for(hubspot, **asked), state=mirroring.mirror.state)
    assert summary_of(output.log)["not_compared"] == {"deals": {"links_of": 400, "archived": 200}}
    bookmark = output.state["bookmarks"]["deals"]["partitions"][0]
    read_at = bookmark["full_read_at"]
    ids = {a: [int(i) for i in hubspot.portals[0].ids(archived=a)] for a in (False, True)}
    since = {"links_of": read_at, "archived": read_at}
    assert bookmark["compared_since"] == since
    assert summary_of(output.log)["compared_since"] == {"deals": since}
    links, archived = ids[False][:1000], ids[True][:300]
    assert (
        f"the links of 400 deals, all but ids {links[0]} to {links[-1]}, compared at {read_at} or "
        f"later and the presence of 200 archived deals, all but ids {archived[0]} to "
        f"{archived[-1]}, compared at {read_at} or later. Each run"
    ) in output.log
    assert mirroring.run(**asked, associations=[]).ids()  # read whole, so compared whole
    with caplog.at_level("INFO"):
        mirroring.run(properties=["dealname"], associations=[])
    assert "Not compared" not in caplog.text
    monkeypatch.setattr(holdings, "LINK_LIMIT", 3)
    for _ in ("all", "what changed"):
        caplog.clear()
        with caplog.at_level("INFO"):
            mirroring.run(properties=["dealname"])
        (told,) = [r for r in caplog.records if "Not compared" in r.message]
        assert vars(told)["not_compared"]["links_of"] == 1400
        assert "those that are gone get no `removed_at`" in told.message


def test_a_run_that_fails_has_a_summary_too(hubspot: Simulator, tmp_path: Path) -> None:
    hubspot.fail("status", status=400, endpoint="list")
    output = run(tmp_path, config_for(hubspot))
    assert output.code == 1
    assert summary_of(output.log)["requests"]["list"] == 1


def peak_memory(folder: Path, config: dict[str, Any], *, pause: float = 0.0) -> tuple[int, int]:
    """The peak resident set of a run in megabytes, and how many lines it wrote."""
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    peak = lines = 0
    with subprocess.Popen(
        [TAP, "--config", str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        status = Path(f"/proc/{process.pid}/status")
        while chunk := process.stdout.read(1 << 18):
            lines += chunk.count(b"\n")
            # The rusage of a child begins with what its parent had when it forked.
            high = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
            peak = max(peak, int(high[1]) // 1024 if high else 0)
            time.sleep(pause)
    assert process.returncode == 0
    return peak, lines


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.heavy
@linux
def test_memory_is_flat_in_the_number_of_deals(serve: Serve, tmp_path: Path) -> None:
    """With all properties and two kinds of links, at any number."""
    peaks = []
    for deals in (20_000, 100_000):
        hubspot = serve(Portal.generate(deals))
        peak, lines = peak_memory(tmp_path, config_for(hubspot))
        assert lines > 3 * deals
        peaks.append(peak)
    assert max(peaks) < 80, peaks
    assert peaks[1] - peaks[0] < 5, peaks


@pytest.mark.heavy
@linux
@pytest.mark.parametrize("settings", [{}, {"created_from": "2000-01-01"}], ids=["list", "search"])
def test_memory_is_flat_in_the_width_of_deals(
    serve: Serve, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Nine hundred properties, a hundred and fifty of them with long texts: 70 KB a deal."""
    portal = Portal.generate(2000, custom_properties=900)
    texts = [
        d.name
        for d in portal.records("deals").definitions.all()
        if d.name.startswith("custom_") and d.type == "string"
    ][:150]
    for deal in portal.ids():
        portal.change("deals", deal, dict.fromkeys(texts, f"{deal} wörter und mehr " * 13))
    hubspot = serve(portal, latency_ms=20)
    peak, lines = peak_memory(tmp_path, config_for(hubspot, **settings))
    assert lines > 2000
    assert peak < 120, peak


@pytest.mark.heavy
@linux
def test_memory_is_flat_in_the_number_of_archived_deals(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(Portal.generate(65_000, custom_properties=0, archived=60_000))
    peak, lines = peak_memory(tmp_path, config_for(hubspot, archived=True))
    assert lines > 65_000
    assert peak < 75


@pytest.mark.heavy
@linux
def test_a_slow_reader_does_not_make_the_tap_grow(serve: Serve, tmp_path: Path) -> None:
    hubspot = serve(Portal.generate(20_000))
    peak, _ = peak_memory(
        tmp_path, config_for(hubspot, properties=forty(hubspot.portals[0])), pause=0.03
    )
    assert peak < 80
