"""What the copies of all APIs share: a server, a log of requests, and faults on order."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from typing import Self


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's values by name."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def first(self, name: str, default: str = "") -> str:
        """The first value of a parameter."""
        return self.query.get(name, [default])[0]


@dataclass(frozen=True)
class Answer:
    """What goes back; a body that is no bytes goes as JSON."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The body's bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Fault:
    """Trouble for requests whose path contains a text: the nth of them, so often."""

    kind: int | str
    path: str = ""
    nth: int = 1
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = b""
    seen: int = 0

    def strikes(self, request: Request) -> bool:
        """Whether this request has the trouble."""
        if self.path not in request.path:
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


class Vendor:
    """An API on a port of its own; subclasses answer."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.hooks: list[Callable[[Request], None]] = []
        self.client: subprocess.Popen[bytes] | None = None  # whom the fault `kill` ends
        self._lock = threading.Lock()
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                vendor.handle(self)

            def do_POST(self) -> None:
                vendor.handle(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def fail(self, kind: int | str, **options: Any) -> Fault:
        """Order trouble: a status, or `reset`, `truncate`, `html`, `kill` (the client)."""
        self.faults.append(Fault(kind, **options))
        return self.faults[-1]

    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [request.path for request in self.requests]

    def answer(self, request: Request) -> Answer:
        """Answer as the API does."""
        raise NotImplementedError

    def handle(self, http: BaseHTTPRequestHandler) -> None:
        length = int(http.headers.get("Content-Length") or 0)
        request = Request(
            http.command, http.path, dict(http.headers.items()), http.rfile.read(length)
        )
        with self._lock:
            self.requests.append(request)
            fault = next((f for f in list(self.faults) if f.strikes(request)), None)
            for hook in list(self.hooks):
                hook(request)
            if fault is None or not isinstance(fault.kind, int):
                answer = self.answer(request)
            else:
                answer = Answer(fault.body, fault.kind, fault.headers)
        kind = fault.kind if fault else ""
        content = answer.content
        if kind == "reset":
            http.close_connection = True
            http.connection.close()
            return
        if kind == "kill":
            assert self.client is not None
            self.client.kill()
            self.client.wait()
        if kind == "html":
            content = b"<html><body>Sorry</body></html>"
        http.send_response(answer.status)
        for name, value in answer.headers.items():
            http.send_header(name, value)
        if answer.status != 304:
            http.send_header("Content-Length", str(len(content)))
        http.end_headers()
        if kind == "truncate":
            http.wfile.write(content[: len(content) // 2])
            http.close_connection = True
        elif answer.status != 304:
            http.wfile.write(content)
