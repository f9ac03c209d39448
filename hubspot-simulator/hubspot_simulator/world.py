"""What is behind one address: portals, faults on order, hooks, and what was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hubspot_simulator.connections import Connections
from hubspot_simulator.faults import Fault, Kind
from hubspot_simulator.portal import Portal
from hubspot_simulator.request_log import LoggedRequest, RequestLog

Hook = Callable[[LoggedRequest], object]


class World:
    """Portals and what happens to requests for them, without the server."""

    def __init__(self, portals: Sequence[Portal] | None, *, latency_ms: float) -> None:
        self.portals = list(portals) if portals else [Portal.generate()]
        self.latency_ms = latency_ms
        self.requests = RequestLog()
        self.faults: list[Fault] = []
        self.request_hooks: list[Hook] = []
        self.answer_hooks: list[Hook] = []
        self.connections = Connections()
        self.is_stopping = False
        self.url = ""

    def portal(self, index: int = 0, *, portal_id: int | None = None) -> Portal:
        if portal_id is None:
            return self.portals[index]
        for portal in self.portals:
            if portal.portal_id == portal_id:
                return portal
        raise KeyError(f"no portal {portal_id}")

    def fail(self, kind: Kind, **options: Any) -> Fault:
        """Order a fault; see `Fault` for the options."""
        fault = Fault(kind, **options)
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        self.faults.clear()

    def on_request(self, hook: Hook) -> None:
        """Call this before each request is answered: what it writes, the answer shows."""
        self.request_hooks.append(hook)

    def after(
        self, nth: int, do: Callable[[], object], *, endpoint: str = "list", object_type: str = ""
    ) -> None:
        """Do something once, when the answer to the nth request of a kind is made up."""
        seen = 0

        def hook(request: LoggedRequest) -> None:
            nonlocal seen
            if request.endpoint == endpoint and object_type in {"", request.object_type}:
                seen += 1
                if seen == nth:
                    do()

        self.answer_hooks.append(hook)

    def advance(self, seconds: float) -> None:
        """Push the clocks forward: index lag, token expiry, rate limits."""
        for portal in self.portals:
            portal.clock.advance(seconds)
            portal.limits.advance(seconds)
