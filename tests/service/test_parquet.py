"""Parquet files have HubSpot's values, typed: read again by pyarrow, and by DuckDB as by others."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import repeat
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet
from scan_service.records.rows import END
from service.kit import Client, Ledger, order

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from starlette.testclient import TestClient

OTHER = "tenant-b"
DEALS: list[dict[str, Any]] = [
    {
        "id": "1", "archived": False, "dealname": "=one \U0001f389",
        "amount": "12345678901234567.5", "hs_is_closed": True,
        "closedate": "2025-11-10T16:02:00.123Z", "hs_all_team_ids": ["7", "8"],
    },
    {"id": "2", "archived": True, "amount": "0.000000001", "hs_is_closed": False},
    {"id": "3"},
]  # fmt: skip


@pytest.fixture
def deals(client: Client, ledger: Ledger) -> Client:
    client.start("done")
    ledger.make_results("done", DEALS)
    ledger.complete("done")
    return client


def download(client: Client) -> bytes:
    response = client.get("/api/v1/scan/download/done/parquet")
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/vnd.apache.parquet"
    assert response.headers["Content-Disposition"].split(";")[1].endswith('.parquet"')
    return response.content


def test_columns_have_the_types_of_the_account_and_the_values_of_hubspot(deals: Client) -> None:
    table = parquet.read_table(io.BytesIO(download(deals)))

    types = {field.name: field.type for field in table.schema}
    assert types["deal_id"] == pa.string()
    assert types["amount"] == pa.decimal128(38, 9)
    assert types["is_closed"] == types["archived"] == pa.bool_()
    assert types["closedate"] == types["createdate"] == pa.timestamp("us", tz="UTC")
    assert types["hs_all_team_ids"] == pa.list_(pa.string())
    assert types["deal_stage_probability"] == pa.decimal128(38, 9)  # without any value
    rows = table.to_pylist()
    assert [row["deal_id"] for row in rows] == ["1", "2", "3"]
    assert [row["amount"] for row in rows] == [
        Decimal("12345678901234567.5"), Decimal("0.000000001"), None,
    ]  # fmt: skip
    assert [row["is_closed"] for row in rows] == [True, False, None]
    assert rows[0]["closedate"] == datetime(2025, 11, 10, 16, 2, 0, 123000, tzinfo=UTC)
    assert rows[0]["dealname"] == DEALS[0]["dealname"]  # nothing guards what nothing runs
    assert [row["hs_all_team_ids"] for row in rows] == [["7", "8"], None, None]


def test_duckdb_reads_the_same(deals: Client, tmp_path: Path) -> None:
    file = tmp_path / "deals.parquet"
    file.write_bytes(download(deals))

    with duckdb.connect() as database:
        found = database.execute(
            "select sum(amount)::varchar, max(epoch_ms(closedate)), count(*) filter (is_closed),"
            " max(len(hs_all_team_ids)) from read_parquet(?)",
            [str(file)],
        ).fetchone()

    moment = int(datetime(2025, 11, 10, 16, 2, 0, 123000, tzinfo=UTC).timestamp() * 1000)
    assert found == ("12345678901234567.500000001", moment, 1, 2)


def test_a_file_has_the_rows_of_its_tenant_only(
    deals: Client, http: TestClient, ledger: Ledger
) -> None:
    other = Client(http, ledger.key(OTHER))
    unknown = other.get("/api/v1/scan/download/done/parquet")
    assert other.post("/api/v1/scan/start", json=order("done", OTHER)).status_code == 202
    ledger.make_results("done", [{"id": "9", "dealname": "theirs"}], OTHER)
    ledger.complete("done", OTHER)

    assert unknown.status_code == 404
    theirs = parquet.read_table(io.BytesIO(download(other))).to_pylist()
    ours = parquet.read_table(io.BytesIO(download(deals))).to_pylist()
    assert [row["deal_id"] for row in theirs] == ["9"]
    assert [row["deal_id"] for row in ours] == ["1", "2", "3"]


def test_a_server_without_the_extra_says_so(deals: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed

    response = deals.get("/api/v1/scan/download/done/parquet")

    assert response.status_code == 400
    assert "scan-service[parquet]" in response.json()["error"]["details"][0]["message"]


# A program that says how much memory it has had at most, in kilobytes.
PROGRAM = """
import sys
from pathlib import Path
from scan_service.records import parquet
parquet.main(sys.argv[1], sys.stdin.buffer)
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def write(file: Path, head: list[list[str]], lines: Iterable[bytes]) -> int:
    """Write a file; return what it took."""
    rows = file.with_suffix(".rows")
    with rows.open("wb") as given:
        given.write(json.dumps(head).encode() + b"\n")
        given.writelines(lines)
        given.write(END)
    with rows.open("rb") as given:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(file)],
            stdin=given, capture_output=True, text=True, check=True,
        )  # fmt: skip
    return int(done.stdout)


