"""Every request that was made, so that tests can count them."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import Any


@dataclass
class LoggedRequest:
    """One request; `status` 0 means that it got no whole answer.

    The body is there for faults and hooks while the request is served, and dropped after.
    """

    number: int
    method: str
    path: str
    query: str
    version: str
    endpoint: str
    object_type: str
    to_type: str
    authorization: str
    portal_id: int = 0
    started: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    status: int = 0
    fault: str = ""
    body_bytes: int = 0
    body: bytes = field(default=b"", repr=False)
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> str:
        return "numbered" if self.version.startswith("v") else "dated"


def fingerprint(authorization: str) -> str:
    """Tell tokens apart without keeping them."""
    return hashlib.sha256(authorization.encode()).hexdigest()[:12] if authorization else ""


class RequestLog:
    """The requests so far, in order of arrival."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: list[LoggedRequest] = []
        self._in_flight = 0
        self.max_in_flight = 0

    def __len__(self) -> int:
        return len(self._requests)

    def begin(self, request: LoggedRequest) -> None:
        with self._lock:
            self._requests.append(request)
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)

    def end(self, request: LoggedRequest) -> None:
        request.ended = time.monotonic()
        request.body = b""
        with self._lock:
            self._in_flight -= 1

    def all(self, **wanted: Any) -> list[LoggedRequest]:
        """Give the requests whose attributes have these values."""
        with self._lock:
            return [
                each
                for each in self._requests
                if all(getattr(each, name) == value for name, value in wanted.items())
            ]

    def count(self, **wanted: Any) -> int:
        return len(self.all(**wanted))

    def counts(self, by: str = "endpoint") -> dict[Any, int]:
        found: dict[Any, int] = {}
        for each in self.all():
            key = getattr(each, by)
            found[key] = found.get(key, 0) + 1
        return found

    def clear(self) -> None:
        with self._lock:
            self._requests.clear()
            self.max_in_flight = self._in_flight
