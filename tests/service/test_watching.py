"""What operators see: health, metrics, logs."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from scan_service.door import prometheus
from scan_service.door.app import create_app
from service.kit import TENANT, TOKEN, Client, hold_to_description
from service_base.logs import configure
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubspot_simulator import Simulator
    from scan_service.settings import Settings
    from service.kit import Ledger


def test_health_is_public_and_remembered_for_ten_seconds(
    http: TestClient, hubspot: Simulator
) -> None:
    hubspot.requests.clear()

    answers = [http.get("/health") for _ in range(20)]

    for answer in answers:
        hold_to_description(answer)
        assert answer.status_code == 200
        assert answer.json()["service"] == "hubspot-deals-etl"
        assert answer.json()["dependencies"]["hubspot_api"]["status"] == "healthy"
        assert "X-RateLimit-Limit" not in answer.headers
    assert hubspot.requests.count() <= 1


def test_a_hubspot_that_is_away_is_shown_but_takes_no_server_out(settings: Settings) -> None:
    away = settings.model_copy(update={"hubspot_base_url": "http://127.0.0.1:1"})
    with TestClient(create_app(away)) as http:
        answer = http.get("/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"
    assert answer.json()["dependencies"]["hubspot_api"]["status"] == "unhealthy"


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_the_ledgers_and_name_no_tenant(client: Client) -> None:
    for number in range(7):
        client.start(f"scan-{number}")
    client.post("/api/v1/scan/cancel/scan-6")

    answer = client.http.get("/metrics")
    found = values(answer.text)

    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert found["scan_service_scans", (("status", "pending"),)] == 6
    assert found["scan_service_scans", (("status", "cancelled"),)] == 1
    assert found["scan_service_scans", (("status", "failed"),)] == 0
    assert found["scan_service_slots_used", ()] == 5
    assert found["scan_service_waiting_scans", ()] == 6
    started = (("operation", "POST /api/v1/scan/start"), ("status", "202"))
    assert found["scan_service_requests_total", started] >= 7
    assert TENANT not in answer.text
    assert "scan-0" not in answer.text


def test_a_scrape_reads_no_row_of_the_scans_that_ended(client: Client, ledger: Ledger) -> None:
    client.start()
    ledger.run(  # on disk, or vacuum would not yet call its pages visible to all
        "set synchronous_commit = on;"
        " insert into scan (tenant_id, scan_id, status, config, fingerprint, runs)"
        " select tenant_id, n::text, 'completed',"
        "  jsonb_build_object('properties', (select string_agg(md5(n || '/' || m), '')"
        "   from generate_series(1, 30) as m)), '', 2"
        " from tenant, generate_series(1, 3000) as n"
    )
    ledger.run("vacuum analyze scan")

    for statement in (prometheus.LEDGER, prometheus.QUEUE):
        plan = "\n".join(line for (line,) in ledger.run(f"explain {statement}"))
        assert "Seq Scan" not in plan, plan
    found = values(client.http.get("/metrics").text)
    assert found["scan_service_scans", (("status", "completed"),)] == 3000
    assert found["scan_service_repeated_runs", ()] == 3000


def test_metrics_may_ask_for_a_token_and_are_local_without_one(settings: Settings) -> None:
    guarded = settings.model_copy(update={"metrics_token": SecretStr("prometheus-secret")})
    with TestClient(create_app(guarded)) as http:
        codes = [
            http.get("/metrics", headers=headers).status_code
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": "Bearer prometheus-secret"},
            )
        ]
    with TestClient(create_app(settings), client=("203.0.113.9", 4711)) as http:
        elsewhere = http.get("/metrics").status_code

    assert codes == [401, 401, 200]
    assert elsewhere == 404


@pytest.fixture
def logging_here() -> Iterator[Callable[[], None]]:
    """Lets a test send the log to the stderr that it reads, and nobody after it."""
    before = logging.getLogger().handlers[:]
    yield configure
    logging.getLogger().handlers[:] = before


def entries(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_the_correlation_id_joins_request_answer_and_log(
    client: Client, capfd: pytest.CaptureFixture[str], logging_here: Callable[[], None]
) -> None:
    logging_here()
    given = "11111111-2222-4333-8444-555555555555"

    answer = client.get("/api/v1/scan/status/none", headers={"X-Correlation-ID": given})
    forged = client.get("/api/v1/scan/status/none", headers={"X-Correlation-ID": "a\tb{}"})

    assert answer.headers["X-Correlation-ID"] == given
    assert answer.json()["error"]["correlationId"] == given
    assert forged.headers["X-Correlation-ID"] != "a\tb{}"
    (line,) = [e for e in entries(capfd.readouterr().err) if e.get("correlation_id") == given]
    assert line["operation"] == "GET /api/v1/scan/status/{scan_id}"
    assert line["status"] == 404
    assert line["seconds"] >= 0


def test_no_log_line_shows_a_key_or_a_token(
    client: Client, capfd: pytest.CaptureFixture[str], logging_here: Callable[[], None]
) -> None:
    logging_here()
    client.start("scan-1")
    client.get(f"/api/v1/scan/status/{TOKEN}")
    client.start("scan-1")

    said = capfd.readouterr().err
    assert client.key
    assert client.key not in said
    assert TOKEN not in said
