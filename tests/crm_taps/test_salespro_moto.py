"""SalesPro against moto, somebody else's copy of Athena: answers as AWS shapes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from crm_taps.sources.salespro import TapSalesPro
from harness.vendors.running import load, read, rows
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLUMNS = {"customer_id": "varchar", "documents": "bigint", "updated_at": "timestamp"}
HELD = [
    [f"c{n}", str(2**40 + n), f"2026-01-01 00:{n // 60:02d}:{n % 60:02d}.000"] for n in range(1200)
]


@pytest.fixture
def moto() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def queue(moto: str, *results: list[list[str]]) -> None:
    """What the next queries answer: moto runs no SQL."""
    shaped = [
        {
            "rows": [
                {"Data": [{"VarCharValue": value} for value in row]} for row in [names, *held]
            ],
            "column_info": [
                {
                    "CatalogName": "hive",
                    "SchemaName": "",
                    "TableName": "",
                    "Name": name,
                    "Label": name,
                    "Type": kind,
                    "Precision": 0,
                    "Scale": 0,
                    "Nullable": "UNKNOWN",
                    "CaseSensitive": False,
                }
                for name, kind in COLUMNS.items()
            ],
        }
        for names, held in ((list(COLUMNS), held) for held in results)
    ]
    address = f"{moto}/moto-api/static/athena/query-results"
    requests.post(address, json={"results": shaped}, timeout=10).raise_for_status()


def config(moto: str) -> dict[str, Any]:
    return {
        "endpoint_url": moto,
        "database": "salespro",
        "aws_access_key_id": "AKIAMOTO",
        "aws_secret_access_key": "moto-secret",
        "s3_staging_dir": "s3://results/",
        "streams": [
            {
                "name": "customers",
                "table": "customer",
                "key": ["customer_id"],
                "replication_key": "updated_at",
            }
        ],
    }


def test_rows_of_moto_reach_postgresql_with_the_types_of_the_result(
    moto: str, tmp_path: Path, database_url: str
) -> None:
    queue(moto, [], HELD)
    loaded = load(tmp_path, "tap-salespro", config(moto), database_url)

    assert loaded.codes == (0, 0), loaded.log
    stored = rows(
        database_url,
        "select customer_id, documents::text, to_char(updated_at at time zone 'UTC', "
        "'YYYY-MM-DD HH24:MI:SS.MS') from crm.customers",
    )
    assert sorted(stored) == sorted(map(tuple, HELD))


def test_a_later_run_starts_at_the_bookmark_of_the_first(moto: str) -> None:
    queue(moto, [], HELD)
    first = read(TapSalesPro, config(moto))
    queue(moto, [], HELD[-1:])
    second = read(TapSalesPro, config(moto), state=first.state)

    assert [r["customer_id"] for r in second.records("customers")] == ["c1199"]
    assert second.state == first.state
