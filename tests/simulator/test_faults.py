"""Faults on order, latency, the request log and hooks."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests
from hubspot_simulator import Fault

if TYPE_CHECKING:
    from hubspot_simulator import LoggedRequest, Portal, Simulator

    from .conftest import Api

DEALS = "/crm/v3/objects/deals"


@pytest.mark.parametrize("status", [423, 500, 502, 503, 504, 521])
def test_a_status_is_answered_in_json(hubspot: Simulator, api: Api, status: int) -> None:
    hubspot.fail("status", status=status)

    answer = api.get(DEALS)

    assert answer.status_code == status
    assert answer.json()["status"] == "error"


def test_a_migration_names_the_seconds_to_wait(hubspot: Simulator, api: Api) -> None:
    hubspot.fail("status", status=477, retry_after=86_400)

    answer = api.get(DEALS)

    assert (answer.status_code, answer.headers["Retry-After"]) == (477, "86400")


@pytest.mark.parametrize(
    ("kind", "status", "key", "value"),
    [
        ("ten_secondly", 429, "policyName", "TEN_SECONDLY_ROLLING"),
        ("secondly", 429, "category", "RATE_LIMITS"),
        ("daily", 429, "policyName", "DAILY"),
        ("expired", 401, "category", "EXPIRED_AUTHENTICATION"),
        ("missing_scope", 403, "category", "MISSING_SCOPES"),
        ("partial", 207, "numErrors", 1),
    ],
)
def test_refusals_can_be_ordered(
    hubspot: Simulator, api: Api, kind: str, status: int, key: str, value: str | int
) -> None:
    hubspot.faults.append(Fault(kind))  # type: ignore[arg-type]

    answer = api.get(DEALS)

    assert answer.status_code == status
    assert answer.json()[key] == value


def test_html_comes_with_any_status(hubspot: Simulator, api: Api) -> None:
    hubspot.fail("html", status=200)

    answer = api.get(DEALS)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")


def test_half_a_body_in_a_whole_answer(hubspot: Simulator, api: Api) -> None:
    hubspot.fail("truncated")

    answer = api.get(DEALS)

    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text)


@pytest.mark.parametrize("kind", ["reset", "cut"])
def test_connections_break(hubspot: Simulator, api: Api, kind: str) -> None:
    hubspot.faults.append(Fault(kind, times=1))  # type: ignore[arg-type]

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        api.get(DEALS)

    assert api.get(DEALS).status_code == 200


def test_a_hanging_answer_ends_with_the_client(hubspot: Simulator, api: Api) -> None:
    hubspot.fail("hang", times=1)

    with pytest.raises(requests.Timeout):
        api.session.get(api.url + DEALS, timeout=0.2)

    assert api.get(DEALS).status_code == 200


def test_a_slow_answer_is_right(hubspot: Simulator, api: Api) -> None:
    hubspot.fail("slow", seconds=0.2)

    begun = time.monotonic()

    assert len(api.get(DEALS).json()["results"]) == 10
    assert time.monotonic() - begun >= 0.2


def test_requests_are_chosen(hubspot: Simulator, api: Api) -> None:
    hubspot.fail("status", endpoint="list", nth=[2, 3])
    hubspot.fail("status", path="/owners", every=2, status=502)
    hubspot.fail("status", path="/properties/", method="GET", times=1, status=503)
    hubspot.fail("status", when=lambda request: request.object_type == "notes", status=504)

    hubspot.fail("status", when=lambda request: b'"13"' in request.body, status=423)

    assert [api.get(DEALS).status_code for _ in range(4)] == [200, 500, 500, 200]
    for object_id, status in (("13", 423), ("14", 207)):
        answer = api.post(f"{DEALS}/batch/read", {"inputs": [{"id": object_id}]})
        assert answer.status_code == status
    assert [api.get("/crm/v3/owners").status_code for _ in range(4)] == [200, 502, 200, 502]
    assert [api.get("/crm/v3/properties/deals").status_code for _ in range(2)] == [503, 200]
    assert api.get("/crm/v3/objects/0-46").status_code == 504

    hubspot.heal()

    assert api.get("/crm/v3/objects/0-46").status_code == 200


def test_chance_is_decided_by_the_seed(hubspot: Simulator, api: Api) -> None:
    def statuses() -> list[int]:
        hubspot.heal()
        hubspot.fail("status", probability=0.5, seed=7)
        return [api.get("/crm/v3/owners").status_code for _ in range(20)]

    first = statuses()

    assert first == statuses()
    assert {200, 500} == set(first)


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown fault"):
        Fault("explode")  # type: ignore[arg-type]


def test_many_requests_wait_out_the_latency_together(hubspot: Simulator, api: Api) -> None:
    hubspot.latency_ms = 300
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.get(DEALS).status_code, range(8)))

    assert answers == [200] * 8
    assert time.monotonic() - begun < 1.5
    assert hubspot.requests.max_in_flight >= 4


def test_every_request_is_logged(hubspot: Simulator, api: Api) -> None:
    api.get("/crm/v3/objects/0-3", limit=3)
    api.post("/crm/objects/2026-09/deal/search", {"limit": 5})
    api.post("/crm/v4/associations/deals/contact/batch/read", {"inputs": [{"id": "1"}] * 3})
    api.get("/nothing")

    listed, searched, links, unknown = hubspot.requests.all()

    assert (listed.endpoint, listed.object_type, listed.query) == ("list", "deals", "limit=3")
    assert (listed.family, searched.family) == ("numbered", "dated")
    assert (searched.object_type, searched.summary["limit"]) == ("deals", 5)
    assert (links.object_type, links.to_type, links.summary) == ("deals", "contacts", {"inputs": 3})
    assert (unknown.endpoint, unknown.status) == ("unknown", 404)
    assert hubspot.requests.counts("endpoint")["search"] == 1
    assert hubspot.requests.count(status=200, object_type="deals") == 2
    assert "pat-na1-test" not in repr(hubspot.requests.all())


def test_writes_can_be_timed_between_requests(hubspot: Simulator, api: Api, portal: Portal) -> None:
    victim = portal.ids()[150]
    hubspot.after(1, lambda: portal.archive("deals", victim), endpoint="list")

    ids = [record["id"] for record in api.all(DEALS)]

    assert victim not in ids
    assert len(ids) == 249


def test_a_hook_before_the_answer_shows_in_it(hubspot: Simulator, api: Api, portal: Portal) -> None:
    def write(request: LoggedRequest) -> None:
        if request.endpoint == "list" and request.number == 1:
            portal.create("deals", id=1)

    hubspot.on_request(write)

    assert api.get(DEALS).json()["results"][0]["id"] == "1"