def column(folder: Path, kind: str, declared: str, *texts: str | None) -> tuple[Any, list[Any]]:
    file = folder / "x.parquet"
    write(file, [["x", kind, declared]], (json.dumps([text]).encode() + b"\n" for text in texts))
    table = parquet.read_table(file)
    return table.schema.field("x").type, table.column("x").to_pylist()


@pytest.mark.parametrize(
    ("kind", "declared", "texts", "kept", "values"),
    [
        ("json", "number", ["1E+3", "0.12345678901200"], pa.decimal128(38, 12),
         [Decimal(1000), Decimal("0.123456789012")]),
        ("json", "number", ["-12345678901234567890123456789.5", "0"], pa.decimal128(38, 9),
         [Decimal("-12345678901234567890123456789.5"), Decimal(0)]),
        ("json", "number", ["1." + "0" * 60, "0." + "0" * 60, "-2.5"], pa.decimal128(38, 9),
         [Decimal(1), Decimal(0), Decimal("-2.5")]),
        ("json", "number", ["1E+400", None, "1.50"], pa.string(), ["1E+400", None, "1.50"]),
        ("json", "number", ["1", '"one"'], pa.string(), ["1", "one"]),
        ("json", "boolean", ["true", "null"], pa.bool_(), [True, None]),
        ("json", "list", ['["a", "b"]', "[]"], pa.list_(pa.string()), [["a", "b"], []]),
        ("json", "list", [None], pa.list_(pa.string()), [None]),
        ("json", "text", ['{"a": 1}', '"x"'], pa.string(), ['{"a": 1}', "x"]),
        ("json", "text", [None], pa.string(), [None]),
        ("day", "day", ["2025-02-28", None], pa.date32(), [date(2025, 2, 28), None]),
        ("day", "day", ["20260-01-01", "2025-02-28"], pa.string(), ["20260-01-01", "2025-02-28"]),
        ("moment", "moment", ["2025-02-28T00:00:00Z"], pa.timestamp("us", tz="UTC"),
         [datetime(2025, 2, 28, tzinfo=UTC)]),
    ],
)  # fmt: skip
def test_a_column_has_the_type_that_loses_nothing(
    kind: str, declared: str, texts: list[str | None], kept: Any, values: list[Any], tmp_path: Path
) -> None:
    assert column(tmp_path, kind, declared, *texts) == (kept, values)


def test_rows_are_written_in_groups_and_memory_does_not_grow_with_them(tmp_path: Path) -> None:
    head = [["id", "text", "text"], ["text", "json", "text"], ["n", "json", "number"]]
    line = json.dumps(["1", json.dumps("x" * 8000), "1.5"]).encode() + b"\n"

    small, large = tmp_path / "small.parquet", tmp_path / "large.parquet"

    less = write(small, head, repeat(line, 8_000))  # several groups: the allocator has its fill
    more = write(large, head, repeat(line, 16_000))

    assert parquet.read_metadata(small).num_rows == 8_000
    assert parquet.read_metadata(large).num_row_groups > 4
    assert more < less + 30_000  # of 64 MB more


def test_what_has_no_value_does_not_make_groups_short(tmp_path: Path) -> None:
    """Each column of each group costs memory until the end, and room in the file."""
    width, number = 2_000, 3_000
    head = [[f"c{each}", "json", "text"] for each in range(width)]
    line = json.dumps(["1", *[None] * (width - 1)]).encode() + b"\n"

    write(file := tmp_path / "wide.parquet", head, repeat(line, number))

    found = parquet.read_metadata(file)
    assert (found.num_rows, found.num_columns, found.num_row_groups) == (number, width, 1)
