"""The HTTP server in a thread: quick to start and quick to stop."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import socket

START_SECONDS = 20.0
STOP_SECONDS = 2.0


class QuickServer(uvicorn.Server):
    """uvicorn without its tenths of a second of sleep: hundreds of tests start one each."""

    _loop: asyncio.AbstractEventLoop | None = None
    _exit: asyncio.Event | None = None

    async def main_loop(self) -> None:
        self._exit = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._exit.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        deadline = time.monotonic() + STOP_SECONDS
        while self.server_state.connections or self.server_state.tasks:
            if time.monotonic() > deadline:
                for task in self.server_state.tasks:
                    task.cancel()
                deadline += STOP_SECONDS
            await asyncio.sleep(0.001)

    def stop(self) -> None:
        """End the main loop, from any thread."""
        self.should_exit = True
        if self._loop is not None and self._exit is not None:
            self._loop.call_soon_threadsafe(self._exit.set)


class Background:
    """A server in a thread of this process."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        self._server = QuickServer(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="hubspot", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("The simulator did not start")
            time.sleep(0.001)

    def stop(self) -> None:
        self._server.stop()
        self._thread.join()
