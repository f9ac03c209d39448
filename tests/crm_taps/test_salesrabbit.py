"""SalesRabbit: changes by header, answers without a body, histories by lead, users on odd pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from crm_taps.errors import InconsistentError, SourceError, UnauthorizedError
from crm_taps.sources.salesrabbit import TapSalesRabbit
from harness.vendors.running import load, read, rows
from harness.vendors.salesrabbit import SalesRabbit
from singer_sdk.testing import get_tap_test_class

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:No records were available to test")
FAKE = SalesRabbit().start()

TestSuite = get_tap_test_class(
    TapSalesRabbit, config={"tenant_id": "acme", "api_token": FAKE.token, "base_url": FAKE.url}
)


@pytest.fixture(scope="module", autouse=True)
def _stop() -> Iterator[None]:
    yield
    FAKE.stop()


@pytest.fixture
def rabbit() -> Iterator[SalesRabbit]:
    with SalesRabbit(leads=4500) as vendor:
        yield vendor


def config(rabbit: SalesRabbit, **settings: Any) -> dict[str, Any]:
    return {"base_url": rabbit.url, "api_token": rabbit.token, **settings}


def test_all_leads_histories_and_users_arrive_once(rabbit: SalesRabbit) -> None:
    output = read(TapSalesRabbit, config(rabbit))
    leads = output.records("leads")
    histories = output.records("lead_status_histories")

    assert sorted(r["id"] for r in leads) == [lead["id"] for lead in rabbit.leads]
    assert len(histories) == len({(r["lead_id"], r["status_updated"]) for r in histories}) == 9000
    assert sorted(r["id"] for r in output.records("users")) == [1, 2, 3, 4, 5, 6, 7]


def test_a_lead_has_typed_columns_under_plain_names(rabbit: SalesRabbit) -> None:
    lead = read(TapSalesRabbit, config(rabbit, max_records=1)).records("leads")[0]

    assert str(lead["latitude"]) == "40.42104331234567"
    assert lead["zip"] == "02134"
    assert lead["custom_fields"] == {"windowCount": "15"}
    assert lead["other_fields"] == {"propertyType": "house"}
    assert lead["date_modified"].endswith("+00:00")


def test_users_on_pages_from_zero_are_all_found() -> None:
    with SalesRabbit(users_turn=False) as rabbit:
        output = read(TapSalesRabbit, config(rabbit))

    assert sorted(r["id"] for r in output.records("users")) == [1, 2, 3, 4, 5, 6, 7]


def test_a_later_run_asks_for_changes_only_and_takes_an_empty_answer(rabbit: SalesRabbit) -> None:
    first = read(TapSalesRabbit, config(rabbit))
    nothing = read(TapSalesRabbit, config(rabbit), state=first.state)
    rabbit.leads[7]["dateModified"] = datetime.now(UTC).isoformat()
    rabbit.histories["911705190"].append(rabbit.event("Sold", datetime.now(UTC)))
    second = read(TapSalesRabbit, config(rabbit), state=nothing.state)

    assert nothing.records("leads") == nothing.records("lead_status_histories") == []
    assert [r["id"] for r in second.records("leads")] == [911705188]
    changes = {(r["lead_id"], r["name"]) for r in second.records("lead_status_histories")}
    assert changes == {(911705190, "New"), (911705190, "Go Back"), (911705190, "Sold")}


def test_what_changed_while_a_run_read_is_read_by_the_next(rabbit: SalesRabbit) -> None:
    def change(request: Any) -> None:
        if request.first("page") == "3":
            rabbit.leads[0]["dateModified"] = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()

    rabbit.hooks.append(change)
    first = read(TapSalesRabbit, config(rabbit))
    second = read(TapSalesRabbit, config(rabbit), state=first.state)

    assert [r["id"] for r in second.records("leads")] == [911705181]


def test_a_run_that_fails_keeps_the_old_bookmark(rabbit: SalesRabbit) -> None:
    rabbit.fail(401, path="leads", nth=3)
    with pytest.raises(UnauthorizedError) as raised:
        read(TapSalesRabbit, config(rabbit))
    again = read(TapSalesRabbit, config(rabbit), state=raised.value.output.state)  # type: ignore[attr-defined]

    assert len(again.records("leads")) == 4500


@pytest.mark.parametrize(
    "body", [{"data": {}}, {"meta": {}, "data": []}, {"data": "none"}, [], b"<html>"]
)
def test_answers_of_another_form_are_no_empty_list(rabbit: SalesRabbit, body: Any) -> None:
    rabbit.fail(200, path="/leads", body=body)
    with pytest.raises(InconsistentError):
        read(TapSalesRabbit, config(rabbit))


def test_rows_reach_postgresql_and_faults_are_survived(
    rabbit: SalesRabbit, tmp_path: Path, database_url: str
) -> None:
    rabbit.fail(429, path="/leads", nth=2, times=2)
    rabbit.fail("truncate", path="Histories", nth=3)
    loaded = load(tmp_path, "tap-salesrabbit", config(rabbit), database_url)

    assert loaded.codes == (0, 0)
    assert rows(database_url, "select id from crm.leads order by 1") == [
        (lead["id"],) for lead in rabbit.leads
    ]
    counts = "select count(*), count(distinct lead_id) from crm.lead_status_histories"
    assert rows(database_url, counts) == [(9000, 4500)]
    assert rabbit.token not in loaded.log


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"errors": [{"message": "Cannot query field"}]}, "refused leads: Cannot query field"),
        ({"errors": [{}], "data": None}, "refused leads: no reason"),
        (
            {"errors": [{"message": "No", "extensions": {"code": "UNAUTHENTICATED"}}]},
            "refused leads: No",
        ),
        ({"data": {"leads": None}}, "has not the form"),
        ({"data": {"leads": {"edges": [{}], "pageInfo": {}}}}, "edge without a node"),
        ({"data": {"leads": {"edges": [], "pageInfo": {"hasNextPage": True}}}}, "new page"),
    ],
)
def test_what_graphql_answers_wrongly_ends_the_run(
    rabbit: SalesRabbit, body: Any, told: str
) -> None:
    settings = {"graphql_url": f"{rabbit.url}/graphql", "api_token": rabbit.token, "api": "graphql"}
    rabbit.fail(200, path="graphql", body=body)
    with pytest.raises(SourceError, match=told) as raised:
        read(TapSalesRabbit, settings)
    assert isinstance(raised.value, UnauthorizedError) is ("UNAUTHENTICATED" in str(body))
