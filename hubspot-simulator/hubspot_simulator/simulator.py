"""The server: portals behind one address, in a thread of the process."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Self

import uvicorn

from hubspot_simulator.app import build
from hubspot_simulator.serving import Background
from hubspot_simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from hubspot_simulator.portal import Portal

BACKLOG = 2048


class Simulator(World):
    """A HubSpot on a free port of the loopback."""

    def __init__(
        self,
        portals: Sequence[Portal] | None = None,
        *,
        latency_ms: float = 0,
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(portals, latency_ms=latency_ms)
        self._host = host
        self._port = port
        self._background: Background | None = None

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
        self.url = f"http://{self._host}:{self._port}"
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
        with contextlib.suppress(KeyboardInterrupt):
            ready()
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
