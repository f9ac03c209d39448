"""Knows how a file goes to a client that may read slowly, stop reading or leave.

What the database prints goes to a nameless file on disk as fast as it comes, and from there to the
client as fast as that reads: nobody holds a connection, or the snapshot of it, by not reading.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from scan_service.records.spool import Spool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping
    from contextlib import AsyncExitStack

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

T = TypeVar("T")

_PIECE = 64 * 1024
_LOOK_SECONDS = 0.5


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do what may take long before the first byte, for as long as the client waits for it.

    Raises:
        ClientDisconnect: the client has left; the work is cancelled and has cleaned up.
    """
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK_SECONDS))[0]:
            if await request.is_disconnected():
                raise ClientDisconnect
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Download(StreamingResponse):
    """A file on its way.

    Args:
        making: what the pieces need: closed as soon as the last one is on disk.
        holding: what the client uses until it has read all, or leaves.
        pieces: the content.
        headers: of the answer.
    """

    def __init__(
        self,
        making: AsyncExitStack,
        holding: AsyncExitStack,
        pieces: AsyncIterator[bytes],
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(self._read(), headers=headers)
        self._making = making
        self._holding = holding
        self._pieces = pieces
        self._spool = Spool()
        self._news = asyncio.Event()
        self._over = False
        self._failure: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file; nothing of it is left, however that ends."""
        async with self._holding:
            filling = asyncio.create_task(self._fill())
            try:
                await super().__call__(scope, receive, send)
            finally:
                filling.cancel()
                await asyncio.gather(filling, return_exceptions=True)
                self._spool.close()

    async def _fill(self) -> None:
        try:
            async with self._making:
                async for piece in self._pieces:
                    await self._spool.append(piece)
                    self._news.set()
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._over = True
            self._news.set()

    async def _read(self) -> AsyncIterator[bytes]:
        sent = 0
        while True:
            self._news.clear()
            if sent < self._spool.length:
                piece = await self._spool.read(sent, _PIECE)
                sent += len(piece)
                yield piece
            elif self._over:
                if self._failure is not None:
                    raise self._failure  # half a file must not look like a whole one
                return
            else:
                await self._news.wait()
