"""LeadConduit: the cursor of ids, resumed in the middle, late events, types of events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from crm_taps.errors import InconsistentError, RateLimitedError, StateError, UnauthorizedError
from crm_taps.sources.leadconduit import TapLeadConduit
from harness.vendors.leadconduit import BEGIN, LeadConduit
from harness.vendors.running import load, read, rows
from singer_sdk.testing import get_tap_test_class

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:No records were available to test")
FAKE = LeadConduit().start()

TestSuite = get_tap_test_class(
    TapLeadConduit, config={"tenant_id": "acme", "api_key": FAKE.key, "base_url": FAKE.url}
)


@pytest.fixture(scope="module", autouse=True)
def _stop() -> Iterator[None]:
    yield
    FAKE.stop()


@pytest.fixture
def conduit() -> Iterator[LeadConduit]:
    with LeadConduit(leads=2500) as vendor:
        yield vendor


def config(conduit: LeadConduit, **settings: Any) -> dict[str, Any]:
    return {
        "base_url": conduit.url,
        "api_key": conduit.key,
        "requests_per_minute": 5000,
        **settings,
    }


def test_all_leads_arrive_once_and_in_order(conduit: LeadConduit) -> None:
    output = read(TapLeadConduit, config(conduit))
    ids = [r["id"] for r in output.records("leads")]

    assert ids == sorted(conduit.leads())


def test_an_empty_list_of_types_keeps_every_event(conduit: LeadConduit) -> None:
    output = read(TapLeadConduit, config(conduit, event_types=[]))

    assert len(output.records("leads")) == 5000


def test_what_is_said_of_the_lead_has_columns(conduit: LeadConduit) -> None:
    lead = read(TapLeadConduit, config(conduit, max_records=1)).records("leads")[0]

    assert lead["lead"]["email"] == "zoë@example.com"
    assert lead["flow_name"] == "Roofing"
    assert "lead" not in lead["vars"]
    start = datetime.fromtimestamp(BEGIN, UTC).replace(microsecond=123000)
    assert datetime.fromisoformat(lead["start_timestamp"]) == start
    assert lead["other_fields"] == {"expires_at": "2027-01-01T00:00:00Z"}


def test_a_run_stopped_in_the_middle_goes_on_after_its_last_lead(conduit: LeadConduit) -> None:
    conduit.fail(429, nth=4, times=9)
    with pytest.raises(RateLimitedError) as raised:
        read(TapLeadConduit, config(conduit, max_tries=2))
    before = raised.value.output  # type: ignore[attr-defined]
    conduit.faults.clear()
    after = read(TapLeadConduit, config(conduit, lookback_minutes=0), state=before.state)
    first, second = ({r["id"] for r in each.records("leads")} for each in (before, after))

    assert len(first) == 1500
    assert len(second) in {1000, 1001}
    assert first | second == conduit.leads()


def test_an_event_written_late_is_found_by_the_next_run(conduit: LeadConduit) -> None:
    first = read(TapLeadConduit, config(conduit))
    late = conduit.event(BEGIN + 2499 * 360 - 1200, 9, "source")
    conduit.events.append(late)
    second = read(TapLeadConduit, config(conduit), state=first.state)

    assert late["id"] in {r["id"] for r in second.records("leads")}
    assert len(second.records("leads")) < 14
    assert second.state == first.state


def test_start_date_is_a_cursor(conduit: LeadConduit) -> None:
    start = datetime.fromtimestamp(BEGIN + 2000 * 360, UTC)
    output = read(TapLeadConduit, config(conduit, start_date=start.isoformat()))

    assert len(output.records("leads")) == 500


def test_answers_out_of_order_and_odd_bookmarks_end_the_run(conduit: LeadConduit) -> None:
    conduit.fail(200, path="events", nth=2, body=list(reversed(conduit.events[2000:3000])))
    with pytest.raises(InconsistentError, match="out of the order"):
        read(TapLeadConduit, config(conduit))
    bookmark = {"context": {"_tenant_id": "acme"}, "replication_key_value": "2026-01-01"}
    with pytest.raises(StateError, match="no event's id"):
        read(
            TapLeadConduit,
            config(conduit),
            state={"bookmarks": {"leads": {"partitions": [bookmark]}}},
        )
    with pytest.raises(UnauthorizedError):
        read(TapLeadConduit, config(conduit, api_key="x"))


def test_leads_reach_postgresql_and_faults_are_survived(
    conduit: LeadConduit, tmp_path: Path, database_url: str
) -> None:
    conduit.fail("reset", nth=2)
    conduit.fail("truncate", nth=3)
    conduit.fail(503, nth=4, headers={"Retry-After": "0"})
    loaded = load(tmp_path, "tap-leadconduit", config(conduit), database_url)

    assert loaded.codes == (0, 0)
    assert {i for (i,) in rows(database_url, "select id from crm.leads")} == conduit.leads()
    assert conduit.key not in loaded.log
