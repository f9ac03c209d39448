"""Knows the numbers for Prometheus: this process's requests."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The registry of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "crm_api_requests", "Requests answered", ["operation", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "crm_api_request_seconds", "Time to answer", ["operation"], registry=self._registry
        )

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(operation, str(status)).inc()
        self._seconds.labels(operation).observe(seconds)

    def text(self) -> bytes:
        """Return everything in Prometheus' words."""
        return generate_latest(self._registry)
