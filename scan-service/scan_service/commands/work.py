"""Knows the process that carries out scans."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from service_base.logs import configure

from scan_service.commands.ready import NotReadyError, refuse_unready
from scan_service.commands.watch import answering, listen
from scan_service.db import Database
from scan_service.engine.privacy import keep_private
from scan_service.guard.vault import Vault
from scan_service.pipeline.worker import Worker

if TYPE_CHECKING:
    from scan_service.settings import Settings


async def work(settings: Settings) -> int:
    """Carry out scans until a signal comes, then hand the running ones over."""
    keep_private()
    configure(settings.log_format)
    await refuse_unready(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await carry_out(settings, stop)
    return 0


async def carry_out(settings: Settings, stop: asyncio.Event) -> None:
    """Carry out scans until it is told to stop.

    Raises:
        NotReadyError: the worker's own port cannot be had.
    """
    try:
        ear = listen(settings)
    except OSError as error:
        raise NotReadyError(
            f"SCAN_SERVICE_WORKER_PORT: {settings.host}:{settings.worker_port} cannot be listened"
            f" on: {os.strerror(error.errno or 0)}"
        ) from None
    db = Database(settings.database_url, size=settings.connections + settings.concurrency)
    await db.open()
    try:
        worker = Worker(settings, db, Vault(settings.secret_keys))
        async with answering(settings, worker.numbers, ear):
            await worker.work(stop)
    finally:
        await db.close()
