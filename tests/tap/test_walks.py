"""The list read by ten cursors at once: exact whatever HubSpot's cursors turn out to be."""

from __future__ import annotations

import logging
from bisect import bisect_left
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring, config_for, read
from hubspot_client.errors import HubSpotError
from hubspot_client.object_types import DEALS
from hubspot_simulator import Portal
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tap_hubspot_deals.reading.legs import Leg, OutOfOrder
from tap_hubspot_deals.reading.objects import CrmObject, ObjectPage
from tap_hubspot_deals.reading.searching import SearchSource
from tap_hubspot_deals.reading.walks import Walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator import LoggedRequest, Simulator

    Serve = Callable[..., Simulator]


def large(serve: Serve, **options: Any) -> Mirroring:
    return Mirroring(serve(Portal.generate(2600, custom_properties=1, **options)))


def made_up(requests: list[LoggedRequest], ids: set[str]) -> list[str]:
    """The cursors that no answer can have given."""
    cursors = [r.query.rpartition("after=")[2] for r in requests if "after=" in r.query]
    return [c for c in cursors if c not in ids]


def test_legs_walk_at_the_same_time(serve: Serve) -> None:
    mirroring = large(serve)
    hubspot = mirroring.hubspot
    hubspot.latency_ms = 30
    mirroring.run(page_size=20)
    assert mirroring.differences() == []
    lists = hubspot.requests.all(endpoint="list")
    together = max(sum(a.started <= b.started < a.ended for b in lists) for a in lists)
    assert together >= 8
    assert made_up(lists, set(mirroring.portal.ids()))


def test_cursors_that_cannot_be_made_up_are_not(serve: Serve) -> None:
    mirroring = large(serve)
    mirroring.portal.behaviour.opaque_cursors = True
    mirroring.run(page_size=50)
    assert mirroring.differences() == []
    assert 0 < mirroring.hubspot.requests.count(endpoint="list", status=400) <= 5
    assert mirroring.hubspot.requests.count(endpoint="list", status=200) == 2600 // 50


def test_cursors_that_start_over_are_noticed(serve: Serve) -> None:
    mirroring = large(serve)
    mirroring.portal.behaviour.opaque_cursors = True
    mirroring.portal.behaviour.bare_cursor_restarts = True
    output = mirroring.run(page_size=50)
    assert mirroring.differences() == []
    assert len(output.ids()) == 2600


@pytest.mark.parametrize("opaque", [False, True])
def test_a_list_in_another_order_is_read_by_one_cursor(
    serve: Serve, caplog: pytest.LogCaptureFixture, *, opaque: bool
) -> None:
    mirroring = large(serve)
    mirroring.portal.behaviour.unordered_list = True
    mirroring.portal.behaviour.opaque_cursors = opaque
    with caplog.at_level(logging.WARNING):
        mirroring.run(page_size=50, archived=True)
    assert "not in the order of record ids" in caplog.text
    assert mirroring.differences() == []
    last = mirroring.hubspot.requests.all(endpoint="list")[-30:]
    assert max(sum(a.started <= b.started < a.ended for b in last) for a in last) <= 2


def test_a_short_unordered_list_is_read_too(serve: Serve) -> None:
    mirroring = Mirroring(serve(Portal.generate(90)))
    mirroring.portal.behaviour.unordered_list = True
    mirroring.run(page_size=10)
    assert mirroring.differences() == []


def test_ids_in_clusters_far_apart_are_all_read(serve: Serve) -> None:
    hubspot = serve(Portal.generate(0, custom_properties=0))
    portal = hubspot.portals[0]
    for first in (1_000, 5_000_000, 90_000_000_000):
        for place in range(700):
            portal.create("deals", {"dealname": f"{place}"}, id=first + place * 3 + place % 2)
    mirroring = Mirroring(hubspot)
    output = mirroring.run(page_size=25, associations=[])
    assert mirroring.differences(links_to=()) == []
    assert len(output.ids()) == 2100
    assert hubspot.requests.count(endpoint="list") < 84 * 1.5


