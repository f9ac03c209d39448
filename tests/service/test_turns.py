"""Clients share the event loop: none gets more of it by what it sends in one go."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from scan_service.commands.watch import Unsignalled
from scan_service.door.app import description
from scan_service.guard.addresses import Addresses
from service_base import documents
from service_base.connections import LONGEST_HEAD, NO_HTTP, protocol
from service_base.networks import network
from starlette.requests import ClientDisconnect, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from scan_service.settings import Settings
    from starlette.testclient import TestClient

CHUNKS = 30_000
PATIENCE = {"request_seconds": 1, "stall_seconds": 1}
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


def served(
    settings: Settings,
    app: Any,
    talk: Callable[[socket.socket], bytes],
    *,
    http: Any = None,
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> bytes:
    """What a client gets that has said all it has to say before the server looks.

    With a protocol of its own, the network between the two holds next to nothing.
    """
    got = []

    async def serve() -> None:
        ear = socket.create_server(("127.0.0.1", 0))
        if http:
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        server = Unsignalled(uvicorn.Config(
            app, http=http or protocol(settings), h11_max_incomplete_event_size=LONGEST_HEAD,
            ws="none", log_config=None, lifespan="off",
        ))  # fmt: skip
        client = socket.socket()
        if http:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(ear.getsockname())

        def speak() -> None:
            try:
                got.append(talk(client))
            finally:
                client.close()
                server.should_exit = True

        speaking = threading.Thread(target=speak)
        speaking.start()
        await asyncio.sleep(0.05)  # the more is there at once, the better; none is needed
        watching = asyncio.create_task(beside()) if beside else None
        await server.serve(sockets=[ear])
        speaking.join()
        if watching:
            watching.cancel()

    asyncio.run(serve())
    return got[0]


def test_the_smallest_chunks_are_read_a_few_at_each_turn(settings: Settings) -> None:
    turns: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        more = scope["type"] == "http"
        while more:
            message = await receive()
            turns.append(len(message.get("body", b"")))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"read"})

    def talk(client: socket.socket) -> bytes:
        body = b"1\r\nx\r\n" * CHUNKS + b"0\r\n\r\n"
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        return client.recv(1000)

    answer = served(settings, app, talk)

    assert answer.startswith(b"HTTP/1.1 200")
    assert sum(turns) == CHUNKS
    assert max(turns) < 1000


def test_many_who_send_the_smallest_chunks_take_turns_one_at_a_time(settings: Settings) -> None:
    many, reads, turns = 20, [0], [0]

    class Counted(protocol(settings.model_copy(update={"connections_per_address": many}))):  # type: ignore[misc]
        fresh = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            feed = self.conn.receive_data

            def receive(data: bytes) -> None:
                reads[0] += not self.fresh
                feed(data)

            self.conn.receive_data = receive

        def data_received(self, data: bytes) -> None:
            self.fresh = True
            super().data_received(data)
            self.fresh = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Request(scope, receive).body()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def watch() -> None:
        """Count at each turn of the loop how often more than a first piece was read."""
        while True:
            turns.append(reads[0])
            reads[0] = 0
            await asyncio.sleep(0)

    def talk(client: socket.socket) -> bytes:
        body = b"1\r\nx\r\n" * 2000 + b"0\r\n\r\n"
        others = [
            socket.create_connection(client.getpeername(), timeout=60) for _ in range(many - 1)
        ]
        try:
            for each in (*others, client):
                each.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)
            return b"".join(each.recv(1000) for each in (*others, client))
        finally:
            for each in others:
                each.close()

    answers = served(settings, app, talk, http=Counted, beside=watch)

    assert answers.count(b"HTTP/1.1 200") == many
    assert sum(turns) > many
    assert max(turns) <= 2


def test_what_has_been_sent_at_once_is_read_whole(settings: Settings) -> None:
    bodies: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        bodies.append(await Request(scope, receive).body())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 300_000})

    def talk(client: socket.socket) -> bytes:
        one = HEAD + b"Content-Length: 200000\r\n\r\n" + b"y" * 200_000
        sending = threading.Thread(target=client.sendall, args=[one * 3])
        sending.start()
        got = b""
        while got.count(b"HTTP/1.1 200") < 3 or not got.endswith(b"0\r\n\r\n"):
            got += client.recv(65536)
        sending.join()
        return got

    answer = served(settings, app, talk)

    assert bodies == [b"y" * 200_000] * 3
    assert answer.count(b"HTTP/1.1 200") == 3


@pytest.mark.parametrize(("length", "status"), [(8_000, b"200"), (30_000, b"400")])
def test_a_head_is_no_longer_than_any_client_needs(
    length: int, status: bytes, settings: Settings
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def talk(client: socket.socket) -> bytes:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
        client.sendall(b"a:b\r\n" * (length // 5) + b"\r\n")
        return b"".join(iter(lambda: client.recv(1000), b""))

    answer = served(settings, app, talk)

    assert answer.split()[1] == status
    if status == b"400":
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"content-type: application/json" in head
        assert json.loads(body) == {"error": NO_HTTP}


def test_an_answered_client_who_goes_on_with_nonsense_is_no_fault_of_ours(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def talk(client: socket.socket) -> bytes:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        got = client.recv(1000)
        client.sendall(b"no length\r\n")
        try:
            return got + client.recv(1000)
        except ConnectionResetError:
            return got

    answer = served(settings, app, talk)

    assert answer.count(b"HTTP/1.1") == 1
    assert "Traceback" not in caplog.text
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


def test_a_request_that_turns_into_nonsense_is_answered_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(ClientDisconnect):
            await Request(scope, receive).body()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"read"})

    def talk(client: socket.socket) -> bytes:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\nno length\r\n")
        return b"".join(iter(lambda: client.recv(1000), b""))

    answer = served(settings, app, talk)

    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


@pytest.mark.parametrize("head", [b"", b"Connection: close\r\n"])
def test_who_does_not_read_the_end_of_an_answer_is_let_go(head: bytes, settings: Settings) -> None:
    gone = threading.Event()

    class Seen(protocol(settings.model_copy(update=PATIENCE))):  # type: ignore[misc]
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            gone.set()

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200, "headers": []})
        # Less than lets a writer wait: nothing tells that it is not read.
        await send({"type": "http.response.body", "body": b"x" * 50_000})

    def talk(client: socket.socket) -> bytes:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
        return b"gone" if gone.wait(60) else b"held"

    assert served(settings, app, talk, http=Seen) == b"gone"


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_address_stands_for_all_that_its_owner_has(address: str, whose: str) -> None:
    assert network(address) == whose


def test_wrong_keys_from_all_over_a_network_are_counted_together() -> None:
    addresses = Addresses()

    for number in range(100):
        addresses.failed(f"2001:db8:1:2::{number:x}")

    assert addresses.wait("2001:db8:1:2:ffff::1", b"another wrong one") > 0
    assert addresses.wait("2001:db8:1:3::1", b"another wrong one") == 0


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/openapi.yaml"])
def test_what_anybody_may_read_is_packed_once(path: str, http: TestClient) -> None:
    packed = http.get(path, headers={"Accept-Encoding": "gzip"})
    plain = http.get(path, headers={"Accept-Encoding": "gzip;q=0"})
    (route,) = [each for each in documents.routes(description()) if each.path == path]

    request = Request({"type": "http", "headers": [(b"accept-encoding", b"gzip")]})

    async def twice() -> list[Any]:
        return [await route.endpoint(request), await route.endpoint(request)]

    first, second = asyncio.run(twice())

    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert {"Accept-Encoding"} == {each.headers["Vary"] for each in (packed, plain)}
    assert packed.content == plain.content
    assert int(plain.headers["Content-Length"]) == len(plain.content)
    assert first._content is second._content
    assert gzip.decompress(first._content) == plain.content
