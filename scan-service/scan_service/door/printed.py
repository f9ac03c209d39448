"""Knows how JSON that PostgreSQL has printed goes out: unread, in pieces, packed.

A page may have tens of megabytes, and each copy of them is memory of a server that others use too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service_base.pieces import PIECE, Pieces, takes_gzip
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware, IdentityResponder

from scan_service.records.spool import Spool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send


class Printed(Pieces):
    """An answer in JSON, most of which waits in a spool.

    Args:
        before: its text up to what was printed.
        printed: what was printed; closed when it is sent.
        after: the rest.
    """

    def __init__(self, before: bytes, printed: Spool, after: bytes) -> None:
        length = len(before) + printed.length + len(after)
        super().__init__(b"", media_type="application/json", length=length)
        self._before, self._printed, self._after = before, printed, after

    def whole(self) -> bytes:
        """Return the text in one, for whoever reads it in this process instead of sending it."""
        try:
            return self._before + self._printed.whole() + self._after
        finally:
            self._printed.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; nothing of it is left, however that ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._printed.close()

    async def _pieces(self) -> AsyncIterator[bytes]:
        if self._length <= PIECE:
            yield self._before + self._printed.whole() + self._after
            return
        yield self._before
        sent = 0
        while piece := await self._printed.read(sent, PIECE):
            sent += len(piece)
            yield piece
        yield self._after


async def printed(before: bytes, text: bytes, after: bytes) -> Printed:
    """Return an answer in three parts, the second of which PostgreSQL has printed."""
    spool = Spool()
    await spool.append(text)
    return Printed(before, spool, after)


class Packing(GZipMiddleware):
    """Packs answers for clients that take gzip; `gzip;q=0` says that one does not."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and not takes_gzip(
            Headers(scope=scope).get("Accept-Encoding", "")
        ):
            await IdentityResponder(self.app, self.minimum_size)(scope, receive, send)
            return
        await super().__call__(scope, receive, send)
