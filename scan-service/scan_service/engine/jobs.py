"""Knows the job engine, procrastinate; no other module does. A job only wakes a worker."""

from __future__ import annotations

import asyncio
import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procrastinate import App, PsycopgConnector
from procrastinate.job_context import AbortReason
from procrastinate.jobs import DeleteJobCondition, Status
from procrastinate.schema import SchemaManager

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from procrastinate import JobContext
    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool

_TASK = "run_scan"
_QUEUE = "scans"
_HEARTBEAT_SECONDS = 2.0
_STALLED_SECONDS = 30
_KEEP_HOURS = 24
# The engine says the same things at INFO that the worker says in the service's words.
logging.getLogger("procrastinate").setLevel(logging.WARNING)


class Engine:
    """Wakes a worker for an admitted scan, and stops it."""

    def __init__(self) -> None:
        self._app = App(connector=PsycopgConnector())

    async def open(self, pool: AsyncConnectionPool[Any]) -> None:
        """Use the service's own pool, so that jobs commit together with the ledger's rows."""
        await self._app.open_async(pool)

    async def defer(
        self, connection: AsyncConnection[Any], scan: uuid.UUID, *, in_seconds: int = 0
    ) -> int:
        """Queue a job for a scan, in the caller's transaction."""
        return await self._app.configure_task(
            _TASK,
            queue=_QUEUE,
            connection=connection,
            schedule_in={"seconds": in_seconds} if in_seconds else None,
        ).defer_async(scan=str(scan))

    async def abort(self, connection: AsyncConnection[Any], job: int) -> None:
        """Take a job back, or have the worker that holds it stop, in the caller's transaction."""
        await self._app.job_manager.cancel_job_by_id_async(
            job, abort=True, delete_job=False, connection=connection
        )

    async def waiting(self, connection: AsyncConnection[Any], jobs: Sequence[int]) -> list[int]:
        """Return which of these jobs a worker can still take, in the caller's transaction."""
        cursor = await connection.execute(
            "select id from procrastinate_jobs where id = any(%s) and status = 'todo'", [[*jobs]]
        )
        return [row["id"] for row in await cursor.fetchall()]

    async def workers(self, connection: AsyncConnection[Any]) -> int:
        """Return how many workers live, in the caller's transaction."""
        cursor = await connection.execute(
            "select count(*) as n from procrastinate_workers"
            " where last_heartbeat > clock_timestamp() - make_interval(secs => %s)",
            [_STALLED_SECONDS],
        )
        row = await cursor.fetchone()
        return int(row["n"]) if row else 0

    async def clean(self) -> None:
        """Forget what dead workers and finished jobs left in the engine's tables."""
        manager = self._app.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=_STALLED_SECONDS):
            if job.id is not None:
                await manager.finish_job_by_id_async(job.id, status=Status.FAILED, delete_job=True)
        await manager.prune_stalled_workers(_STALLED_SECONDS)
        await manager.delete_old_jobs(
            _KEEP_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
        )

    async def work(
        self,
        run: Callable[[uuid.UUID, int, Callable[[], bool]], Awaitable[None]],
        *,
        concurrency: int,
        stop: asyncio.Event,
    ) -> None:
        """Run jobs until `stop` is set; then interrupt them and wait for their ends.

        Args:
            run: takes a scan, its job and a function that tells whether an interruption means
                that this worker or its engine goes (true) or that the scan was cancelled (false).
            concurrency: how many at once.
            stop: ends the work.

        Raises:
            ConnectionError: the engine gave up, usually because the database went away.
        """

        @self._app.task(name=_TASK, queue=_QUEUE, pass_context=True)
        async def run_scan(context: JobContext, scan: str) -> None:
            def leaves() -> bool:
                # An engine that loses its database interrupts its jobs too: no scan was cancelled.
                return context.abort_reason() is not AbortReason.USER_REQUEST

            await run(uuid.UUID(scan), context.job.id or 0, leaves)

        working = asyncio.create_task(
            self._app.run_worker_async(
                queues=[_QUEUE],
                concurrency=concurrency,
                # Our own signal handler sets `stop`: the engine's would replace it.
                install_signal_handlers=False,
                shutdown_graceful_timeout=0,
                fetch_job_polling_interval=2.0,
                abort_job_polling_interval=2.0,
                update_heartbeat_interval=_HEARTBEAT_SECONDS,
                stalled_worker_timeout=_STALLED_SECONDS,
                delete_jobs=DeleteJobCondition.SUCCESSFUL.value,
            )
        )
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            return
        # Nobody asked for the end. Without its database the engine stops as if all were well.
        await asyncio.gather(working, return_exceptions=True)
        raise ConnectionError("the job engine stopped") from (
            None if working.cancelled() else working.exception()
        )


def schema() -> str:
    """Return the SQL that makes the engine's tables in an empty database."""
    return SchemaManager.get_schema()


def schema_changes() -> list[tuple[str, str]]:
    """Return the engine's own numbered migrations, oldest first."""
    folder = Path(SchemaManager.get_migrations_path())
    return [
        (f"engine/{file.name}", file.read_text(encoding="utf-8"))
        for file in sorted(folder.glob("*.sql"))
    ]
