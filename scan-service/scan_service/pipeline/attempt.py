"""Knows one run of one scan: start it, follow it, stop it, and write down what it came to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from service_base.database import AWAY
from service_base.logs import logger

from scan_service.engine.leash import LEASE_LOST
from scan_service.guard.vault import VaultError
from scan_service.ledger import runs
from scan_service.ledger.progress import Progress, problem
from scan_service.pipeline import meltano, verifying
from scan_service.pipeline.patience import end, insist
from scan_service.pipeline.run_catalog import columns_of, labels_of
from scan_service.pipeline.verdicts import TAP, Verdict

if TYPE_CHECKING:
    import uuid

    from scan_service.db import Database
    from scan_service.engine.jobs import Engine
    from scan_service.engine.processes import ForkServer
    from scan_service.guard.vault import Vault
    from scan_service.pipeline.numbers import Numbers
    from scan_service.settings import Settings

_log = logger(__name__)
_TICK_SECONDS = 0.5
_REPORT_SECONDS = 1.0
_KILL_SECONDS = 3.0
_CANCEL_SECONDS = 4.0
_RETRY_SECONDS = 5
_GONE = Verdict(
    completed=False, code="NOT_FOUND", message="The scan that was to be verified has been removed"
)


class Attempt:
    """One run of one scan."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        vault: Vault,
        engine: Engine,
        forks: ForkServer,
        numbers: Numbers,
        scan: dict[str, Any],
    ) -> None:
        self._settings = settings
        self._forks = forks
        self._numbers = numbers
        self._db = db
        self._vault = vault
        self._engine = engine
        self._scan = scan
        self._run_id: uuid.UUID = scan["run_id"]
        self._attempt: int = scan["attempt"]
        self._progress = Progress(
            processed=scan["processed_items"],
            failed=scan["failed_items"],
            state=scan["state"],
            errors=list(scan["errors"]),
            objects=scan["objects"],
            requests=scan["requests"],
        )
        self._log = _log.bind(scan=scan["scan_id"], tenant=scan["tenant_id"], run=str(self._run_id))

    async def run(self, stop: asyncio.Future[str]) -> None:
        """Start the run, follow it to its end, and write down what it came to."""
        with self._numbers.running():
            self._numbers.ended(await self._carry_out(stop))

    async def _carry_out(self, stop: asyncio.Future[str]) -> str:
        """Do what `run` says; return how the run ended."""
        self._log.info(
            "run started", attempt=self._attempt, resumed=self._scan["state"] is not None
        )
        try:
            with self._numbers.step("prepare"):
                await runs.prepare(self._db, self._scan)
            with meltano.prepared(self._settings, self._scan) as run:
                verdict = await self._outcome(run, stop)
        except VaultError as error:
            verdict = Verdict(completed=False, code="INTERNAL_ERROR", message=str(error))
        except AWAY:
            self._log.exception("run could not be started")
            verdict = Verdict(
                completed=False,
                code="DATABASE_ERROR",
                message="The run could not be started: the database did not answer in time",
                try_again=True,
            )
        except OSError as error:
            # No space, no processes, no such command: another machine may do better.
            self._log.exception("run could not be started")
            verdict = Verdict(
                completed=False,
                code="INTERNAL_ERROR",
                message=f"The run could not be started: {os.strerror(error.errno or 0)}",
                try_again=True,
            )
        except Exception:  # noqa: BLE001 - whatever it is, the scan says so
            verdict = self._unexpected()
        if verdict is None:
            return "lost"
        try:
            with self._numbers.step("conclude"):
                return await self._conclude(verdict, stop)
        except Exception:  # noqa: BLE001 - the same
            verdict = self._unexpected()
            reason = problem(verdict.code, verdict.message, attempt=self._attempt)
            await insist(lambda: runs.fail(self._db, self._engine, self._run_id, reason), self._log)
            return verdict.code

    def _unexpected(self) -> Verdict:
        """Judge by what nobody foresaw: the scan says where the log has it, and ends."""
        self._log.exception("run met something unexpected")
        return Verdict(
            completed=False,
            code="INTERNAL_ERROR",
            message=f"Unexpected error; the log has it under run {self._run_id}",
        )

    async def _outcome(self, run: meltano.Pipeline, stop: asyncio.Future[str]) -> Verdict | None:
        """Follow a run; one that verifies a scan says nothing of one that was removed meanwhile."""
        if self._scan["config"].get("verifies") is None:
            return await self._follow(run, stop)
        run.since = before = await runs.verified_since(self._db, self._scan)
        verdict = await self._follow(run, stop) if before else _GONE
        if verdict is None or not verdict.completed:
            return verdict
        if await runs.verified_since(self._db, self._scan) == before:
            return verdict
        self._progress.findings = None  # the differences are those of the removal
        return _GONE

    async def _follow(self, run: meltano.Pipeline, stop: asyncio.Future[str]) -> Verdict | None:
        """Follow a run; None if the scan has been given to another one meanwhile."""
        with self._numbers.step("start"):
            leash = await meltano.begin(run, self._settings, self._vault, self._forks, self._scan)
        began = reported = time.monotonic()
        stopping: float | None = None
        ends = asyncio.ensure_future(self._exit(leash))
        try:
            while not ends.done():
                waits: set[asyncio.Future[Any]] = {ends} if stopping else {ends, stop}
                await asyncio.wait(
                    waits, timeout=_TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                now = time.monotonic()
                self._look(run)
                if now - reported >= _REPORT_SECONDS and not ends.done():
                    reported = now
                    status = await self._report(leash)
                    if status is None:
                        self._log.warning("run lost its scan to another worker")
                        return None
                    if status == "cancelled" and not stop.done():
                        stop.set_result("cancelled")
                if now - began > self._settings.scan_hours * 3600 and not stop.done():
                    stop.set_result("overdue")
                if stop.done():
                    stopping = await self._stop(leash, stop.result(), stopping, now)
        finally:
            await leash.kill()
            ends.cancel()
            self._numbers.took("run", time.monotonic() - began)
        code = ends.result() if ends.done() and not ends.cancelled() else 1
        self._progress.findings = verifying.read(run.report, run.log)
        self._look(run)
        # It is over, and waits for nothing; what it left is still to be counted.
        self._progress.live["waiting"] = None
        return self._judge(run, code, stop)

    def _judge(self, run: meltano.Pipeline, code: int, stop: asyncio.Future[str]) -> Verdict:
        if stop.done() and stop.result() == "overdue":
            hours = self._settings.scan_hours
            return Verdict(
                completed=False,
                code="INTERNAL_ERROR",
                message=f"Not finished after {hours:g} hours",
            )
        if code == LEASE_LOST:
            return Verdict(
                completed=False, code="INTERNAL_ERROR", try_again=True,
                message="The run lost contact with the database",
            )  # fmt: skip
        # A verification that found differences ends with 1, and is complete.
        return run.log.verdict(0 if self._progress.findings else code)

    @staticmethod
    async def _exit(leash: Any) -> int:
        while (code := await leash.wait(3600)) is None:
            pass
        return int(code)

    def _look(self, run: meltano.Pipeline) -> None:
        """Read what the run has written down since the last look."""
        while run.log.follow():
            pass
        self._progress.count(self._scan, run.log.written, run.log.hindrances.refused)
        self._progress.requests = run.log.pace.shown() or self._progress.requests
        self._progress.live = run.log.hindrances.shown()
        if run.log.properties.keys() != self._progress.columns.keys():
            self._progress.columns = columns_of(run.log.properties)
            self._progress.columns_kept = False
            self._progress.labels = labels_of(run.log.properties)
        if (state := run.read_state()) is not None:
            self._progress.state = state
            if state != self._scan["state"] and run.log.written.total():
                # It got further than the runs before it, which therefore count no more.
                self._progress.advanced, self._attempt = True, 1

    async def _report(self, leash: Any) -> str | None:
        """Renew the lease; without the database it runs out by itself, for all at the same time."""
        try:
            async with asyncio.timeout(self._settings.lease_seconds / 2):
                status = await runs.report(self._db, self._run_id, self._progress)
        except (*AWAY, TimeoutError):
            return "unknown"
        if status is not None:
            leash.beat()
        return status

    async def _stop(self, leash: Any, why: str, since: float | None, now: float) -> float:
        """End a run in three steps: the tap, so that what it read is kept; all; by force."""
        if since is None:
            # Without a tap to ask (Meltano is still starting) nothing has been read yet.
            if not leash.terminate(TAP):
                leash.terminate()
            return now
        patience = _CANCEL_SECONDS if why == "cancelled" else self._settings.stop_seconds
        if now - since > patience + _KILL_SECONDS:
            await leash.kill()
        elif now - since > patience:
            leash.terminate()
        return since

    async def _conclude(self, verdict: Verdict, stop: asyncio.Future[str]) -> str:
        """Write down what a run came to; return how it ended."""
        progress, again = self._progress, False
        if verdict.completed:
            status = "completed"
        elif stop.done() and stop.result() == "leaving":
            await insist(lambda: runs.give_back(
                self._db, self._engine, self._run_id, progress, counts=False
            ), self._log)  # fmt: skip
            self._log.info("run moved to another worker")
            return "moved"
        else:
            status = "failed"
            progress.errors.append(problem(verdict.code, verdict.message, attempt=self._attempt))
            most = self._settings.max_attempts
            again = verdict.try_again and self._attempt < most
            again = again and self._scan["runs"] < most * runs.MOST_RUNS_PER_ATTEMPT
        if stop.done() and stop.result() == "cancelled":
            again = False
        if again:
            await insist(lambda: runs.give_back(
                self._db, self._engine, self._run_id, progress,
                in_seconds=_RETRY_SECONDS * self._attempt,
            ), self._log)  # fmt: skip
            self._log.warning("run failed, will be tried again", reason=verdict.message)
            return verdict.code
        # Counting what a scan left may take longer than a silent run is believed in.
        reporting = asyncio.create_task(self._report_for_ever())
        try:
            final = await insist(
                lambda: runs.finish(self._db, self._engine, self._run_id, status, progress),
                self._log,
            )
        finally:
            await end(reporting)
        self._log.info(
            "scan ended", status=final, processed=progress.processed, reason=verdict.message
        )
        return verdict.code if final == "failed" else final or "lost"

    async def _report_for_ever(self) -> None:
        while True:
            with contextlib.suppress(*AWAY):
                await runs.report(self._db, self._run_id, self._progress)
            await asyncio.sleep(_REPORT_SECONDS)
