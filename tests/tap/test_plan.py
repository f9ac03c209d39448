"""A plan tells what a run will ask of HubSpot, and a reserve keeps it from starting."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from harness.meltano import BIN, ROOT, Project
from harness.singer import config_for, discover, read, run, select, signals_kept, start, tried
from hubspot_client import budgets
from hubspot_client.errors import DailyReserveError
from hubspot_simulator import Behaviour, Portal, RateLimits
from tap_hubspot_deals.planning.telling import FAMILIES
from tap_hubspot_deals.tap import TapHubspotDeals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]

ENDPOINTS = {"batch_read": "batch read"}
"""What the simulator calls a family otherwise than the client."""


@dataclass
class Planned:
    """What a plan says beside what the simulator counted."""

    plan: dict[str, Any]
    hubspot: Simulator

    def run(self, which: str, config: dict[str, Any], state: Any = None) -> dict[str, Any]:
        """Carry out what was planned; gives the state."""
        planned = self.plan[which]
        self.hubspot.requests.clear()
        output = read(config, state=state)
        found = dict.fromkeys(planned["families"], 0)
        for endpoint, number in self.hubspot.requests.counts("endpoint").items():
            family = ENDPOINTS.get(str(endpoint), str(endpoint))
            found[FAMILIES.get(family, "metadata")] += number
        counted = sum(found.values())
        print(f"\n{which}: planned {planned['requests']}, counted {counted}")
        # Small runs are a few requests off at the most, whatever their part.
        allowed = max(2, 0.05 * counted)
        assert abs(planned["requests"] - counted) <= allowed, (planned, found)
        return output.state


def plan(
    hubspot: Simulator, config: dict[str, Any], state: dict[str, Any] | None = None
) -> Planned:
    """The plan of a tap in this process."""
    with signals_kept():
        tap = TapHubspotDeals(config=config, state=json.loads(json.dumps(state)) if state else None)
        try:
            return Planned(json.loads(tap.plan("json")), hubspot)
        finally:
            tap.finish()


def told(folder: Path, config: dict[str, Any], *arguments: str, **options: Any) -> str:
    """What the command says."""
    process = start(folder, config, "--plan", *arguments, **options)
    content, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    return content.decode()


def generated(rng: Random, most: int) -> tuple[Portal, dict[str, Any]]:
    """A portal by chance, and settings to read it with."""
    deals = rng.choice([n for n in (0, 60, 250, 700, 1500, 4000, 9000) if n <= most])
    sizes = [n for n in (0, 30, 300, 1500) if n <= most]
    counts = {t: rng.choice(sizes) for t in rng.sample(["tickets", "calls", "notes"], 2)}
    portal = Portal.generate(
        deals,
        seed=rng.randrange(1000),
        contacts_per_deal=rng.randrange(5),
        companies_per_deal=rng.randrange(3),
        custom_properties=rng.choice([0, 9, 60, 400] if most > 1500 else [0, 60]),
        archived=min(deals // 3, rng.choice([0, 30, 450, 2000])),
        counts=counts,
        behaviour=Behaviour(association_page=rng.choice([1, 2, 5, 500])),
    )
    filters: dict[str, str] = rng.choice(
        [
            {},
            {},
            {"pipeline": "default"},
            {"created_from": "2024-09-01"},
            {"created_until": "2025-02-01"},
        ]
    )
    # Nobody knows of links to deals that are gone, where those deals never were asked for.
    links = [[], ["contacts"], ["contacts"] if filters else ["contacts", "deals"]]
    objects = [{"name": t, "associations": rng.choice(links)} for t in counts]
    settings: dict[str, Any] = {
        "objects": [{"name": "deals"}, *objects[: rng.randrange(3)]],
        "archived": rng.random() < 0.5,
        "page_size": rng.choice([100, 100, 50]),
        "history": rng.choice([[], ["amount"]]),
        "properties": rng.choice([[], ["dealname", "amount"]]),
        "compare_everything": rng.random() < 0.25,
        **filters,
    }
    return portal, settings


def live(portal: Portal, rng: Random) -> None:
    """Let things happen to some deals."""
    ids = portal.ids()
    for deal in rng.sample(ids, int(len(ids) * rng.choice([0, 0.01, 0.2]))):
        portal.change("deals", deal, {"dealname": "changed"})
    for deal in rng.sample(ids, min(len(ids), rng.choice([0, 3, 30]))):
        portal.archive("deals", deal)
    for _ in range(rng.choice([0, 3, 250])):
        values = {"dealname": "new", "pipeline": "default", "dealstage": "appointmentscheduled"}
        deal = portal.create("deals", values)
        for contact in portal.live_links("deals", int(rng.choice(ids)), "contacts") if ids else ():
            portal.link("deals", deal, "contacts", contact)


def check(serve: Serve, seed: int, most: int) -> None:
    """Plan and carry out a first run, one after it, and one without state over what there is."""
    rng = Random(seed)
    portal, settings = generated(rng, most)
    hubspot = serve(portal)
    config = config_for(hubspot, **settings)
    state = plan(hubspot, config).run("next_run", config)
    live(portal, rng)
    planned = plan(hubspot, config, state)
    planned.run("next_run", config, state)
    planned.run("full_run", config)


@pytest.mark.parametrize("seed", range(6))
def test_a_plan_tells_the_requests_of_first_incremental_and_full_runs(
    serve: Serve, seed: int
) -> None:
    check(serve, seed, most=700)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(30))
def test_over_thirty_portals_planned_requests_are_within_a_twentieth(
    serve: Serve, seed: int
) -> None:
    check(serve, 100 + seed, most=9000)


def test_the_rest_of_an_unfinished_run_is_planned(serve: Serve) -> None:
    hubspot = serve(Portal.generate(4000, custom_properties=0))
    config = config_for(hubspot, properties=["dealname"])
    fault = hubspot.fail("status", status=404, endpoint="list", nth=30)
    output, failure = tried(config)
    assert failure is not None
    assert fault.struck
    hubspot.heal()

    planned = plan(hubspot, config, output.state)

    assert planned.plan["next_run"]["requests"] < planned.plan["full_run"]["requests"]
    assert planned.plan["next_run"]["streams"][0]["reads"] == ["full", "changes"]
    planned.run("next_run", config, output.state)


def test_a_property_that_came_later_is_planned(serve: Serve) -> None:
    portal = Portal.generate(500, custom_properties=0)
    hubspot = serve(portal)
    config = config_for(hubspot)
    state = read(config).state
    portal.add_property("deals", "score", "number")
    for deal in portal.ids()[:120]:
        portal.change("deals", deal, {"score": "1"}, touch=False)

    planned = plan(hubspot, config, state)

    assert planned.plan["next_run"]["streams"][0]["reads"] == ["changes", "properties"]
    planned.run("next_run", config, state)


def test_a_type_that_no_search_knows_is_planned(serve: Serve) -> None:
    hubspot = serve(Portal.generate(730, custom_properties=0, archived=10))
    hubspot.fail("status", status=400, endpoint="search")
    config = config_for(hubspot, archived=True, pipeline="default")
    planned = plan(hubspot, config)
    state = planned.run("next_run", config)
    plan(hubspot, config, state).run("next_run", config, state)


def test_minutes_follow_from_the_budget(serve: Serve) -> None:
    hubspot = serve(Portal.generate(3000, custom_properties=0))
    config = config_for(hubspot, requests_per_10_seconds=10)
    # The plan's own requests are not to wait.
    run_ = plan(hubspot, {**config, "requests_per_10_seconds": 10_000}).plan["next_run"]
    assert run_["minutes"] < 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budgets, "BURST", 100)
        patch.setattr(budgets, "NO_BURST_BELOW", 1)
        slow = plan(hubspot, {**config, "requests_per_10_seconds": 60}).plan["next_run"]
    assert slow["minutes"] == pytest.approx(slow["requests"] / 6 / 60, abs=0.2)


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("bound_by", "limits", "latency", "settings"),
    [
        ("the general limit", RateLimits(enabled=True, general=40), 50, {"associations": []}),
        (
            "the search limit",
            RateLimits(enabled=True),
            50,
            {"pipeline": "default", "associations": [], "page_size": 40},
        ),
        (
            "the limit of links",
            RateLimits(enabled=True, associations=10),
            50,
            {"associations": ["contacts", "companies", "tickets"]},
        ),
        ("HubSpot's answers", RateLimits(enabled=True), 1500, {"associations": ["contacts"]}),
    ],
)
def test_planned_minutes_are_those_of_a_run_that_waits_for_hubspot(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    bound_by: str,
    limits: RateLimits,
    latency: int,
    settings: dict[str, Any],
) -> None:
    monkeypatch.setattr(budgets, "SEARCHES_PER_SECOND", 4.6)  # as where nobody tests
    hubspot = serve(Portal.generate(9000, custom_properties=0, contacts_per_deal=2))
    hubspot.portals[0].limits = limits
    hubspot.latency_ms = latency
    config = config_for(hubspot, properties=["dealname", "amount"], **settings)
    planned = plan(hubspot, config).plan["next_run"]
    hubspot.portals[0].limits.reset()  # the plan's own requests are long past
    began, own = time.monotonic(), time.process_time()
    read(config)
    took, own = time.monotonic() - began, time.process_time() - own
    seconds = 60 * planned["minutes"]
    print(f"\n{bound_by}: planned {seconds:.0f} s, took {took:.0f} s, {own:.0f} s of it its own")
    # The work of tap and simulator, which share this process, is no waiting for HubSpot.
    assert seconds <= 1.5 * took + 6
    assert took - own <= 1.5 * seconds + 6


def test_the_command_tells_people_and_programs_and_reads_nothing(
    hubspot: Simulator, tmp_path: Path
) -> None:
    config = config_for(hubspot)

    text = told(tmp_path, config)

    assert text.startswith("The next run: ")
    assert "deals (all)" in text
    assert "links to contacts" in text
    assert "Of 625,000 requests of the day 625,000 are left until " in text
    assert "A run without state" not in text
    found = json.loads(told(tmp_path, config, "--format", "json"))
    assert found["next_run"]["streams"][0]["records"] == 250
    assert found["quota"]["left"] == 625_000
    assert "full_run" not in found


def test_a_catalog_narrows_the_plan(hubspot: Simulator, tmp_path: Path) -> None:
    config = config_for(hubspot)
    catalog = discover(config)
    for stream in catalog["streams"]:
        select(catalog, stream["tap_stream_id"], selected=stream["tap_stream_id"] == "deals")
    select(catalog, "deals", "associations", selected=False)

    text = told(tmp_path, config, "--format", "json", catalog=catalog)

    [stream] = json.loads(text)["next_run"]["streams"]
    assert (stream["stream"], stream["links"]) == ("deals", {})


def test_a_run_above_the_reserve_does_not_start(hubspot: Simulator, tmp_path: Path) -> None:
    limits = RateLimits(enabled=True, daily=1000, others_daily=890)
    hubspot.portals[0].limits = limits
    config = config_for(hubspot, daily_reserve_percent=10)

    output = run(tmp_path, config)

    assert output.code == 1
    assert output.messages == []
    assert hubspot.requests.count(endpoint="list") == 0
    assert "of 1,000 are left today, and `daily_reserve_percent` keeps 100." in output.log
    assert "The count begins anew at " in output.log

    limits.others_daily = 500
    assert len(run(tmp_path, config).ids()) == 250


def test_the_refusal_has_a_code_of_its_own(hubspot: Simulator) -> None:
    hubspot.portals[0].limits = RateLimits(enabled=True, daily=1000, others_daily=890)
    with signals_kept():
        tap = TapHubspotDeals(config=config_for(hubspot, daily_reserve_percent=10))
        with pytest.raises(DailyReserveError) as refused:
            tap.keep_reserve()
        tap.finish()
    assert (refused.value.code, refused.value.retryable) == ("hubspot_daily_reserve", False)


@pytest.mark.parametrize("oauth", [False, True])
def test_where_nothing_tells_what_is_left_the_run_says_so_and_starts(
    hubspot: Simulator,
    tmp_path: Path,
    oauth: bool,  # noqa: FBT001 - a column of the table
) -> None:
    config = config_for(hubspot, daily_reserve_percent=10)
    if oauth:
        client = hubspot.portals[0].add_oauth_client()
        config |= {
            "access_token": None,
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "refresh_token": client.refresh_token,
        }
    else:
        hubspot.fail("status", status=404, endpoint="account")

    output = run(tmp_path, config)

    assert (output.code, len(output.ids())) == (0, 250)
    assert "`daily_reserve_percent` keeps none; the run starts." in output.log


@pytest.mark.heavy
def test_meltano_invokes_a_plan(hubspot: Simulator, tmp_path: Path) -> None:
    settings = {
        "TAP_HUBSPOT_DEALS_BASE_URL": hubspot.url,
        "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": hubspot.portals[0].token,
        "TAP_HUBSPOT_DEALS_TENANT_ID": "acme",
    }
    project = Project(tmp_path / "meltano", settings)
    command = [str(BIN / "meltano"), "invoke", "tap-hubspot-deals", "--plan", "--format", "json"]
    project.home.mkdir()
    done = subprocess.run(
        command, cwd=ROOT, env=project.environment(), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["next_run"]["streams"][0]["records"] == 250