def test_search_that_fails_to_count_costs_only_the_legs(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    mirroring = large(serve)
    mirroring.hubspot.fail("status", status=400, endpoint="search")
    with caplog.at_level(logging.WARNING):
        mirroring.run(page_size=50)
    assert "Reading with one cursor, because:" in caplog.text
    assert mirroring.differences() == []


def test_small_portals_are_read_by_one_cursor(mirroring: Mirroring) -> None:
    mirroring.run()
    assert mirroring.hubspot.requests.count(endpoint="list") <= 4


@pytest.mark.parametrize(("deals", "counts"), [(0, 0), (100, 0), (101, 1)])
def test_what_fits_on_a_page_is_not_counted_first(serve: Serve, deals: int, counts: int) -> None:
    mirroring = Mirroring(serve(Portal.generate(deals)))
    mirroring.run()
    assert mirroring.differences() == []
    assert mirroring.hubspot.requests.count(endpoint="search") == counts


# Against a plain model


class Here(Executor):
    """Runs everything at once, in the thread that asks."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001 - as a real executor does
            future.set_exception(exc)
        return future


class Listed:
    """A list of records with cursors like HubSpot's, from which records vanish while it is read."""

    def __init__(self, ids: list[int], page_size: int, vanishing: list[int], mode: str) -> None:
        self.ids = ids
        self.page_size = page_size
        self.vanishing = list(vanishing)
        self.mode = mode
        self.given: set[str] = set()
        self.fetched = 0

    def fetch(self, position: str | None) -> ObjectPage:
        self.fetched += 1
        if self.fetched % 3 == 0 and self.vanishing:
            gone = self.vanishing.pop()
            self.ids = [i for i in self.ids if i != gone]
        start = 0
        if position is not None:
            if self.mode == "opaque" and position not in self.given:
                raise HubSpotError("Invalid paging token", status=400)
            if self.mode == "restarts" and position not in self.given:
                position = "0"
            start = bisect_left(self.ids, int(position))
            if self.mode == "jumps" and position not in self.given:
                start = min(start + 2, len(self.ids))
        size = self.page_size
        if self.mode == "short" and self.fetched % 4 == 0:
            size = 0
        page = self.ids[start : start + size]
        rest = self.ids[start + size :]
        following = str(rest[0]) if rest else None
        if following:
            self.given.add(following)
        return ObjectPage([CrmObject(str(i), {}) for i in page], following)


@settings(max_examples=300, deadline=None)
@example(ids=[1, *range(10**12, 10**12 + 3)], page_size=1, vanishing=[1], mode="jumps", stop_at=1)
@given(
    ids=st.lists(st.integers(1, 10**6) | st.integers(10**12, 10**12 + 300), unique=True),
    page_size=st.integers(1, 9),
    vanishing=st.lists(st.integers(0, 400), max_size=8),
    mode=st.sampled_from(["plain", "opaque", "restarts", "jumps", "short"]),
    stop_at=st.integers(0, 60),
)
def test_a_walk_gives_every_record_once(
    ids: list[int], page_size: int, vanishing: list[int], mode: str, stop_at: int
) -> None:
    ids = sorted(ids)
    gone = [ids[i % len(ids)] for i in vanishing] if ids else []
    listed = Listed(ids, page_size, gone, mode)
    state: list[dict[str, Any]] = [{"after": None, "until": None}]
    seen: list[int] = []
    for attempt in range(2):
        walk = Walk(
            listed,
            Here(),
            [Leg.from_state(leg) for leg in state],
            ordered=True,
            extent=lambda: (1000, ids[-1] if ids else None),
        )
        steps = (step for group in walk.groups() for step in group)
        for count, step in enumerate(steps):
            if attempt == 0 and count == stop_at:
                break  # killed: the state of the page before is what is left
            seen += [int(o.id) for o in step.page.objects]
            state = step.legs
        else:
            break
    assert len(seen) == len(set(seen))
    assert set(listed.ids) <= set(seen) <= set(ids)


@settings(max_examples=100, deadline=None)
@given(
    ids=st.lists(st.integers(1, 10**9), unique=True, min_size=3, max_size=60),
    page_size=st.integers(1, 9),
)
def test_a_walk_notices_a_list_that_is_out_of_order(ids: list[int], page_size: int) -> None:
    class Disordered(Listed):
        """The ids as they came; cursors are places."""

        def fetch(self, position: str | None) -> ObjectPage:
            start = int(position or 0) if position in {None, *self.given} else 0
            page = self.ids[start : start + self.page_size]
            end = start + self.page_size
            following = str(end) if end < len(self.ids) else None
            if following:
                self.given.add(following)
            return ObjectPage([CrmObject(str(i), {}) for i in page], following)

    listed = Disordered(ids, page_size, [], "plain")
    walk = Walk(listed, Here(), [Leg()], ordered=True, extent=lambda: (1000, max(ids)))
    seen: list[int] = []
    try:
        for group in walk.groups():
            seen += [int(o.id) for step in group for o in step.page.objects]
    except OutOfOrder:
        assert ids != sorted(ids)
    else:
        assert sorted(seen) == sorted(ids)


def test_a_search_that_gives_nothing_though_some_are_left_is_refused(hubspot: Simulator) -> None:
    output = read(config_for(hubspot, start_date="2000-01-01"))
    assert len(output.ids()) == 250
    source = SearchSource.__new__(SearchSource)
    object.__setattr__(source, "reader", type("R", (), {"object_type": DEALS})())
    for position, ids, total in [("5", ["5", "6"], 2), ("5", ["7", "6"], 2), (None, [], 3)]:
        with pytest.raises(HubSpotError, match="Run again"):
            source._refuse_gaps(position, ids, total)
