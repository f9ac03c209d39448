"""CallRail: all accounts, both ways of paging, late edits, and dates as the account reads them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from crm_taps.errors import InconsistentError, RefusedError, UnauthorizedError
from crm_taps.sources.callrail import TapCallRail
from crm_taps.sources.callrail_retention import first_kept, months_before
from harness.vendors.callrail import CallRail
from harness.vendors.running import load, read, rows
from hypothesis import given
from hypothesis import strategies as st
from singer_sdk.testing import SuiteConfig, get_tap_test_class

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.singer import Output

pytestmark = pytest.mark.filterwarnings("ignore:No records were available to test")

FAKE = CallRail().start()
FAKE.add_account("ACCsuite", calls=5)

TestSuite = get_tap_test_class(
    TapCallRail,
    config={"tenant_id": "acme", "api_key": FAKE.key, "base_url": FAKE.url},
    suite_config=SuiteConfig(),
)


@pytest.fixture(scope="module", autouse=True)
def _stop() -> Iterator[None]:
    yield
    FAKE.stop()


@pytest.fixture
def callrail() -> Iterator[CallRail]:
    with CallRail() as vendor:
        vendor.add_account("ACCone", calls=613)
        vendor.add_account("ACCtwo", calls=7, zone="Asia/Kathmandu")
        yield vendor


def config(callrail: CallRail, **settings: Any) -> dict[str, Any]:
    return {"base_url": callrail.url, "api_key": callrail.key, **settings}


def ids(output: Output, stream: str) -> set[tuple[str, Any]]:
    return {(r["account_id"], r["id"]) for r in output.records(stream)}


def kept(callrail: CallRail, kind: str, field: str | None) -> set[tuple[str, Any]]:
    """The ids of a list that CallRail still gives."""
    earliest = datetime.now(UTC) - timedelta(days=757)
    return {
        (account, row["id"])
        for (account, name), entries in callrail.lists.items()
        if name == kind
        for row in entries
        if field is None or datetime.fromisoformat(row[field]) > earliest
    }


def test_every_list_of_every_account_arrives_once(callrail: CallRail) -> None:
    output = read(TapCallRail, config(callrail))

    for kind, field in (
        ("calls", "start_time"),
        ("form_submissions", "submitted_at"),
        ("text-messages", "last_message_at"),
        ("companies", None),
        ("trackers", None),
        ("users", None),
        ("tags", None),
    ):
        stream = kind.replace("-", "_")
        assert ids(output, stream) == kept(callrail, kind, field)
        assert len(output.records(stream)) == len(ids(output, stream))
    assert {r["id"] for r in output.records("accounts")} == {"ACCone", "ACCtwo"}


def test_rows_have_types_and_keep_what_no_column_takes(callrail: CallRail) -> None:
    callrail.lists["ACCtwo", "calls"][0]["duration"] = "a while"
    output = read(TapCallRail, config(callrail))
    call = output.records("calls")[0]
    (odd,) = (r for r in output.records("calls") if r["other_fields"])

    assert call["start_time"].endswith("+00:00")
    assert call["duration"] == 61
    assert odd["duration"] is None
    assert odd["other_fields"] == {"duration": "a while"}
    assert output.records("tags")[0]["other_fields"] == {"unheard_of": {"n": 0}}
    assert output.records("accounts")[0]["numeric_id"] == 900_000_000_000_000_000
    assert {m["schema"]["x-tenant-id"] for m in output.of("SCHEMA")} == {"acme"}


def test_a_record_whose_time_is_none_is_kept_and_moves_no_bookmark(callrail: CallRail) -> None:
    good = callrail.lists["ACCone", "form_submissions"][0]
    odd = {**good, "id": "FRModd", "submitted_at": "whenever"}
    body = {"page": 1, "total_pages": 1, "form_submissions": [odd, good, {**odd, "id": "FRMlast"}]}
    callrail.fail(200, path="ACCone/form_submissions", body=body)
    output = read(TapCallRail, config(callrail, start_date="2026-01-01"))
    (kept_so,) = (r for r in output.records("form_submissions") if r["id"] == "FRModd")
    marks = output.state["bookmarks"]["form_submissions"]["partitions"]

    assert kept_so["submitted_at"] is None
    assert kept_so["other_fields"]["submitted_at"] == "whenever"
    assert [m["replication_key_value"][:3] for m in marks] == ["202", "202"]


def test_a_later_run_reads_new_calls_and_late_edits_and_nothing_before_the_window(
    callrail: CallRail,
) -> None:
    first = read(TapCallRail, config(callrail, lookback_days=2))
    calls = callrail.lists["ACCone", "calls"]
    calls.insert(0, callrail.call("CALnew", datetime.now(UTC)))
    calls[3]["lead_status"] = "good_lead"
    second = read(TapCallRail, config(callrail, lookback_days=2), state=first.state)
    seen = {r["id"]: r for r in second.records("calls") if r["account_id"] == "ACCone"}
    newest = datetime.fromisoformat(calls[1]["start_time"])
    window = [
        c for c in calls if datetime.fromisoformat(c["start_time"]) >= newest - timedelta(days=2)
    ]

    assert seen.keys() == {c["id"] for c in window}
    assert seen[calls[3]["id"]]["lead_status"] == "good_lead"
    assert second.state["bookmarks"]["calls"] != first.state["bookmarks"]["calls"]


def test_start_date_counts_in_every_time_zone(callrail: CallRail) -> None:
    start = datetime.now(UTC) - timedelta(days=3)
    output = read(TapCallRail, config(callrail, start_date=start.isoformat()))
    expected = {
        c["id"]
        for (_, kind), entries in callrail.lists.items()
        if kind == "calls"
        for c in entries
        if datetime.fromisoformat(c["start_time"]) >= start
    }

    assert {r["id"] for r in output.records("calls")} == expected


def test_a_start_beyond_the_retention_is_moved_into_it(callrail: CallRail) -> None:
    output = read(TapCallRail, config(callrail, start_date="2001-01-01"))

    assert ids(output, "calls") == kept(callrail, "calls", "start_time")


def test_a_run_stopped_in_the_middle_goes_on_where_it_was(callrail: CallRail) -> None:
    callrail.fail(403, path="ACCone/calls", nth=3)
    with pytest.raises(Exception, match="403 for calls") as raised:
        read(TapCallRail, config(callrail, lookback_days=0))
    before: Output = raised.value.output  # type: ignore[attr-defined]
    after = read(TapCallRail, config(callrail, lookback_days=0), state=before.state)

    assert ids(before, "calls") | ids(after, "calls") == kept(callrail, "calls", "start_time")
    assert len(ids(before, "calls")) == 500
    assert len(ids(after, "calls")) < 130


def test_named_accounts_alone_are_read_and_unknown_ones_refused(callrail: CallRail) -> None:
    output = read(TapCallRail, config(callrail, account_ids=["ACCtwo"]))

    assert {account for account, _ in ids(output, "calls")} == {"ACCtwo"}
    with pytest.raises(RefusedError, match="ACCnone"):
        read(TapCallRail, config(callrail, account_ids=["ACCnone"]))


def test_what_is_taken_out_while_pages_are_read_hides_no_others(callrail: CallRail) -> None:
    trackers = callrail.lists["ACCone", "trackers"]

    def take_out(request: Any) -> None:
        if "ACCone/trackers" in request.path and request.first("page") == "2" and callrail.hooks:
            callrail.hooks.clear()
            del trackers[0]

    callrail.hooks.append(take_out)
    output = read(TapCallRail, config(callrail))

    assert ids(output, "trackers") >= kept(callrail, "trackers", None)


def test_a_list_that_becomes_shorter_each_time_ends_the_run(callrail: CallRail) -> None:
    trackers = callrail.lists["ACCone", "trackers"]
    trackers += [{**trackers[0], "id": f"TRImore{n}"} for n in range(100)]

    def take_out(request: Any) -> None:
        if "ACCone/trackers" in request.path:
            del trackers[0]

    callrail.hooks.append(take_out)
    with pytest.raises(InconsistentError, match="shorter each time"):
        read(TapCallRail, config(callrail))


def test_limits_and_faults_are_survived(callrail: CallRail) -> None:
    callrail.fail(429, path="ACCone/calls", nth=2, times=2)
    callrail.fail("reset", path="companies")
    callrail.fail("truncate", path="trackers")
    callrail.fail(503, path="users", headers={"Retry-After": "0"})
    output = read(TapCallRail, config(callrail))

    assert ids(output, "calls") == kept(callrail, "calls", "start_time")
    assert ids(output, "trackers") == kept(callrail, "trackers", None)
    assert ids(output, "users") == kept(callrail, "users", None)


def test_a_wrong_key_and_a_page_elsewhere_end_the_run(callrail: CallRail) -> None:
    with pytest.raises(UnauthorizedError, match="401 for accounts"):
        read(TapCallRail, config(callrail) | {"api_key": "wrong"})
    callrail.fail(
        200, path="calls", body={"calls": [], "has_next_page": True, "next_page": "http://x/"}
    )
    with pytest.raises(InconsistentError, match="base_url"):
        read(TapCallRail, config(callrail))


def test_a_sample_keeps_no_bookmark(callrail: CallRail) -> None:
    output = read(TapCallRail, config(callrail, max_records=3))

    assert len(output.records("calls")) == 3
    assert "replication_key_value" not in str(output.state)


def test_full_reads_end_with_a_version_after_their_records(callrail: CallRail) -> None:
    output = read(TapCallRail, config(callrail, emit_activate_version_messages=True))
    kinds = [m["type"] for m in output.messages if m.get("stream") == "companies"]

    assert kinds.count("ACTIVATE_VERSION") == 1
    assert [k for k in kinds if k != "SCHEMA"][-1] == "ACTIVATE_VERSION"
    assert not output.of("ACTIVATE_VERSION", "calls")


@given(
    now=st.datetimes(datetime(2025, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    east=st.integers(-12, 14),
)
def test_the_first_day_asked_for_began_within_the_retention_wherever_the_account_is(
    now: datetime, east: int
) -> None:
    zone = timezone(timedelta(hours=east))
    month = months_before(now.date(), 25)

    first = datetime.combine(first_kept(now), time(), zone)
    assert timedelta(0) <= first - datetime.combine(month, now.timetz()) < timedelta(days=3)


def test_months_before_ends_on_a_day_that_exists() -> None:
    assert months_before(datetime(2026, 3, 31, tzinfo=UTC).date(), 25).isoformat() == "2024-02-29"


def test_two_tenants_share_tables_and_a_state(
    callrail: CallRail, tmp_path: Path, database_url: str
) -> None:
    with CallRail("other-key") as other:
        other.add_account("ACCone", calls=11)
        first = load(tmp_path, "tap-callrail", config(callrail), database_url)
        second = load(
            tmp_path,
            "tap-callrail",
            config(other, tenant_id="globex"),
            database_url,
            state=first.state,
        )
        third = load(tmp_path, "tap-callrail", config(callrail), database_url, state=second.state)

    assert (first.codes, second.codes, third.codes) == ((0, 0), (0, 0), (0, 0))
    counts = "select _tenant_id, count(*) from crm.calls group by 1 order by 1"
    assert rows(database_url, counts) == [("acme", 620), ("globex", 11)]
    stored = rows(database_url, "select account_id, id from crm.calls where _tenant_id = 'acme'")
    assert set(stored) == kept(callrail, "calls", "start_time")
    types = dict(
        rows(
            database_url,
            "select column_name, data_type from information_schema.columns "
            "where table_schema = 'crm' and table_name = 'calls'",
        )
    )
    assert types["start_time"] == "timestamp with time zone"
    assert types["duration"] == "bigint"
    assert types["tags"] == "jsonb"
    assert callrail.key not in first.log + second.log + third.log


def test_a_bad_end_is_told_once_with_a_code_and_without_the_key(
    callrail: CallRail, tmp_path: Path, database_url: str
) -> None:
    callrail.fail(429, path="users", times=99)
    ended = load(tmp_path, "tap-callrail", config(callrail, max_tries=2), database_url)

    (error,) = ended.errors
    assert ended.codes == (1, 0)
    assert error["extra"]["code"] == "source_rate_limited"
    assert error["extra"]["retryable"] is True
    assert "429 for users" in error["message"]
    assert callrail.key not in ended.log
