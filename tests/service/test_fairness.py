"""Nobody is stopped by anybody else: what one tenant does leaves another's answers quick."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from service.kit import TENANT, order
from service.processes import Deaf, Installation

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER = "tenant-b"
QUICK = 0.5
HEALTHY = 1.0


@pytest.fixture(scope="module")
def service(
    postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A server with two tenants, in front of a HubSpot that never answers."""
    deaf = Deaf()
    found = Installation.fresh(
        postgres_server, tmp_path_factory.mktemp("fair"), deaf.url,
        requests_per_minute=60_000, burst=60_000, hubspot_probe_seconds=2,
    )  # fmt: skip
    try:
        found.serve()
        for tenant in (TENANT, OTHER):
            key = found.ledger.key(tenant)
            found.start(f"of-{tenant}", tenant=tenant, key=key)
        yield found
    finally:
        found.stop()
        deaf.close()


@pytest.fixture(scope="module")
def keys(service: Installation) -> dict[str, str]:
    return {tenant: service.ledger.key(tenant) for tenant in (TENANT, OTHER)}


def watched(service: Installation, key: str, *, seconds: float) -> tuple[list[float], list[float]]:
    """How long each `status` of a tenant and each `/health` took, for a while."""
    statuses, healths = [], []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        assert service.status(f"of-{OTHER}", key)["scanId"] == f"of-{OTHER}"
        statuses.append(time.monotonic() - began)
        began = time.monotonic()
        assert service.ask("GET", "/health", key).status_code == 200
        healths.append(time.monotonic() - began)
    return sorted(statuses), sorted(healths)


def assert_quick(times: tuple[list[float], list[float]]) -> None:
    statuses, healths = times
    assert len(statuses) >= 10
    # Half of them, since a test must not depend on what else the machine does.
    assert statuses[len(statuses) // 2] < QUICK
    assert healths[len(healths) // 2] < HEALTHY


def in_parallel(what: Any, times: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(times)
    for number in range(times):
        pool.submit(what, number)
    return pool


def test_a_locked_row_stops_its_own_tenant_only_and_only_for_a_while(
    service: Installation, keys: dict[str, str]
) -> None:
    path = f"/api/v1/scan/cancel/of-{TENANT}"
    codes: list[int] = []
    with psycopg.connect(service.ledger.url, options="-c search_path=scan_service") as holder:
        holder.execute("select 1 from scan where tenant_id = %s for update", [TENANT])
        with in_parallel(
            lambda _: codes.append(service.ask("POST", path, keys[TENANT]).status_code), 24
        ):
            time.sleep(0.5)
            times = watched(service, keys[OTHER], seconds=3)

    assert_quick(times)
    assert set(codes) == {503}


def test_requests_that_wait_to_be_counted_stop_their_own_tenant_only(
    service: Installation, keys: dict[str, str]
) -> None:
    path = f"/api/v1/scan/status/of-{TENANT}"
    codes: list[int] = [service.ask("GET", path, keys[TENANT]).status_code]
    with psycopg.connect(service.ledger.url, options="-c search_path=scan_service") as holder:
        holder.execute("select 1 from bucket where tenant_id = %s for update", [TENANT])
        with in_parallel(
            lambda _: codes.append(service.ask("GET", path, keys[TENANT]).status_code), 24
        ):
            time.sleep(0.5)
            times = watched(service, keys[OTHER], seconds=2)

    assert_quick(times)
    assert codes[0] == 200
    assert set(codes[1:]) == {503}


def test_forty_starts_against_a_silent_hubspot_stop_nobody(
    service: Installation, keys: dict[str, str]
) -> None:
    codes: list[int] = []

    def start(number: int) -> None:
        body = order(f"flood-{number}", TENANT)
        codes.append(service.ask("POST", "/api/v1/scan/start", keys[TENANT], json=body).status_code)

    with in_parallel(start, 40):
        time.sleep(0.2)
        times = watched(service, keys[OTHER], seconds=2)

    assert_quick(times)
    assert set(codes) == {202}


def test_a_scan_can_be_cancelled_while_its_records_are_counted(
    service: Installation, keys: dict[str, str]
) -> None:
    service.ledger.make_results("of-" + OTHER, [{"id": "1"}], OTHER)
    counting = threading.Thread(target=finish, args=(service, "of-" + OTHER, OTHER))
    with psycopg.connect(service.ledger.url) as holder:
        # Whoever counts now waits, as for a million rows.
        holder.execute("lock table scans.deals in access exclusive mode")
        counting.start()
        time.sleep(0.5)
        began = time.monotonic()
        answer = service.ask("POST", f"/api/v1/scan/cancel/of-{OTHER}", keys[OTHER])
        took = time.monotonic() - began
    counting.join(30)

    assert answer.status_code == 200
    assert took < 2
    assert service.row("of-" + OTHER, OTHER)["status"] == "cancelled"


def finish(service: Installation, scan_id: str, tenant: str) -> None:
    service.ledger.complete(scan_id, tenant)


def test_liveness_asks_nobody(settings: Any) -> None:
    from scan_service.door.app import create_app  # noqa: PLC0415
    from starlette.testclient import TestClient  # noqa: PLC0415

    away = settings.model_copy(
        update={"database_url": type(settings.database_url)("postgresql://u:p@127.0.0.1:1/none")}
    )
    with TestClient(create_app(away)) as http:
        assert http.get("/health/live").json()["status"] == "alive"
        assert http.get("/health").status_code == 503
        assert http.get("/health/").status_code == 404
