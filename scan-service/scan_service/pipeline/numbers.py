"""Knows the numbers of one worker for Prometheus: its runs, its steps, and what they take."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from scan_service.engine.processes import below

if TYPE_CHECKING:
    from collections.abc import Iterator

# From a step of the sweep to a run of hours.
_BUCKETS = (0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 43200)


class Numbers:
    """The registry of one worker; no label says whose runs they are."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        ProcessCollector(registry=registry)  # `process_cpu_seconds_total` and the like
        self._running = Gauge(
            "scan_service_worker_running_runs", "Runs in progress", registry=registry
        )
        self._ended = Counter(
            "scan_service_worker_ended_runs", "Runs that ended", ["code"], registry=registry
        )
        self._steps = Histogram(
            "scan_service_worker_step_seconds", "Time of a step", ["step"],
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        self._heartbeat = Gauge(
            "scan_service_worker_heartbeat_timestamp_seconds",
            "When a sweep went well last, since 1970",
            registry=registry,
        )
        self._children = {
            "number": Gauge(
                "scan_service_worker_children", "Processes of its runs", registry=registry
            ),
            "cpu": Gauge(
                "scan_service_worker_children_cpu_seconds", "CPU time of those that live",
                registry=registry,
            ),
            "memory": Gauge(
                "scan_service_worker_children_resident_bytes", "Memory of those", registry=registry
            ),
        }  # fmt: skip

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure one step, however it ends."""
        with self._steps.labels(name).time():
            yield

    def took(self, name: str, seconds: float) -> None:
        """Note how long a step took."""
        self._steps.labels(name).observe(seconds)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count one run as long as it is in progress."""
        with self._running.track_inprogress():
            yield

    def ended(self, code: str) -> None:
        """Count a run's end.

        Args:
            code: of the error, as the scan has it; or how else the run ended: `completed`,
                `cancelled`, `moved` to another worker that this one left it to, or `lost` to one.
        """
        self._ended.labels(code).inc()

    def beat(self) -> None:
        """Note that this worker is at work and reaches the database."""
        self._heartbeat.set(time.time())

    async def text(self) -> bytes:
        """Look at the processes, and return everything in Prometheus' words."""
        for name, value in (await asyncio.to_thread(below)).items():
            self._children[name].set(value)
        return generate_latest(self._registry)
