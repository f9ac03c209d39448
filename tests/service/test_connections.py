"""What clients that are slow, silent, many or gone can do to a server: nothing to the others."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import psutil
import pytest
import requests
from service.kit import TENANT
from service.processes import Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_simulator import Simulator

OTHER = "tenant-b"
# Enough that no buffer between two processes holds it: a reader that stops is noticed.
DEALS, TEXT = 20_000, "x" * 1000


@pytest.fixture(scope="module")
def service(
    postgres_server: str, hubspot: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A server with short patience, and a finished scan of some 20 MB for each of two tenants."""
    found = Installation.fresh(
        postgres_server, tmp_path_factory.mktemp("slow"), hubspot.url,
        requests_per_minute=60_000, burst=60_000, export_connections=3,
        request_seconds=2, stall_seconds=15, connections_per_address=20, proxies="192.0.2.1",
    )  # fmt: skip
    try:
        found.serve()
        for tenant in (TENANT, OTHER):
            found.start("big", tenant=tenant, key=found.ledger.key(tenant))
            found.ledger.make_results("big", [{"id": "0"}], tenant)
            found.ledger.run(
                "insert into scans.deals (_tenant_id, _scan_id, id, properties)"
                " select %s, 'big', number::text, jsonb_build_object('description', %s::text)"
                " from generate_series(1, %s) as number",
                tenant, TEXT, DEALS,
            )  # fmt: skip
            found.ledger.complete("big", tenant)
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def keys(service: Installation) -> dict[str, str]:
    return {tenant: service.ledger.key(tenant) for tenant in (TENANT, OTHER)}


def connected(service: Installation) -> socket.socket:
    host, port = service.url.removeprefix("http://").split(":")
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    found.connect((host, int(port)))
    found.settimeout(20)
    return found


def asking(service: Installation, path: str, key: str) -> socket.socket:
    """A client that has asked and reads nothing."""
    found = connected(service)
    found.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    return found


def snapshots(service: Installation) -> int:
    """How many transactions of the server are open."""
    ((count,),) = service.ledger.run(
        "select count(*) from pg_stat_activity"
        " where application_name = 'scan-service' and datname = current_database()"
        " and backend_xmin is not null and pid <> pg_backend_pid()"
    )
    return int(count)


def is_closed(client: socket.socket) -> bool:
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return True


CSV = "/api/v1/scan/download/big/csv"


def test_readers_that_stop_hold_no_connection_of_the_database(
    service: Installation, keys: dict[str, str]
) -> None:
    clients = [asking(service, CSV, keys[TENANT]) for _ in range(2)]
    try:
        wait_for(lambda: b"200 OK" in clients[1].recv(200, socket.MSG_PEEK), seconds=30)
        wait_for(lambda: snapshots(service) == 0, seconds=30)
        mine = service.ask("GET", CSV, keys[TENANT])
        other = service.ask("GET", CSV, keys[OTHER])
    finally:
        for client in clients:
            client.close()

    assert (mine.status_code, mine.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert other.status_code == 200
    assert len(other.text.splitlines()) == DEALS + 2


def test_a_reader_that_stops_for_good_is_let_go_and_its_place_is_free(
    service: Installation, keys: dict[str, str]
) -> None:
    clients = [asking(service, CSV, keys[TENANT]) for _ in range(2)]
    try:
        again = wait_for(
            lambda: (a := service.ask("GET", CSV, keys[TENANT])).status_code == 200 and a,
            seconds=40,
        )
        assert len(again.text.splitlines()) == DEALS + 2
        received = sum(len(piece) for piece in iter(lambda: received_from(clients[0]), b""))
        received += sum(len(piece) for piece in iter(lambda: received_from(clients[1]), b""))
        assert received < 2 * DEALS * len(TEXT)  # and could not take it for the whole file
    finally:
        for client in clients:
            client.close()


def received_from(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except ConnectionResetError:
        return b""


def test_a_client_that_leaves_ends_the_work_for_it(
    service: Installation, keys: dict[str, str]
) -> None:
    client = asking(service, "/api/v1/scan/download/big/excel", keys[TENANT])
    server = psutil.Process(service.processes[0].pid)
    wait_for(server.children, seconds=10)
    client.close()

    wait_for(lambda: not server.children(), seconds=5)
    wait_for(lambda: snapshots(service) == 0, seconds=5)


def test_headers_alone_cost_no_export(service: Installation, keys: dict[str, str]) -> None:
    began = time.monotonic()
    head = service.ask("HEAD", "/api/v1/scan/download/big/excel", keys[TENANT])

    assert head.status_code == 200
    assert "spreadsheetml" in head.headers["Content-Type"]
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /health HTTP/1.1\r\nHost: x\r\n",
        b"POST /api/v1/scan/start HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
    ],
)
def test_a_request_that_does_not_arrive_is_let_go(service: Installation, begun: bytes) -> None:
    with connected(service) as client:
        began = time.monotonic()
        client.sendall(begun)

        assert is_closed(client)
        assert time.monotonic() - began < 15


def test_an_address_gets_so_many_connections_and_others_stay_possible(
    service: Installation,
) -> None:
    clients = [connected(service) for _ in range(25)]
    try:
        clients[-1].sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        refused = clients[-1].recv(200)
    finally:
        for client in clients:
            client.close()

    assert b"503 Service Unavailable" in refused
    wait_for(lambda: service.ask("GET", "/health").status_code == 200, seconds=20)


def test_an_aborted_upload_is_no_fault_of_the_service(
    service: Installation, keys: dict[str, str]
) -> None:
    with connected(service) as client:
        client.sendall(
            b"POST /api/v1/scan/start HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Authorization: Bearer " + keys[TENANT].encode() + b"\r\n\r\n{"
        )
        time.sleep(0.3)

    time.sleep(0.3)
    assert "Traceback" not in service.logs()
    assert '"status": 500' not in service.logs()


def test_wrong_keys_are_refused_without_the_database_after_a_while(
    service: Installation, keys: dict[str, str]
) -> None:
    with requests.Session() as session:

        def ask(key: str) -> requests.Response:
            headers = {"Authorization": f"Bearer {key}"}
            return session.get(f"{service.url}/api/v1/stats", headers=headers, timeout=20)

        ask(keys[TENANT])
        answers = [ask(f"sk_live_{number}") for number in range(70)]
        good = ask(keys[TENANT])

    assert {answer.status_code for answer in answers[:30]} == {401}
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert good.status_code == 200
