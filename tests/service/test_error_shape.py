"""One shape over every error path."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import ValidationError
from scan_service.door.app import OPERATIONS, create_app
from scan_service.door.models import StartScan
from service.kit import TENANT, TOKEN, Client, Ledger, api, order
from starlette.testclient import TestClient

if TYPE_CHECKING:
    import httpx2
    from scan_service.settings import Settings

CODES = {
    400: "VALIDATION_ERROR", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND",
    405: "VALIDATION_ERROR", 409: "CONFLICT", 413: "VALIDATION_ERROR", 415: "VALIDATION_ERROR",
    429: "RATE_LIMIT_EXCEEDED", 500: "INTERNAL_ERROR", 503: "SERVICE_UNAVAILABLE",
}  # fmt: skip


def assert_error(response: httpx2.Response, status: int, code: str | None = None) -> Any:
    assert response.status_code == status, response.text
    body = response.json()
    assert body.keys() == {"status", "error", "timestamp"}
    assert body["status"] == "error"
    assert body["timestamp"].endswith("Z")
    error = body["error"]
    assert error["code"] == (code or CODES[status])
    assert error["message"]
    assert error["correlationId"] == response.headers["X-Correlation-ID"]
    assert error.keys() <= {"code", "message", "correlationId", "details", "retryAfter"}
    return error


def filled(path: str) -> str:
    for name in ("{scan_id}", "{schedule_id}", "{record_id}", "{connection_id}", "{webhook_id}"):
        path = path.replace(name, "nothing-here")
    return path.replace("{format}", "csv")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_without_a_valid_key_every_operation_answers_401(operation: Any, http: TestClient) -> None:
    for key in (None, "sk_live_unknown", ""):
        response = Client(http, key).ask(operation.method, filled(operation.path))

        assert_error(response, 401)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_without_the_permission_every_operation_answers_403(
    operation: Any, http: TestClient, ledger: Ledger
) -> None:
    others = {"hubspot_deals:read", "hubspot_deals:extract", "hubspot_deals:download"}
    key = ledger.key(permissions=tuple(others - {operation.permission}))

    error = assert_error(Client(http, key).ask(operation.method, filled(operation.path)), 403)

    assert operation.permission in error["message"]


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v1", "/api/v1/scan/nothing", "/api/v1/scan/status/", "/api/v2/stats", "/%00"],
)
def test_unknown_paths_wear_the_envelope(path: str, http: TestClient) -> None:
    assert_error(http.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/scan/start"),
        ("PUT", "/api/v1/scan/list"),
        ("POST", "/health"),
        ("POST", "/health/live"),
        ("PATCH", "/docs"),
    ],
)
def test_wrong_methods_wear_the_envelope(method: str, path: str, http: TestClient) -> None:
    response = http.request(method, path)

    assert_error(response, 405)
    assert response.headers["Allow"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/scan/status/none", "/api/v1/scan/result/none", "/api/v1/scan/download/none/csv",
        "/api/v1/scan/status/%00", "/api/v1/scan/status/%F0%9F%92%A5",
        "/api/v1/scan/status/" + "x" * 5000,
    ],
)  # fmt: skip
def test_unknown_scans_are_not_found(path: str, client: Client) -> None:
    assert_error(client.get(path), 404)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"), ("page=x", "page"), ("page=1.0", "page"), ("page=", "page"),
        ("page_size=101", "page_size"), ("page_size=0", "page_size"), ("status=done", "status"),
        ("sort=name", "sort"), ("order=up", "order"), ("page=99999999999999999999", "page"),
    ],
)  # fmt: skip
def test_bad_queries_name_their_field(query: str, field: str, client: Client) -> None:
    error = assert_error(client.get(f"/api/v1/scan/list?{query}"), 400)

    assert [detail["field"] for detail in error["details"]] == [field]


def queries() -> list[tuple[str, str, str]]:
    """Each parameter of a query that is no text, with its operation."""
    shared, found = api()["components"]["parameters"], []
    for path, item in api()["paths"].items():
        for method, operation in item.items():
            for each in operation.get("parameters", ()):
                said = shared[each["$ref"].rsplit("/", 1)[1]] if "$ref" in each else each
                schema = said["schema"]
                if said["in"] == "query" and (schema["type"] != "string" or "enum" in schema):
                    found.append((method, path, said["name"]))
    return found


@pytest.mark.parametrize(("method", "path", "name"), queries())
@pytest.mark.parametrize("value", ["maybe", "", "%00", "-1"])
def test_every_parameter_of_a_query_is_checked_and_the_refusal_described(
    method: str, path: str, name: str, value: str, client: Client
) -> None:
    answer = client.ask(method.upper(), f"{filled(path)}?{name}={value}")

    assert name in [each["field"] for each in assert_error(answer, 400)["details"]]


@pytest.mark.parametrize("query", ["", "confirm=false", "confirm=True", "confirm=1", "confirm="])
def test_removal_needs_the_literal_true(query: str, client: Client) -> None:
    error = assert_error(client.delete(f"/api/v1/scan/remove/none?{query}"), 400)

    assert error["details"][0]["field"] == "confirm"


@pytest.mark.parametrize("form", ["xlsx", "CSV", "pdf"])
def test_an_unknown_format_is_invalid(form: str, client: Client) -> None:
    error = assert_error(client.get(f"/api/v1/scan/download/none/{form}"), 400)

    assert error["details"][0]["field"] == "format"


SECRET = "pat-na1-this-must-never-come-back"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scanId": "a b"}, "config.scanId"),
        ({"scanId": "../../etc"}, "config.scanId"),
        ({"scanId": "x" * 129}, "config.scanId"),
        ({"scanId": 7}, "config.scanId"),
        ({"scanId": "a\n"}, "config.scanId"),
        ({"tenantId": None}, "config.tenantId"),
        ({"auth": {}}, "config.auth.accessToken"),
        ({"auth": {"accessToken": ""}}, "config.auth.accessToken"),
        ({"auth": {"accessToken": SECRET + "\r\nX: y"}}, "config.auth.accessToken"),
        ({"auth": {"accessToken": SECRET, "x": SECRET}}, "config.auth.x"),
        ({"auth": SECRET}, "config.auth"),
        ({"filters": {"archived": "yes"}}, "config.filters.archived"),
        ({"filters": {"pipeline": "a\u0000b"}}, "config.filters.pipeline"),
        ({"dateRange": {"startDate": "01.02.2025"}}, "config.dateRange.startDate"),
        ({"dateRange": {"startDate": "2025-02-30"}}, "config.dateRange.startDate"),
        ({"dateRange": {"endDate": 1735689600}}, "config.dateRange.endDate"),
        ({"dateRange": {"startDate": "2025-02-01", "endDate": "2025-01-01"}}, "config.dateRange"),
        ({"properties": ["no good"]}, "config.properties.0"),
        ({"properties": "dealname"}, "config.properties"),
        ({"properties": ["a"] * 1001}, "config.properties"),
        ({"associations": ["friends"]}, "config.associations"),
        ({"batchSize": 101}, "config.batchSize"),
        ({"batchSize": 0}, "config.batchSize"),
        ({"batchSize": "100"}, "config.batchSize"),
        ({"rateLimitDelay": 60001}, "config.rateLimitDelay"),
        ({"mode": "sometimes"}, "config.mode"),
        ({"typo": 1}, "config.typo"),
    ],
)
def test_bad_bodies_name_their_field_and_echo_nothing(
    change: dict[str, Any], field: str, client: Client, ledger: Ledger
) -> None:
    body = order()
    body["config"] |= change

    response = client.post("/api/v1/scan/start", json=body)

    error = assert_error(response, 400)
    assert field in [detail["field"] for detail in error["details"]]
    assert SECRET not in response.text
    assert TOKEN not in response.text
    assert ledger.run("select count(*) from scan") == [(0,)]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b'{"config": {"scanId": "\xff"}}', b"NaN",
     b'{"config": ' * 5000, b'{"config": {"scanId": "\\ud800", "tenantId": "t"}}'],
)  # fmt: skip
def test_bodies_that_are_no_json_object_are_invalid(body: bytes, client: Client) -> None:
    headers = {"Content-Type": "application/json"}

    assert_error(client.post("/api/v1/scan/start", content=body, headers=headers), 400)


@pytest.mark.parametrize(
    "change",
    [
        {f"typo{number}": 1 for number in range(50_000)},
        {"properties": [1] * 1000},
        {"objects": [{"name": "deals", "properties": [1] * 1000}] * 50},
        {"objects": [{"name": "deals", "history": [1] * 100, **dict.fromkeys(map(str, range(900)))}]
         * 50},
        {"associations": [1] * 50},
    ],
)  # fmt: skip
def test_of_many_wrong_things_a_few_are_told_of(change: dict[str, Any]) -> None:
    body = order()
    body["config"] |= change

    with pytest.raises(ValidationError) as refused:
        StartScan.model_validate_json(json.dumps(body))

    # Each costs a server a few microseconds, and all others wait for that.
    assert 0 < refused.value.error_count() < 2000


@pytest.mark.parametrize("name", ["%00", "a%00b", "", "contacts", "%F0%9F%92%A5", "x" * 200])
@pytest.mark.parametrize("path", ["result/{}", "result/{}/1", "download/{}/csv"])
def test_an_object_type_that_the_scan_does_not_read_is_invalid(
    path: str, name: str, client: Client, ledger: Ledger
) -> None:
    client.start("done")
    ledger.make_results("done", [])
    ledger.complete("done")

    error = assert_error(
        client.get(f"/api/v1/scan/{path.format('done')}?object={name}"), 400
    )  # fmt: skip

    assert error["details"][0]["field"] == "object"


def test_other_media_types_and_large_bodies_wear_the_envelope(client: Client) -> None:
    text = client.post("/api/v1/scan/start", content="x", headers={"Content-Type": "text/plain"})
    large = client.post(
        "/api/v1/scan/start",
        content=b" " * (1024 * 1024 + 1),
        headers={"Content-Type": "application/json"},
    )

    assert_error(text, 415)
    assert_error(large, 413)


def test_the_152nd_request_at_once_is_refused_with_all_headers(client: Client) -> None:
    allowed = 0
    began = time.monotonic()
    for _ in range(1000):
        response = client.get("/api/v1/scan/list")
        if response.status_code == 429:
            break
        allowed += 1
        assert response.headers["X-RateLimit-Limit"] == "100"
        assert int(response.headers["X-RateLimit-Reset"]) > 0

    error = assert_error(response, 429)
    refilled = (time.monotonic() - began) * 100 / 60
    assert 150 <= allowed <= 151 + refilled
    assert error["retryAfter"] == int(response.headers["Retry-After"])
    assert (
        error["message"]
        == f"Rate limit exceeded. Please retry after {error['retryAfter']} seconds."
    )
    assert response.headers["X-RateLimit-Remaining"] == "0"
    assert client.http.get("/health").status_code == 200


def test_expired_and_revoked_keys_look_like_unknown_ones(
    client: Client, ledger: Ledger, http: TestClient
) -> None:
    expired = ledger.key(expires_in=timedelta(seconds=-1))
    ledger.run("update api_key set revoked_at = now() where expires_at is null")

    answers = [
        Client(http, key).get("/api/v1/stats").json()["error"]
        for key in (expired, client.key, "sk_live_unknown")
    ]

    assert {(answer["code"], answer["message"]) for answer in answers} == {
        ("UNAUTHORIZED", "Missing or invalid API key")
    }


def test_the_header_of_another_tenant_is_refused(client: Client) -> None:
    assert_error(client.get("/api/v1/stats", headers={"X-Tenant-ID": "tenant-b"}), 403)
    assert client.get("/api/v1/stats", headers={"X-Tenant-ID": TENANT}).status_code == 200
    assert_error(client.post("/api/v1/scan/start", json=order(tenant="tenant-b")), 403)


def test_a_database_that_is_away_is_a_503_and_its_words_stay_inside(
    settings: Settings,
) -> None:
    away = settings.model_copy(
        update={"database_url": type(settings.database_url)("postgresql://u:hush@127.0.0.1:1/none")}
    )
    with TestClient(create_app(away), raise_server_exceptions=False) as http:
        response = Client(http, "sk_live_any").get("/api/v1/stats")
        health = http.get("/health")

    assert_error(response, 503)
    assert response.headers["Retry-After"] == "5"
    assert health.status_code == 503
    assert health.json()["dependencies"]["database"]["status"] == "unhealthy"
    assert health.json()["dependencies"]["hubspot_api"]["status"] == "healthy"
    assert "hush" not in response.text + health.text


def test_faults_of_the_service_show_no_sql(client: Client, ledger: Ledger) -> None:
    ledger.run("alter table outcome rename to lost")
    try:
        response = client.get("/api/v1/stats")
    finally:
        ledger.run("alter table lost rename to outcome")

    assert_error(response, 500, "DATABASE_ERROR")
    assert "outcome" not in response.text


def test_a_broken_rule_of_the_database_is_not_the_clients_fault(ledger: Ledger) -> None:
    ledger.key()
    with pytest.raises(psycopg.errors.CheckViolation):
        ledger.run(
            "insert into scan (tenant_id, scan_id, status, config, fingerprint, token)"
            " values (%s, 'x', 'completed', '{}', '', 'secret')",
            TENANT,
        )
