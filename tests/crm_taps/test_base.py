"""What the taps of all sources have in common: settings, values, limits, and how they end."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import requests
from crm_taps.errors import ForbiddenError, RateLimitedError, StateError
from crm_taps.pace import Limit, Pace
from crm_taps.retries import retry_after
from crm_taps.sources.callrail import TapCallRail
from crm_taps.values import (
    BOOLEAN,
    DATE,
    INTEGER,
    MILLISECONDS,
    NUMBER,
    TEXT,
    TIME,
    Column,
    MisfitError,
)
from harness.vendors.callrail import CallRail
from harness.vendors.running import BIN, load, read, rows, until
from harness.vendors.settings_table import TAPS
from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD: dict[str, Any] = {
    "tenant_id": "acme",
    "api_key": "s3cret-key",
    "base_url": "http://127.0.0.1:9",
}


@pytest.fixture
def callrail() -> Iterator[CallRail]:
    with CallRail("s3cret-key") as vendor:
        vendor.add_account("ACC", calls=9)
        yield vendor


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tenant_id": None}, "`tenant_id` must be a text"),
        ({"tenant_id": " "}, "`tenant_id` is empty"),
        ({"api_key": 77123}, "`api_key` must be a text"),
        ({"api_key": ""}, "`api_key` is empty"),
        ({"start_date": "yesterday"}, "`start_date` is no ISO 8601 date"),
        ({"max_records": 0}, "`max_records` is out of range"),
        ({"time_zone": "Mars/Base"}, "`time_zone` is no time zone"),
        ({"base_url": "ftp://x"}, "`base_url` is empty or has not the form"),
        ({"account_ids": "ACC"}, "`account_ids` must be a list"),
    ],
)
def test_a_bad_setting_is_named_and_its_value_not_shown(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigValidationError) as raised:
        TapCallRail(config=GOOD | changes)

    assert told in " ".join(raised.value.errors)
    assert "77123" not in " ".join(raised.value.errors)


def test_all_missing_settings_are_named() -> None:
    with pytest.raises(ConfigValidationError) as raised:
        TapCallRail(config={})

    assert set(raised.value.errors) == {
        "The setting `tenant_id` is missing.",
        "The setting `api_key` is missing.",
    }


@pytest.mark.parametrize(
    ("column", "value", "becomes"),
    [
        (TEXT, 5348024557502464, "5348024557502464"),
        (TEXT, "", ""),
        (INTEGER, "5348024557502464", 5348024557502464),
        (INTEGER, Decimal("12.0"), 12),
        (INTEGER, "", None),
        (NUMBER, "12.50", Decimal("12.50")),
        (NUMBER, Decimal("0.1"), Decimal("0.1")),
        (BOOLEAN, "TRUE", True),
        (BOOLEAN, 0, False),
        (TIME, "2026-03-08T01:59:00-05:00", "2026-03-08T06:59:00.000000+00:00"),
        (TIME, "2026-03-08T01:59:00Z", "2026-03-08T01:59:00.000000+00:00"),
        (TIME, "2026-07-01T12:00:00", "2026-07-01T06:15:00.000000+00:00"),
        (MILLISECONDS, 1700000000123, "2023-11-14T22:13:20.123000+00:00"),
        (DATE, "2024-02-29T10:00:00", "2024-02-29"),
    ],
)
def test_values_become_exactly_what_their_column_says(
    column: Column, value: Any, becomes: Any
) -> None:
    assert column.convert(value, ZoneInfo("Asia/Kathmandu")) == becomes


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (TEXT, {"a": 1}),
        (INTEGER, "12.5"),
        (INTEGER, 2**63),
        (INTEGER, True),
        (INTEGER, Decimal("1E+999999")),
        (NUMBER, "NaN"),
        (NUMBER, "N/A"),
        (NUMBER, "1e999999"),
        (BOOLEAN, "maybe"),
        (TIME, "today"),
        (TIME, "0001-01-01T00:00:00+10:00"),
        (MILLISECONDS, 10**18),
        (DATE, "2023-02-29"),
    ],
)
def test_what_does_not_fit_is_not_bent(column: Column, value: Any) -> None:
    with pytest.raises(MisfitError):
        column.convert(value, UTC)


def test_of_an_hour_that_comes_twice_the_first_is_meant_and_one_that_never_comes_is_no_time() -> (
    None
):
    zone = ZoneInfo("America/New_York")

    assert TIME.convert("2026-11-01T01:30:00", zone) == "2026-11-01T05:30:00.000000+00:00"
    assert TIME.convert("2026-03-08T03:00:00", zone) == "2026-03-08T07:00:00.000000+00:00"
    with pytest.raises(MisfitError):
        TIME.convert("2026-03-08T02:30:00", zone)


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_no_stretch_of_time_has_more_requests_than_each_limit_allows() -> None:
    clock = Clock()
    pace = Pace(
        [Limit(10, 60), Limit(15, 600)], logging.getLogger(), clock=clock, sleep=clock.sleep
    )
    made = []
    for _ in range(40):
        pace.take()
        made.append(clock.now)

    assert made[9] == 1000
    assert made[10] == 1060
    assert all(later - earlier >= 60 for earlier, later in zip(made, made[10:], strict=False))
    assert all(later - earlier >= 600 for earlier, later in zip(made, made[15:], strict=False))


def test_a_limit_of_many_hours_ends_the_run_instead_of_holding_it() -> None:
    clock = Clock()
    pace = Pace([Limit(2, 86_400)], logging.getLogger(), clock=clock, sleep=clock.sleep)
    pace.take()
    pace.take()
    with pytest.raises(RateLimitedError, match=r"24\.0 more hours"):
        pace.take()


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("86400", 3600.0),
        ("Wed, 21 Oct 2026 07:28:09 GMT", 9.0),
        ("Wed, 21 Oct 2026 07:20:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_time_by_the_source_s_clock(
    told: str, seconds: float | None
) -> None:
    response = requests.Response()
    response.headers["Retry-After"] = told
    response.headers["Date"] = "Wed, 21 Oct 2026 07:28:00 GMT"

    assert retry_after(response) == seconds
    assert retry_after(None) is None


@pytest.mark.parametrize(
    ("tap", "limits"),
    [
        ("tap-callrail", [(1000, 3600), (10_000, 86_400)]),  # the vendor's, per account
        ("tap-salesrabbit", [(50, 60)]),
        ("tap-arrivy", [(30, 60)]),
        ("tap-leadconduit", [(60, 60)]),
        ("tap-five9", [(30, 60)]),
        ("tap-marketsharp", []),
        ("tap-salespro", []),  # AWS's client keeps AWS's limits
    ],
)
def test_the_limits_are_those_that_are_known_of_each_source(
    tap: str, limits: list[tuple[int, int]]
) -> None:
    assert [(limit.requests, limit.seconds) for limit in TAPS[tap].limits] == limits


def test_requests_per_minute_takes_the_place_of_the_documented_limit() -> None:
    tap = TapCallRail(config=GOOD | {"requests_per_minute": 3})

    assert [limit for limit, _ in tap.pace._made] == [Limit(3, 60.0)]


def test_a_state_that_makes_no_sense_is_refused(callrail: CallRail) -> None:
    context = {"_tenant_id": "acme", "account_id": "ACC"}
    bookmark = {"context": context, "replication_key": "start_time"}
    state = {
        "bookmarks": {"calls": {"partitions": [{**bookmark, "replication_key_value": "soon"}]}}
    }
    with pytest.raises(StateError, match="calls"):
        read(TapCallRail, GOOD | {"base_url": callrail.url}, state=state)


ODD = {
    "whole": "\U0001f680",
    "half": "a\ud83d",
    "wide": 2**70,
    "deep": [{"\udc00": "NUL \0"}],
}


def test_odd_values_of_a_source_reach_postgresql_as_far_as_it_can_hold_them(
    callrail: CallRail, tmp_path: Path, database_url: str
) -> None:
    callrail.lists["ACC", "companies"][0] |= {"name": "Łukasz\ud83d", "swap_cookie_duration": 2**63}
    callrail.lists["ACC", "companies"][0] |= {"odd": ODD, "_tenant_id": "globex", "id": "COMödd"}
    loaded = load(tmp_path, "tap-callrail", GOOD | {"base_url": callrail.url}, database_url)
    found = rows(
        database_url,
        "select _tenant_id, name, swap_cookie_duration, other_fields from crm.companies "
        "where id = 'COMödd'",
    )

    assert loaded.codes == (0, 0)
    ((tenant, name, duration, rest),) = found
    assert (tenant, name, duration) == ("acme", "Łukasz\ufffd", None)
    assert rest["swap_cookie_duration"] == 2**63
    assert rest["_tenant_id"] == "globex"
    assert rest["odd"] == {
        "whole": "\U0001f680",
        "half": "a\ufffd",
        "wide": 2**70,
        "deep": [{"\ufffd": "NUL \ufffd"}],
    }
    assert loaded.log.count("half a character") == 1


def test_a_record_without_a_key_ends_the_run_and_what_came_before_is_stored(
    callrail: CallRail, tmp_path: Path, database_url: str
) -> None:
    callrail.lists["ACC", "trackers"][7]["id"] = None
    ended = load(tmp_path, "tap-callrail", GOOD | {"base_url": callrail.url}, database_url)

    (error,) = ended.errors
    assert ended.codes == (1, 0)
    assert error["extra"]["code"] == "source_inconsistent"
    assert "record of trackers without a usable `id`" in error["message"]
    assert rows(database_url, "select count(*) from crm.trackers") == [(7,)]


def test_a_stream_that_is_refused_stops_no_other_and_keeps_its_old_bookmark(
    callrail: CallRail, tmp_path: Path, database_url: str
) -> None:
    callrail.fail(403, path="form_submissions", times=9)
    callrail.fail(404, path="tags", times=9)
    ended = load(tmp_path, "tap-callrail", GOOD | {"base_url": callrail.url}, database_url)

    (error,) = ended.errors
    assert ended.codes == (1, 0)
    assert error["extra"]["code"] == "source_forbidden"
    assert "403 for form_submissions" in error["message"]
    assert "404 for tags" in error["message"]
    assert rows(database_url, "select count(*) from crm.users") == [(2,)]
    assert ended.state is not None
    bookmarks = ended.state["bookmarks"]
    assert "replication_key_value" in str(bookmarks["calls"])
    assert "replication_key_value" not in str(bookmarks.get("form_submissions"))


def test_a_stream_that_fails_half_way_promises_nothing_that_it_did_not_read(
    callrail: CallRail,
) -> None:
    forms = callrail.lists["ACC", "form_submissions"]
    forms += [{**forms[0], "id": f"FRMmore{n}"} for n in range(300)]
    callrail.fail(403, path="form_submissions", nth=2, times=9)
    with pytest.raises(ForbiddenError) as raised:
        read(TapCallRail, GOOD | {"base_url": callrail.url})
    before = raised.value.output  # type: ignore[attr-defined]
    callrail.faults.clear()
    after = read(TapCallRail, GOOD | {"base_url": callrail.url}, state=before.state)

    assert len(before.records("form_submissions")) == 250
    assert len({r["id"] for r in after.records("form_submissions")}) == 330


def test_an_empty_source_clears_what_was_there_and_of_its_own_tenant_alone(
    tmp_path: Path, database_url: str
) -> None:
    with CallRail("s3cret-key") as vendor:
        vendor.add_account("ACC", calls=1)
        config = GOOD | {"base_url": vendor.url, "emit_activate_version_messages": True}
        for tenant in ("acme", "globex"):
            first = load(tmp_path, "tap-callrail", {**config, "tenant_id": tenant}, database_url)
            assert first.codes == (0, 0)
        for name in vendor.lists:
            vendor.lists[name] = []
        emptied = load(tmp_path, "tap-callrail", config, database_url)
        vendor.accounts.clear()
        without = load(tmp_path, "tap-callrail", config, database_url)

    assert (emptied.codes, without.codes) == ((0, 0), (0, 0))
    for stream, count in (("companies", 3), ("tags", 4), ("accounts", 1)):
        kept = f"select _tenant_id, count(*) from crm.{stream} where _sdc_deleted_at is null "
        assert rows(database_url, kept + "group by 1") == [("globex", count)]
    assert rows(database_url, "select count(*) from crm.calls") == [(2,)]


def test_a_wrong_setting_and_a_dead_host_have_their_codes(
    tmp_path: Path, database_url: str
) -> None:
    wrong = load(tmp_path, "tap-callrail", {"api_key": "s3cret-key", "max_tries": 0}, database_url)
    dead = load(tmp_path, "tap-callrail", GOOD | {"max_tries": 1}, database_url)

    assert [e["extra"]["code"] for e in wrong.errors] == ["settings_invalid"]
    assert [e["extra"]["code"] for e in dead.errors] == ["source_unavailable"]
    assert wrong.codes[0] == dead.codes[0] == 1
    assert "s3cret-key" not in wrong.log + dead.log


def test_a_signal_ends_the_run_with_its_code_and_the_state(
    callrail: CallRail, tmp_path: Path
) -> None:
    callrail.fail(503, path="users", headers={"Retry-After": "60"})
    config = tmp_path / "config.json"
    config.write_text(json.dumps(GOOD | {"base_url": callrail.url}))
    with (tmp_path / "messages").open("wb") as messages:
        process = subprocess.Popen(
            [BIN / "tap-callrail", "--config", config], stdout=messages, stderr=subprocess.PIPE
        )
        until(lambda: any("users" in path for path in callrail.paths()))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    lines = (tmp_path / "messages").read_bytes().splitlines()

    assert process.returncode == 143
    assert json.loads(lines[-1])["type"] == "STATE"
    assert b"Traceback" not in log


def test_rows_that_are_gone_at_the_source_are_marked(
    callrail: CallRail, tmp_path: Path, database_url: str
) -> None:
    config = GOOD | {"base_url": callrail.url, "emit_activate_version_messages": True}
    assert load(tmp_path, "tap-callrail", config, database_url).codes == (0, 0)
    with CallRail("s3cret-key") as other:
        other.add_account("ACC", calls=1)
        globex = {**config, "base_url": other.url, "tenant_id": "globex"}
        assert load(tmp_path, "tap-callrail", globex, database_url).codes == (0, 0)
    del callrail.lists["ACC", "companies"][0]
    assert load(tmp_path, "tap-callrail", config, database_url).codes == (0, 0)

    gone = "select _tenant_id, id from crm.companies where _sdc_deleted_at is not null"
    assert rows(database_url, gone) == [("acme", "COMACC0")]


@pytest.mark.parametrize("nth", [2, 5])
def test_a_tap_that_is_killed_goes_on_from_the_target_s_state(
    tmp_path: Path, database_url: str, nth: int
) -> None:
    with CallRail("s3cret-key") as callrail:
        callrail.add_account("ACC", calls=1500)
        config = GOOD | {"base_url": callrail.url, "lookback_days": 0}
        callrail.fail("kill", path="calls", nth=nth)
        killed = load(tmp_path, "tap-callrail", config, database_url, vendor=callrail)
        callrail.requests.clear()
        again = load(tmp_path, "tap-callrail", config, database_url, state=killed.state)

        assert (killed.codes[0], again.codes) == (-signal.SIGKILL, (0, 0))
        stored = {i for (i,) in rows(database_url, "select id from crm.calls")}
        assert stored == {call["id"] for call in callrail.lists["ACC", "calls"]}
        if nth == 5:  # a state had left
            assert len([p for p in callrail.paths() if "calls" in p]) < 6
