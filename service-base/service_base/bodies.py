"""Knows how the body of a request is read: JSON only, and never more of it than there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

UNSUPPORTED = 415
TOO_LARGE = 413


class BodyError(Exception):
    """A body that is not read: of another type (415), or larger than allowed (413)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def read_json(request: Request, *, most: int) -> bytes:
    """Return a body of at most so many bytes.

    Raises:
        BodyError: Which of its statuses says why.
    """
    kind = request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BodyError(UNSUPPORTED)
    # Starlette's own limit would answer in plain text.
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise BodyError(TOO_LARGE)
    return bytes(body)
