"""SalesPro in Athena: tables and queries, types from the result, pages, bookmarks, refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from crm_taps.errors import (
    RateLimitedError,
    RefusedError,
    SettingsError,
    UnauthorizedError,
    UnavailableError,
)
from crm_taps.sources.salespro import TapSalesPro
from harness.vendors.athena import TABLES, Athena, fault
from harness.vendors.running import load, read, rows
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.testing import get_tap_test_class

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:No records were available to test")
FAKE = Athena().start()


def config(athena: Athena, **settings: Any) -> dict[str, Any]:
    return {
        "endpoint_url": athena.url,
        "database": "salespro",
        "aws_access_key_id": athena.key_id,
        "aws_secret_access_key": athena.secret,
        "s3_staging_dir": "s3://results/",
        **settings,
    }


TestSuite = get_tap_test_class(TapSalesPro, config={"tenant_id": "acme", **config(FAKE)})


@pytest.fixture(scope="module", autouse=True)
def _stop() -> Iterator[None]:
    yield
    FAKE.stop()


@pytest.fixture
def athena() -> Iterator[Athena]:
    with Athena(rows=2500) as vendor:
        yield vendor


def test_all_rows_of_all_tables_arrive_once_over_pages(athena: Athena) -> None:
    output = read(TapSalesPro, config(athena))

    for stream, table in zip(
        ("credit_applications", "customers", "estimates", "lead_results"), TABLES, strict=True
    ):
        found = [r[TABLES[table]] for r in output.records(stream)]
        assert len(found) == 2500
        assert set(found) == {f"{table}-{n}" for n in range(2500)}


def test_types_are_those_of_the_result(athena: Athena) -> None:
    row = read(TapSalesPro, config(athena, max_records=1)).records("customers")[0]

    assert str(row["amount"]) == "1234.50"
    assert row["is_sale"] is True
    assert row["documents"] == 2**40
    assert row["tags"] == ["roof", "Dächer"]
    assert row["updated_at"] == "2026-01-01T00:00:00.000000+00:00"


def test_a_later_run_asks_for_what_changed_since(athena: Athena) -> None:
    settings = config(athena, time_zone="America/New_York")
    first = read(TapSalesPro, settings)
    athena.data.execute(
        "update customer set updated_at = '2026-02-01 00:00:00.000' "
        "where customer_id = 'customer-7'"
    )
    second = read(TapSalesPro, settings, state=first.state)

    changed = [r["customer_id"] for r in second.records("customers")]
    assert changed == ["customer-2499", "customer-7"]
    assert any("updated_at >= timestamp '2026-01-02 17:39:00.000'" in q for q in athena.queries)


def test_any_query_is_a_stream(athena: Athena) -> None:
    query = "select estimate_id, sum(documents) as total from estimates group by 1"
    streams = [{"name": "totals", "query": query, "key": ["estimate_id"]}]
    output = read(TapSalesPro, config(athena, streams=streams))

    assert len(output.records("totals")) == 2500


def test_columns_that_are_called_as_ours_are_kept_beside_the_tenant(athena: Athena) -> None:
    query = "select estimate_id, 'globex' as _tenant_id, 7 as other_fields from estimates"
    streams = [{"name": "odd", "query": query, "key": ["estimate_id"]}]
    record = read(TapSalesPro, config(athena, streams=streams, max_records=1)).records("odd")[0]

    assert record["_tenant_id"] == "acme"
    assert record["other_fields"] == {"_tenant_id": "globex", "other_fields": "7"}


@pytest.mark.parametrize(
    ("stream", "told"),
    [
        ({"name": "a", "table": "customer", "key": ["nope"]}, "no column nope"),
        ({"name": "a", "query": "select 1 as id, 2 as id", "key": ["id"]}, "two columns of one"),
        (
            {
                "name": "a",
                "table": "customer",
                "key": ["customer_id"],
                "replication_key": "documents",
            },
            "documents of a is no timestamp",
        ),
    ],
)
def test_settings_that_the_result_contradicts_are_told(
    athena: Athena, stream: dict[str, Any], told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        read(TapSalesPro, config(athena, streams=[stream]))


def test_settings_that_make_no_sense_are_told() -> None:
    for stream in ({"name": "a", "table": "x; drop", "key": ["a"]}, {"name": "a"}):
        with pytest.raises(ConfigValidationError):
            TapSalesPro(config={"tenant_id": "a", "database": "b", "streams": [stream]})


def test_refusals_and_failures_of_aws_have_their_kinds(athena: Athena) -> None:
    with pytest.raises(UnauthorizedError, match="UnrecognizedClientException"):
        read(TapSalesPro, config(athena, aws_access_key_id="AKIAOTHER"))
    streams = [{"name": "a", "table": "ghosts", "key": ["id"]}]
    with pytest.raises(RefusedError, match="no such table"):
        read(TapSalesPro, config(athena, streams=streams))
    with pytest.raises(UnavailableError):
        read(TapSalesPro, config(athena, endpoint_url="http://127.0.0.1:9", max_tries=1))


def test_throttling_is_survived_for_a_while(
    athena: Athena, tmp_path: Path, database_url: str
) -> None:
    slow = fault("ThrottlingException", "Rate exceeded")
    athena.fail(400, nth=3, times=2, body=slow.body, headers=slow.headers)
    loaded = load(tmp_path, "tap-salespro", config(athena), database_url)

    assert loaded.codes == (0, 0)
    assert rows(database_url, "select count(*), sum(amount) from crm.customers") == [
        (2500, 2500 * rows(database_url, "select 1234.50")[0][0])
    ]
    assert athena.secret not in loaded.log
    athena.fail(400, times=99, body=slow.body, headers=slow.headers)
    with pytest.raises(RateLimitedError):
        read(TapSalesPro, config(athena, max_tries=2))
