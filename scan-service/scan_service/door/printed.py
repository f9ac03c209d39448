"""Knows how long answers go out: unread where PostgreSQL has printed them, in pieces, packed.

A page may have tens of megabytes, and each copy of them is memory of a server that others use too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware, IdentityResponder
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.types import Receive, Scope, Send

# Long enough that the middleware packs it in a thread.
_PIECE = 256 * 1024
_REFUSED = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)", re.IGNORECASE)


class Printed(Response):
    """An answer in JSON, of parts that follow one another.

    Args:
        parts: its text.
    """

    media_type = "application/json"

    def __init__(self, *parts: bytes) -> None:
        super().__init__()
        self._parts: Sequence[bytes] = parts
        self._length = sum(map(len, parts))
        self.headers["Content-Length"] = str(self._length)

    @property
    def whole(self) -> bytes:
        """The text in one, for whoever reads it in this process."""
        return b"".join(self._parts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        left = self._length
        for piece in self._pieces():
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})

    def _pieces(self) -> Iterator[bytes]:
        if self._length <= _PIECE:
            yield self.whole
            return
        for part in self._parts:
            for begin in range(0, len(part), _PIECE):
                yield part[begin : begin + _PIECE]


class Packing(GZipMiddleware):
    """Packs answers for clients that take gzip; `gzip;q=0` says that one does not."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and _REFUSED.search(
            Headers(scope=scope).get("Accept-Encoding", "")
        ):
            await IdentityResponder(self.app, self.minimum_size)(scope, receive, send)
            return
        await super().__call__(scope, receive, send)
