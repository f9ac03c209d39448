"""Athena's API over a real SQL engine: queries run, are asked for, and come in pages of texts."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

from harness.vendors.server import Answer, Request, Vendor

TYPES = {
    "leap_credit_app_id": "varchar",
    "customer_id": "varchar",
    "estimate_id": "varchar",
    "amount": "decimal",
    "is_sale": "boolean",
    "documents": "bigint",
    "created_at": "timestamp",
    "updated_at": "timestamp",
    "tags": "array",
}
TABLES = {
    "credit_applications": "leap_credit_app_id",
    "customer": "customer_id",
    "estimates": "estimate_id",
    "lead_results": "estimate_id",
}
PREFIX = "AmazonAthena."


class Athena(Vendor):
    """An Athena with SalesPro's four tables.

    Args:
        rows: So many in each, a minute apart.
    """

    def __init__(self, *, rows: int = 10) -> None:
        super().__init__()
        self.key_id, self.secret = "AKIATEST", "athena-secret"
        self.data = sqlite3.connect(":memory:", check_same_thread=False)
        self.results: dict[str, tuple[list[str], list[tuple[Any, ...]], str]] = {}
        self.queries: list[str] = []
        for table, key in TABLES.items():
            self.data.execute(
                f"create table {table} ({key} text, amount text, is_sale text, documents int,"
                " created_at text, updated_at text, tags text)"
            )
            self.data.executemany(
                f"insert into {table} values (?, ?, ?, ?, ?, ?, ?)",
                [
                    (f"{table}-{n}", "1234.50", "true", 2**40 + n, at, at, "[roof, Dächer]")
                    for n in range(rows)
                    if (at := f"2026-01-{1 + n // 1440:02d} {n // 60 % 24:02d}:{n % 60:02d}:00.000")
                ],
            )

    def answer(self, request: Request) -> Answer:
        if f"Credential={self.key_id}/" not in request.headers.get("Authorization", ""):
            return fault("UnrecognizedClientException", "The security token is invalid.")
        target = request.headers.get("X-Amz-Target", "").removeprefix(PREFIX)
        asked = json.loads(request.body)
        if target == "StartQueryExecution":
            return self._start(asked)
        found = self.results.get(asked.get("QueryExecutionId", ""))
        if found is None:
            return fault("InvalidRequestException", "QueryExecution was not found")
        if target == "GetQueryExecution":
            status = {"State": "FAILED" if found[2] else "SUCCEEDED", "StateChangeReason": found[2]}
            execution = {
                "QueryExecutionId": asked["QueryExecutionId"],
                "Query": "select",
                "Status": {**status, "SubmissionDateTime": 1.0},
                "QueryExecutionContext": {"Database": "salespro"},
                "Statistics": {},
                "WorkGroup": "primary",
            }
            place = {"OutputLocation": "s3://results/x.csv"}
            kind = {"StatementType": "DML", "SubstatementType": "SELECT"}
            return Answer(
                {"QueryExecution": {**execution, "ResultConfiguration": place, **kind}},
            )
        return self._results(asked, *found[:2])

    def _start(self, asked: dict[str, Any]) -> Answer:
        if asked["QueryExecutionContext"]["Database"] != "salespro":
            return fault("InvalidRequestException", "Database does not exist")
        sql = asked["QueryString"]
        self.queries.append(sql)
        name = f"00000000-0000-0000-0000-{len(self.results):012d}"
        try:
            ran = self.data.execute(re.sub(r"timestamp '", "'", sql))
            # of names that come twice SQLite makes `id` and `id:1`
            columns = [column.partition(":")[0] for column, *_ in ran.description]
            self.results[name] = (columns, ran.fetchall(), "")
        except sqlite3.Error as exc:
            self.results[name] = ([], [], f"SYNTAX_ERROR: {exc}")
        return Answer({"QueryExecutionId": name})

    @staticmethod
    def _results(asked: dict[str, Any], names: list[str], rows: list[tuple[Any, ...]]) -> Answer:
        """At most 1,000 rows a page; the names of the columns are the first row of all."""
        every = [tuple(names), *rows]
        begin, size = int(asked.get("NextToken", "0")), min(asked.get("MaxResults", 1000), 1000)
        page = every[begin : begin + size]
        columns = [
            {
                "Name": name,
                "Label": name,
                "Type": TYPES.get(name, "varchar"),
                "Precision": 0,
                "Scale": 0,
                "Nullable": "UNKNOWN",
                "CaseSensitive": False,
            }
            for name in names
        ]
        data = [
            {"Data": [{} if v is None else {"VarCharValue": str(v)} for v in row]} for row in page
        ]
        more = {"NextToken": str(begin + size)} if begin + size < len(every) else {}
        result = {"Rows": data, "ResultSetMetadata": {"ColumnInfo": columns}}
        return Answer({"UpdateCount": 0, "ResultSet": result, **more})


def fault(code: str, message: str) -> Answer:
    """An error as AWS tells it."""
    return Answer(
        {"__type": code, "message": message},
        400,
        {"Content-Type": "application/x-amz-json-1.1", "X-Amzn-ErrorType": code},
    )
