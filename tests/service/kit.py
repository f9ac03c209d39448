"""A service to ask and a ledger to look into; every answer is held against the description."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import psycopg
import yaml
from pydantic import SecretStr
from scan_service.db import Database, connect
from scan_service.door.app import description
from scan_service.engine.jobs import Engine
from scan_service.guard.auth import PERMISSIONS, create_key
from scan_service.ledger import runs
from scan_service.ledger.progress import Progress, problem

if TYPE_CHECKING:
    from datetime import timedelta

    import httpx2
    from starlette.testclient import TestClient

TOKEN = "pat-na1-0123abcd-4567-89ef-aaaa-bbbbccccdddd"
TENANT = "tenant-abc-123"
ROOT = Path(__file__).resolve().parents[2]


@cache
def api() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(description())
    return loaded


def described(method: str, path: str, status: int) -> dict[str, Any] | None:
    """The schema that the description gives an answer, or None where it has none in JSON."""
    words = path.strip("/").split("/")
    for pattern, operations in api()["paths"].items():
        parts = pattern.strip("/").split("/")
        if len(parts) != len(words) or method.lower() not in operations:
            continue
        if all(
            part.startswith("{") or part == word for part, word in zip(parts, words, strict=True)
        ):
            answer = operations[method.lower()]["responses"].get(str(status))
            assert answer is not None, f"{method} {pattern} answers {status}, undescribed"
            if "$ref" in answer:
                answer = api()["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
            schema: dict[str, Any] | None = (
                answer["content"].get("application/json", {}).get("schema")
            )
            return schema
    return None


def hold_to_description(response: httpx2.Response) -> None:
    """Fail if an answer is not what the description says."""
    schema = described(response.request.method, response.request.url.path, response.status_code)
    if schema is None or not response.headers.get("Content-Type", "").startswith(
        "application/json"
    ):
        return
    validator = jsonschema.Draft202012Validator({**schema, "components": api()["components"]})
    validator.validate(response.json())
    assert response.headers["X-Correlation-ID"]


class Client:
    """Asks the service as one tenant; every answer is held against the description."""

    def __init__(self, http: TestClient, key: str | None) -> None:
        self.http = http
        self.key = key

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        headers |= options.pop("headers", {})
        response = self.http.request(method, path, headers=headers, **options)
        hold_to_description(response)
        return response

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx2.Response:
        return self.ask("POST", path, **options)

    def patch(self, path: str, **options: Any) -> httpx2.Response:
        return self.ask("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> httpx2.Response:
        return self.ask("DELETE", path, **options)

    def start(self, scan_id: str = "scan-1", **config: Any) -> httpx2.Response:
        return self.post("/api/v1/scan/start", json=order(scan_id, **config))


def order(scan_id: str = "scan-1", tenant: str = TENANT, **config: Any) -> dict[str, Any]:
    """The smallest body that starts a scan, and what is to be different."""
    return {
        "config": {
            "scanId": scan_id,
            "tenantId": tenant,
            "auth": {"accessToken": TOKEN},
            **config,
        }
    }


@dataclass
class Ledger:
    """The database behind a service under test."""

    url: str

    def key(
        self,
        tenant: str = TENANT,
        permissions: tuple[str, ...] = PERMISSIONS,
        expires_in: timedelta | None = None,
    ) -> str:
        async def make() -> str:
            async with await connect(SecretStr(self.url)) as connection:
                return await create_key(
                    connection, tenant, permissions=permissions, expires_in=expires_in
                )

        return asyncio.run(make())

    def run(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            self.url, autocommit=True, options="-c search_path=scan_service"
        ) as connection:
            cursor = connection.execute(query, values or None)
            return [] if cursor.description is None else cursor.fetchall()

    def make_results(self, scan_id: str, deals: list[dict[str, Any]], tenant: str = TENANT) -> None:
        """Put rows where the target would, in the columns that it would make."""
        self.run(_RESULT_TABLES)
        for deal in deals:
            row: dict[str, Any] = {
                "_tenant_id": tenant,
                "_scan_id": scan_id,
                "read_at": "2025-11-10T16:02:00Z",
                **{name: value for name, value in deal.items() if name in _OWN},
                "properties": _properties(deal),
            }
            names = ", ".join(f'"{name}"' for name in row)
            marks = ", ".join("%s" for _ in row)
            values = [json.dumps(v) if isinstance(v, dict | list) else v for v in row.values()]
            self.run(f"insert into scans.deals ({names}) values ({marks})", *values)

    def complete(
        self,
        scan_id: str,
        tenant: str = TENANT,
        *,
        kinds: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        """End a scan as a worker would, with kinds and labels of the properties of deals."""
        told = Progress(
            columns={"deals": {"standard": kinds or KINDS, "custom": {}}},
            labels={"deals": labels or {}},
        )
        self._end(scan_id, tenant, "completed", told)

    def fail(self, scan_id: str, code: str, tenant: str = TENANT) -> None:
        """Let a scan fail, as a worker would."""
        errors = [problem(code, "Refused", attempt=1)]
        known = {"deals": {"standard": KINDS, "custom": {}}}
        self._end(scan_id, tenant, "failed", Progress(columns=known, errors=errors))

    def count(self) -> int:
        """Count the scans that ended without their worker, as another worker would; how many."""

        async def all_of_them() -> int:
            db, found = Database(SecretStr(self.url)), 0
            await db.open()
            try:
                for scan in await runs.uncounted(db):
                    await runs.count(db, scan)
                    found += 1
            finally:
                await db.close()
            return found

        return asyncio.run(all_of_them())

    def _end(self, scan_id: str, tenant: str, status: str, progress: Progress) -> None:
        async def end() -> None:
            db, engine = Database(SecretStr(self.url)), Engine()
            await db.open()
            await engine.open(db.pool)
            try:
                (found,) = self.run(
                    "select id, job_id from scan where tenant_id = %s and scan_id = %s",
                    tenant, scan_id,
                )  # fmt: skip
                taken = await runs.take(db, found[0], found[1], worker="test")
                assert taken
                await runs.finish(db, engine, taken["run_id"], status, progress)
            finally:
                await db.close()

        asyncio.run(end())


_OWN = frozenset({
    "id", "archived", "archived_at", "merged_into", "created_at", "updated_at", "read_at",
    "custom_properties", "unparsed_properties", "associations", "raw",
})  # fmt: skip
# What the account's definitions say; every other property is a text.
KINDS = {
    "amount": "number", "amount_in_home_currency": "number", "hs_deal_stage_probability": "number",
    "hs_is_closed": "boolean", "hs_is_closed_won": "boolean", "closedate": "moment",
    "createdate": "moment", "hs_lastmodifieddate": "moment", "hs_next_activity_date": "moment",
    "hs_all_team_ids": "list",
}  # fmt: skip


def _properties(deal: dict[str, Any]) -> str:
    """HubSpot's own properties of a deal as the tap nests them; numbers keep their digits."""
    pairs = [
        f"{json.dumps(name)}: {value if KINDS.get(name) == 'number' else json.dumps(value)}"
        for name, value in deal.items()
        if name not in _OWN and value is not None
    ]
    return "{" + ", ".join(pairs) + "}"


_RESULT_TABLES = """
create table if not exists scans.deals (
    _tenant_id text, _scan_id text, id text, archived boolean,
    archived_at timestamptz, merged_into text,
    created_at timestamptz, updated_at timestamptz, read_at timestamptz, properties jsonb,
    custom_properties jsonb,
    unparsed_properties jsonb, associations jsonb, raw jsonb,
    primary key (_tenant_id, _scan_id, id));
create table if not exists scans.associations (
    _tenant_id text, _scan_id text, from_id text, to_id text, read_at timestamptz);
"""
