"""Knows how long answers go out: in pieces, and packed for clients who take that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import Receive, Scope, Send

PIECE = 256 * 1024
"""Bytes of a piece: enough that the middleware packs it in a thread."""
_REFUSED = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)", re.IGNORECASE)


def takes_gzip(accepted: str) -> bool:
    """Tell whether a client takes gzip, by his `Accept-Encoding`; `gzip;q=0` says no."""
    return "gzip" in accepted.lower() and not _REFUSED.search(accepted)


class Pieces(Response):
    """An answer whose length is known, and of which only a piece is on its way to each client.

    Args:
        content: what is sent; a subclass may have it elsewhere.
        length: in bytes; default: of the content.
        media_type: of the whole.
        headers: further ones.
    """

    def __init__(
        self,
        content: bytes,
        *,
        media_type: str,
        length: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self._content = content
        self._length = len(content) if length is None else length
        self.headers["Content-Length"] = str(self._length)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        left = self._length
        async for piece in self._pieces():
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})

    async def _pieces(self) -> AsyncIterator[bytes]:
        for begin in range(0, self._length or 1, PIECE):
            yield self._content[begin : begin + PIECE]
