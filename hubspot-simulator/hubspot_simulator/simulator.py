"""The server: portals behind one address, in a thread of the process."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import uvicorn

from hubspot_simulator.app import build
from hubspot_simulator.connections import Connections
from hubspot_simulator.faults import Fault, Kind
from hubspot_simulator.portal import Portal
from hubspot_simulator.request_log import LoggedRequest, RequestLog
from hubspot_simulator.serving import Background

if TYPE_CHECKING:
    from types import TracebackType

Hook = Callable[[LoggedRequest], object]
BACKLOG = 2048


class Simulator:
    """A HubSpot on a free port of the loopback."""

    def __init__(
        self,
        portals: Sequence[Portal] | None = None,
        *,
        latency_ms: float = 0,
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        self.portals = list(portals) if portals else [Portal.generate()]
        self.latency_ms = latency_ms
        self.requests = RequestLog()
        self.faults: list[Fault] = []
        self.request_hooks: list[Hook] = []
        self.answer_hooks: list[Hook] = []
        self.connections = Connections()
        self.is_stopping = False
        self._host = host
        self._port = port
        self._background: Background | None = None

    # The server

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    def _listen(self) -> tuple[uvicorn.Config, socket.socket]:
        # asyncio switches Nagle off only where the protocol is named.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
        except OSError:
            listener.close()
            raise
        # From now on connections wait instead of being refused.
        listener.listen(BACKLOG)
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            build(self),
            http=self.connections.protocol(),
            ws="none",
            lifespan="off",
            log_level="error",
            h11_max_incomplete_event_size=1 << 20,  # the app itself answers 414
            access_log=False,
            date_header=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
            backlog=BACKLOG,
        )
        return config, listener

    def start(self) -> Self:
        """Serve in the background."""
        self._background = Background(*self._listen())
        return self

    def stop(self) -> None:
        self.is_stopping = True
        if self._background is not None:
            self._background.stop()

    def run(self, ready: Callable[[], object]) -> None:
        """Serve in the foreground until interrupted."""
        config, listener = self._listen()
        ready()
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # What tests do with it

    def portal(self, index: int = 0, *, portal_id: int | None = None) -> Portal:
        if portal_id is None:
            return self.portals[index]
        for portal in self.portals:
            if portal.portal_id == portal_id:
                return portal
        raise KeyError(f"no portal {portal_id}")

    def fail(self, kind: Kind, **options: Any) -> Fault:
        """Order a fault; see `Fault` for the options."""
        fault = Fault(kind, **options)
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        self.faults.clear()

    def on_request(self, hook: Hook) -> None:
        """Call this before each request is answered: what it writes, the answer shows."""
        self.request_hooks.append(hook)

    def after(
        self, nth: int, do: Callable[[], object], *, endpoint: str = "list", object_type: str = ""
    ) -> None:
        """Do something once, when the answer to the nth request of a kind is made up."""
        seen = 0

        def hook(request: LoggedRequest) -> None:
            nonlocal seen
            if request.endpoint == endpoint and object_type in {"", request.object_type}:
                seen += 1
                if seen == nth:
                    do()

        self.answer_hooks.append(hook)

    def advance(self, seconds: float) -> None:
        """Push the clocks forward: index lag, token expiry, rate limits."""
        for portal in self.portals:
            portal.clock.advance(seconds)
            portal.limits.advance(seconds)
