"""Knows the port on which a worker tells its numbers; it has no other."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvicorn
from service_base.connections import LONGEST_HEAD, protocol
from service_base.middleware import may_watch
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from scan_service.door.prometheus import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.requests import Request

    from scan_service.pipeline.numbers import Numbers
    from scan_service.settings import Settings

_MOST_CONNECTIONS = 20


class Unsignalled(uvicorn.Server):
    """A server that leaves the signals alone: its own way ends the process before the worker."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def listen(settings: Settings) -> socket.socket | None:
    """Take the port of a worker; None where it is to have none.

    Raises:
        OSError: it cannot be had.
    """
    if settings.worker_port is None:
        return None
    return socket.create_server((settings.host, settings.worker_port))


@asynccontextmanager
async def answering(
    settings: Settings, numbers: Numbers, ear: socket.socket | None
) -> AsyncIterator[None]:
    """Answer `/metrics` for the length of a block, if there is a port for it."""
    if ear is None:
        yield
        return

    async def metrics(request: Request) -> Response:
        allowed = may_watch(request, settings.metrics_token)
        if not allowed:
            return Response(status_code=404 if allowed is None else 401)
        return Response(await numbers.text(), headers={"Content-Type": CONTENT_TYPE})

    server = Unsignalled(
        uvicorn.Config(
            Starlette(routes=[Route("/metrics", metrics)]),
            log_config=None,
            access_log=False,
            server_header=False,
            http=protocol(settings),
            h11_max_incomplete_event_size=LONGEST_HEAD,
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[ear]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
