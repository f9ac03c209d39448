"""What clients that are slow, silent, many or gone can do to a server: nothing to the others."""

from __future__ import annotations

import json
import socket
from copy import copy
from functools import partial
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
import requests
from service.kit import TENANT
from service.processes import Installation, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubspot_simulator import Simulator

OTHER = "tenant-b"
# Enough that no buffer between two processes holds it: a reader that stops is noticed.
DEALS, TEXT = 5_000, "x" * 4000
MOST_CONNECTIONS = 20
CSV = "/api/v1/scan/download/big/csv"
EXCEL = "/api/v1/scan/download/big/excel"


@pytest.fixture(scope="module")
def service(
    postgres_server: str, hubspot: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A patient server, and a finished scan of some 20 MB for each of two tenants."""
    found = Installation.fresh(
        postgres_server, tmp_path_factory.mktemp("slow"), hubspot.url,
        requests_per_minute=60_000, burst=60_000, export_connections=6,
        request_seconds=3600, stall_seconds=3600,
        connections_per_address=MOST_CONNECTIONS, proxies="192.0.2.1",
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
def impatient(service: Installation) -> Iterator[Installation]:
    """Another server of the same installation, that waits for nobody."""
    found = copy(service)
    found.processes, found.folder = [], service.folder / "impatient"
    found.folder.mkdir()
    try:
        found.serve(SCAN_SERVICE_REQUEST_SECONDS="2", SCAN_SERVICE_STALL_SECONDS="2")
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
    found.settimeout(60)
    return found


def asking(service: Installation, path: str, key: str) -> socket.socket:
    """A client that has asked and reads nothing."""
    found = connected(service)
    found.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    return found


def stopped(service: Installation, key: str) -> socket.socket:
    """A client whose file has begun, of which it reads nothing."""
    while True:
        client = asking(service, CSV, key)
        if is_answered(client):
            return client
        client.close()  # a busy machine: no connection of the database in time


def is_answered(client: socket.socket) -> bool:
    """Whether a client's answer is a file; the client has still read nothing of it."""
    return b" 200 OK" in client.recv(20, socket.MSG_PEEK | socket.MSG_WAITALL)


def is_free(service: Installation, key: str) -> bool:
    """Whether a tenant may begin one more download."""
    with asking(service, CSV, key) as client:
        return is_answered(client)


def whole(service: Installation, key: str) -> str | None:
    """A file, if the machine is not too busy for it."""
    response = service.ask("GET", CSV, key)
    return response.text if response.status_code == 200 else None


def connections(service: Installation) -> int:
    """How many connections of clients a server holds."""
    server = psutil.Process(service.processes[0].pid)
    port = int(service.url.rpartition(":")[2])
    return sum(
        bool(each.raddr) and each.laddr.port == port for each in server.net_connections("tcp")
    )


def snapshots(service: Installation) -> int:
    """How many transactions of the servers are open."""
    ((count,),) = service.ledger.run(
        "select count(*) from pg_stat_activity"
        " where application_name = 'scan-service' and datname = current_database()"
        " and backend_xmin is not null and pid <> pg_backend_pid()"
    )
    return int(count)


def rest(client: socket.socket) -> int:
    """How many bytes a client still gets, until its connection is closed."""
    received = 0
    try:
        while piece := client.recv(65536):
            received += len(piece)
    except ConnectionResetError:
        pass
    return received


def test_readers_that_stop_hold_no_connection_of_the_database(
    service: Installation, keys: dict[str, str]
) -> None:
    clients = [stopped(service, keys[TENANT]) for _ in range(2)]
    try:
        wait_for(lambda: snapshots(service) == 0)
        mine = service.ask("GET", CSV, keys[TENANT])
        other = wait_for(lambda: whole(service, keys[OTHER]))
    finally:
        for client in clients:
            client.close()

    assert (mine.status_code, mine.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert len(other.splitlines()) == DEALS + 2


def test_a_reader_that_stops_for_good_is_let_go_and_its_place_is_free(
    impatient: Installation, keys: dict[str, str]
) -> None:
    clients = [stopped(impatient, keys[TENANT]) for _ in range(2)]  # all that a tenant may have
    try:
        wait_for(lambda: connections(impatient) == 0)
        wait_for(lambda: is_free(impatient, keys[TENANT]))
        received = [rest(client) for client in clients]
    finally:
        for client in clients:
            client.close()

    assert max(received) < DEALS * len(TEXT)  # and could not take it for the whole file


def test_a_client_that_leaves_ends_the_work_for_it(
    service: Installation, keys: dict[str, str]
) -> None:
    server = psutil.Process(service.processes[0].pid)
    client = asking(service, EXCEL, keys[TENANT])
    (child,) = wait_for(server.children)
    child.suspend()  # the work does not end by itself
    wait_for(lambda: snapshots(service) == 1)
    client.close()

    wait_for(lambda: not server.children())
    wait_for(lambda: snapshots(service) == 0)


def test_headers_alone_cost_no_export(service: Installation, keys: dict[str, str]) -> None:
    with psycopg.connect(service.ledger.url) as holder:
        holder.execute("lock table scans.deals in access exclusive mode")
        head = service.ask("HEAD", EXCEL, keys[TENANT])

    assert head.status_code == 200
    assert "spreadsheetml" in head.headers["Content-Type"]


def test_requests_that_do_not_arrive_are_let_go(impatient: Installation) -> None:
    begun = (
        b"",
        b"GET /health HTTP/1.1\r\nHost: x\r\n",
        b"POST /api/v1/scan/start HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
    )
    clients = [connected(impatient) for _ in begun]
    try:
        for client, piece in zip(clients, begun, strict=True):
            client.sendall(piece)

        wait_for(lambda: connections(impatient) == 0)
    finally:
        for client in clients:
            client.close()


def test_what_is_no_request_is_refused_in_the_envelope(service: Installation) -> None:
    with connected(service) as client:
        # More than is read before it is refused.
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 100_000 + b"\r\n")
        answer = b"".join(iter(partial(client.recv, 2000), b""))
    head, _, body = answer.partition(b"\r\n\r\n")

    said = json.loads(body)
    assert head.startswith(b"HTTP/1.1 400")
    assert said.keys() == {"status", "error", "timestamp"}
    assert said["error"]["code"] == "VALIDATION_ERROR"


def test_an_address_gets_so_many_connections_and_others_stay_possible(
    service: Installation,
) -> None:
    wait_for(lambda: connections(service) == 0)
    clients = [connected(service) for _ in range(MOST_CONNECTIONS)]
    try:
        wait_for(lambda: connections(service) == MOST_CONNECTIONS)
        with connected(service) as one_more:
            refused = one_more.recv(200)
    finally:
        for client in clients:
            client.close()

    assert b"503 Service Unavailable" in refused
    wait_for(lambda: connections(service) == 0)
    assert service.ask("GET", "/health").status_code == 200


def test_an_aborted_upload_is_no_fault_of_the_service(
    service: Installation, keys: dict[str, str]
) -> None:
    with connected(service) as client:
        client.sendall(
            b"POST /api/v1/scan/start HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Authorization: Bearer " + keys[TENANT].encode() + b"\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.recv(200).startswith(b"HTTP/1.1 100")  # somebody waits for the body
        client.sendall(b"{")

    wait_for(lambda: connections(service) == 0)
    assert service.ask("GET", "/health/live").status_code == 200
    assert "Traceback" not in service.logs()
    assert '"status": 500' not in service.logs()


def test_wrong_keys_are_refused_without_the_database_after_a_while(
    service: Installation, keys: dict[str, str]
) -> None:
    with requests.Session() as session:

        def ask(key: str) -> requests.Response:
            headers = {"Authorization": f"Bearer {key}"}
            return session.get(f"{service.url}/api/v1/stats", headers=headers, timeout=60)

        ask(keys[TENANT])
        answers = [ask("sk_live_first")]
        while answers[-1].status_code == 401 and len(answers) < 1000:
            answers.append(ask(f"sk_live_{len(answers)}"))
        good = ask(keys[TENANT])

    assert len(answers) > 30
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert good.status_code == 200
