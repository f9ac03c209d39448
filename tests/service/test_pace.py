"""Requests to HubSpot over a scan's time, from the tap's log to the page."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb
from scan_service.pipeline.pace import Pace
from scan_service.pipeline.run_log import LogReader

if TYPE_CHECKING:
    from pathlib import Path

    from service.browsing import Browser

TAP = "tap-hubspot-deals"


def told(sent: int, used: int, limit: int | None = 190) -> dict[str, Any]:
    return {"name": TAP, "event": "", "requests": sent, "limit_used": used, "limit": limit}


def test_the_line_has_what_the_tap_told_and_when(tmp_path: Path) -> None:
    clock = [100.0]
    # A second run of the scan, twenty seconds after the first one began.
    before = {"total": 40, "step": 1, "points": [[2, 40, 100]]}
    log = tmp_path / "run.log"
    reader = LogReader(log, pace=Pace(before, 20, clock=lambda: clock[0]))
    text = ""
    for sent, used in ((3, 50), (180, 188)):
        clock[0] += 4
        text += json.dumps(told(sent, used)) + "\n"
        log.write_text(text)
        reader.follow()

    points = [[2, 40, 100], [24, 50, 190], [28, 188, 190]]
    assert reader.pace.shown() == {"total": 220, "step": 1, "points": points}


def test_a_long_scan_keeps_as_many_points_as_a_line_can_show() -> None:
    clock = [0.0]
    line = Pace({}, 0, clock=lambda: clock[0])
    for number in range(5000):
        clock[0] += 2
        line.note(TAP, told(number, 10))

    seconds = [each[0] for each in line.shown()["points"]]
    assert 50 < len(seconds) <= 120
    assert (seconds[0], seconds == sorted(seconds)) == (2, True)
    assert seconds[-1] > 9000
    gaps = {b - a for a, b in pairwise(seconds)}
    assert len(gaps) <= 2, "as far apart from beginning to end"


def test_what_others_log_is_no_request() -> None:
    line = Pace({}, 0)
    line.note("target-deals-postgres", told(1, 1))
    line.note(TAP, {"requests": {"list": 3}})

    assert line.shown() == {}


def test_the_status_tells_them_if_asked_and_the_page_draws_them(pages: Browser) -> None:
    api = pages.api()
    api.start("first")
    path = "/api/v1/scan/status/first"
    assert "requests" not in api.get(path).json()["data"]
    assert api.get(f"{path}?include_requests=true").json()["data"]["requests"] is None
    assert 'id="requests"' not in pages.get("/scans/first").text

    kept = {"total": 1214, "step": 1, "points": [[2, 40, None], [4, 171, 190]]}
    pages.ledger.run("update scan set requests = %s", Jsonb(kept))

    assert api.get(f"{path}?include_requests=true").json()["data"]["requests"] == {
        "total": 1214, "limit": 190, "line": [
            {"second": 2, "requests": 40, "limit": None},
            {"second": 4, "requests": 171, "limit": 190},
        ],
    }  # fmt: skip
    shown = pages.get("/scans/first").text
    assert "1,214 by this scan" in shown
    assert "its limit of 190" in shown
    assert 'points="0.0,100.0 50.0,80.86 100.0,18.18"' in shown
