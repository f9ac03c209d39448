"""Knows how long, and how many connections, a client may hold without saying or hearing anything.

uvicorn waits for ever for the rest of a request and for a reader that has stopped; here both end.
It also reads all that has arrived before anybody else's turn; here clients take short turns.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service_base.networks import network

if TYPE_CHECKING:
    import asyncio

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)
_RECEIVING = (h11.IDLE, h11.SEND_BODY)
_REFUSABLE = (h11.IDLE, h11.SEND_RESPONSE)
# Bytes read in one turn. One piece of a chunked body takes six, and some 15 microseconds.
_TURN = 2048
_LINGER_SECONDS = 2.0
LONGEST_HEAD = 16 * 1024
"""Bytes that a request's line and headers may have: reading 64 KB of them takes 50 ms."""


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


NO_HTTP = "The request is no HTTP, or its line and headers are longer than 16 KB"


def protocol(
    settings: Limits, refusal: Callable[[], Mapping[str, Any]] = lambda: {"error": NO_HTTP}
) -> type[H11Protocol]:
    """Return uvicorn's protocol with the limits of a server.

    Args:
        settings: how many connections an address may hold, unless it is a proxy's, how long a
            request may take to arrive, and how long a reader may read nothing.
        refusal: makes the body of the 400 to what cannot be read as a request, for JSON.
    """
    own = {
        "settings": settings, "refusal": staticmethod(refusal), "held": Counter[str](),
        "unread": deque[Callable[[], None]](),
    }  # fmt: skip
    return type("OneServer", (Limited,), own)


class Limited(H11Protocol):
    """uvicorn's protocol, limited; `protocol` makes the one of a server."""

    settings: Limits
    refusal: Callable[[], Mapping[str, Any]]
    held: Counter[str]
    # Those of which more has arrived than a turn reads, in the order of their turns.
    unread: deque[Callable[[], None]]
    _request: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None
    _address: str | None = None
    _arrived = b""
    _waits = False
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or refuse one too many of its address."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if address not in self.settings.proxy_addresses:
            address = network(address)
            if self.held[address] >= self.settings.connections_per_address:
                transport.write(_FULL)
                transport.close()
                return
            self.held[address] += 1
            self._address = address
        self._watch_request()

    def data_received(self, data: bytes) -> None:
        """Take what has arrived of a request: its begin at once, the rest a little at each turn."""
        if self._refused:
            return
        self._arrived += data
        if self._waits:
            self.transport.pause_reading()
        else:
            self._read()

    def _read(self) -> None:
        if self.transport.is_closing():
            return
        piece, self._arrived = self._arrived[:_TURN], self._arrived[_TURN:]
        super().data_received(piece)
        self._watch_request()
        if self._arrived:
            self._wait_for_turn()
        elif not self.flow.read_paused:
            self.transport.resume_reading()

    def _wait_for_turn(self) -> None:
        self.transport.pause_reading()
        self._waits = True
        self.unread.append(self._go_on)
        if len(self.unread) == 1:
            self.loop.call_soon(self._give_turn)

    def _give_turn(self) -> None:
        """Let one client go on: however many wait, one turn of the loop takes no longer."""
        try:
            self.unread[0]()
        finally:
            self.unread.popleft()
            if self.unread:
                self.loop.call_soon(self._give_turn)

    def _go_on(self) -> None:
        self._waits = False
        try:
            self._read()
        except BaseException:
            self.transport.abort()  # as asyncio does
            raise

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it would be plain text
        """Refuse what is no HTTP; who has had his answer already, or half of it, gets no other."""
        if self.conn.our_state not in _REFUSABLE:
            self.transport.abort()
            return
        content = json.dumps(self.refusal()).encode()
        headers = [
            (b"content-type", b"application/json"), (b"connection", b"close"),
            (b"content-length", str(len(content)).encode()),
        ]  # fmt: skip
        answer = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        events = (answer, h11.Data(data=content), h11.EndOfMessage())
        self.transport.write(b"".join(self.conn.send(each) or b"" for each in events))
        if self.cycle is not None:  # whoever works on its begin hears that the client has left
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        # Closed with something unread, the connection would break before the answer is read.
        self._refused, self._arrived = True, b""
        self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the reader of the last answer."""
        super().on_response_complete()
        self._watch_request()
        if self.transport.is_closing():  # once all is read: nobody else would end that
            self._watch_reader()

    def pause_writing(self) -> None:
        """Wait for the reader, but not for ever."""
        super().pause_writing()
        self._watch_reader()

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
            self._request = self._request or self.loop.call_later(
                self.settings.request_seconds, self._wait_no_more
            )
        else:
            _end(self._request)
            self._request = None

    def _wait_no_more(self) -> None:
        self._request = None
        if self.transport.get_write_buffer_size():
            self._watch_reader()  # the answer before is still being read
        else:
            self.transport.abort()

    def _watch_reader(self) -> None:
        """Give a reader a limited time to read something, again and again."""
        unread = self.transport.get_write_buffer_size()

        def look() -> None:
            self._reader = None
            if self.transport.get_write_buffer_size() < unread:
                self._watch_reader()
            else:
                self.transport.abort()  # not `close`, which waits for the reader

        self._reader = self._reader or self.loop.call_later(self.settings.stall_seconds, look)


def _end(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
