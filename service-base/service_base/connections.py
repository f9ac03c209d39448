"""Knows how long, and how many connections, a client may hold without saying or hearing anything.

uvicorn waits for ever for the rest of a request and for a reader that has stopped; here both end.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)
_RECEIVING = (h11.IDLE, h11.SEND_BODY)


class Limits(Protocol):
    """What a service's settings say about connections; all times are seconds."""

    @property
    def connections_per_address(self) -> int:
        """Connections that one address may hold."""

    @property
    def proxy_addresses(self) -> frozenset[str]:
        """Addresses that may hold more."""

    @property
    def request_seconds(self) -> float:
        """Time for a request to arrive."""

    @property
    def stall_seconds(self) -> float:
        """Time that a reader may read nothing."""


def protocol(settings: Limits) -> type[H11Protocol]:
    """Return uvicorn's protocol with the limits of a server.

    Args:
        settings: how many connections an address may hold, unless it is a proxy's, how long a
            request may take to arrive, and how long a reader may read nothing.
    """
    return type("OneServer", (Limited,), {"settings": settings, "held": Counter[str]()})


class Limited(H11Protocol):
    """uvicorn's protocol, limited; `protocol` makes the one of a server."""

    settings: Limits
    held: Counter[str]
    _request: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None
    _address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or refuse one too many of its address."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if address not in self.settings.proxy_addresses:
            if self.held[address] >= self.settings.connections_per_address:
                transport.write(_FULL)
                transport.close()
                return
            self.held[address] += 1
            self._address = address
        self._watch_request()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch_request()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch_request()

    def pause_writing(self) -> None:
        """Wait for the reader, but not for ever."""
        super().pause_writing()
        self._reader = self._reader or self._later(self.settings.stall_seconds)

    def resume_writing(self) -> None:
        """Go on: the reader reads."""
        super().resume_writing()
        _end(self._reader)
        self._reader = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        _end(self._request)
        _end(self._reader)
        self._request = self._reader = None
        if self._address is not None:
            self.held[self._address] -= 1
            if not self.held[self._address]:
                del self.held[self._address]
            self._address = None
        super().connection_lost(exc)

    def _watch_request(self) -> None:
        """Give a request, from the silence before it to its last byte, a limited time."""
        if self.conn.their_state in _RECEIVING and not self.transport.is_closing():
            self._request = self._request or self._later(self.settings.request_seconds)
        else:
            _end(self._request)
            self._request = None

    def _later(self, seconds: float) -> asyncio.TimerHandle:
        # Not `close`, which waits for a reader that reads nothing.
        end: Callable[[], None] = self.transport.abort
        return self.loop.call_later(seconds, end)


def _end(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
