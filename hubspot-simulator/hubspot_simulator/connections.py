"""The server's open connections, so that a fault can reset one."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

Client = tuple[str, int]


class Connections:
    """Transports by the client's address."""

    def __init__(self) -> None:
        self._open: dict[Client, asyncio.Transport] = {}

    async def reset(self, client: Client) -> None:
        """Make the client see ECONNRESET: no lingering, no FIN."""
        transport = self._open.get(client)
        if transport is None:
            return
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await self.gone(client)

    async def cut(self, client: Client) -> None:
        """End the connection in the middle of a body, with what was sent so far."""
        transport = self._open.get(client)
        if transport is not None:
            transport.close()
            await self.gone(client)

    async def gone(
        self, client: Client, *, unless: Callable[[], bool] = lambda: False, poll: float = 0.002
    ) -> None:
        """Wait until the connection is closed."""
        while client in self._open and not unless():  # noqa: ASYNC110 - uvicorn tells by no event
            await asyncio.sleep(poll)

    def protocol(self) -> type[asyncio.Protocol]:
        """Make uvicorn's protocol one that registers here."""
        known = self._open

        class Registered(H11Protocol):
            """uvicorn's HTTP protocol, known by the client's address."""

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                known[_peer(transport)] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                known.pop(_peer(self.transport), None)
                super().connection_lost(exc)

        return Registered


def _peer(transport: Any) -> Client:
    host, port = transport.get_extra_info("peername")[:2]
    return host, port
