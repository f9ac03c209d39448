"""Knows the numbers for Prometheus: this process's requests, and the ledger as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from scan_service.db import Database
    from scan_service.engine.jobs import Engine

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# No tenant among the labels: whoever may read the metrics need not know the customers.
# Of what has ended the index `scan_told` alone is read, however long the history is.
LEDGER = """
select status, count(*) as scans, coalesce(sum(greatest(runs - 1, 0)), 0)::float8 as repeated
from scan group by status
"""
QUEUE = """
select count(*) filter (where status = 'pending') as waiting,
    count(slot) as slots,
    count(run_id) as places,
    coalesce(extract(epoch from clock_timestamp()
        - min(created_at) filter (where status = 'pending')), 0)::float8 as oldest,
    coalesce(extract(epoch from clock_timestamp()
        - min(seen_at) filter (where run_id is not null)), 0)::float8 as silent
from scan where status = 'pending' or slot is not null
"""
_DELIVERIES = """
select count(*) as untold,
    coalesce(extract(epoch from clock_timestamp()
        - min(due_at) filter (where attempts = 0)), 0)::float8 as overdue
from delivery where due_at is not null
"""


class Metrics:
    """The registry of one server."""

    def __init__(self, db: Database, engine: Engine) -> None:
        self._db = db
        self._engine = engine
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Counter(
            "scan_service_requests", "Requests answered", ["operation", "status"], registry=registry
        )
        self._seconds = Histogram(
            "scan_service_request_seconds", "Time to answer", ["operation"], registry=registry
        )
        self._scans = Gauge(
            "scan_service_scans", "Scans in the ledger", ["status"], registry=registry
        )
        self._queue = {
            "waiting": Gauge("scan_service_waiting_scans", "Scans that wait", registry=registry),
            "slots": Gauge("scan_service_slots_used", "Slots in use", registry=registry),
            "oldest": Gauge(
                "scan_service_oldest_waiting_seconds", "Age of the oldest waiting scan",
                registry=registry,
            ),
            "silent": Gauge(
                "scan_service_longest_silence_seconds", "Since the quietest run said something",
                registry=registry,
            ),
            "workers": Gauge("scan_service_workers", "Workers that live", registry=registry),
            "places": Gauge(
                "scan_service_worker_runs", "Runs that workers carry out", registry=registry
            ),
            "untold": Gauge(
                "scan_service_waiting_deliveries", "Calls of webhooks to come", registry=registry
            ),
            "overdue": Gauge(
                "scan_service_late_delivery_seconds", "How late the latest first call is",
                registry=registry,
            ),
            "repeated": Gauge(
                "scan_service_repeated_runs", "Runs beyond a scan's first one", registry=registry
            ),
        }  # fmt: skip

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(operation, str(status)).inc()
        self._seconds.labels(operation).observe(seconds)

    async def text(self) -> bytes:
        """Ask the ledger, and return everything in Prometheus' words."""
        async with self._db.system() as connection:
            scans = await (await connection.execute(LEDGER)).fetchall()
            queue = await (await connection.execute(QUEUE)).fetchone() or {}
            told = await (await connection.execute(_DELIVERIES)).fetchone() or {}
            numbers = {**queue, **told, "workers": await self._engine.workers(connection)}
        numbers["repeated"] = sum(row["repeated"] for row in scans)
        for status in ("pending", "running", "completed", "failed", "cancelled"):
            self._scans.labels(status).set(0)
        for row in scans:
            self._scans.labels(row["status"]).set(row["scans"])
        for name, gauge in self._queue.items():
            gauge.set(numbers[name])
        return generate_latest(self._registry)
