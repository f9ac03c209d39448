"""LeadConduit's events: Basic, an exclusive cursor of ids, newest first unless asked otherwise."""

from __future__ import annotations

import base64
from typing import Any

from harness.vendors.server import Answer, Request, Vendor

BEGIN = 1_760_000_000
MAX_LIMIT = 1000


class LeadConduit(Vendor):
    """A LeadConduit with leads, an hour apart by tens; each has a recipient event after it."""

    def __init__(self, *, leads: int = 10) -> None:
        super().__init__()
        self.key = "lead-key"
        self.events: list[dict[str, Any]] = []
        for n in range(leads):
            seconds = BEGIN + n * 360
            self.events.append(self.event(seconds, 2 * n, "source"))
            self.events.append(self.event(seconds, 2 * n + 1, "recipient"))

    @staticmethod
    def event(seconds: int, number: int, kind: str) -> dict[str, Any]:
        """An event as the API has it."""
        return {
            "id": f"{seconds:08x}{number:016x}",
            "type": kind,
            "outcome": "success",
            "start_timestamp": seconds * 1000 + 123,
            "ms": 17,
            "vars": {
                "lead": {"id": f"{number:024x}", "email": "zoë@example.com", "phone": "5550000"},
                "flow": {"id": "f1", "name": "Roofing"},
                "submission": {"timestamp": "2026-01-01"},
            },
            "expires_at": "2027-01-01T00:00:00Z",
        }

    def leads(self) -> set[str]:
        """The ids of all leads."""
        return {e["id"] for e in self.events if e["type"] == "source"}

    def answer(self, request: Request) -> Answer:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic" or base64.b64decode(given).partition(b":")[2] != self.key.encode():
            return Answer({"message": "Invalid credentials"}, 401)
        if request.path != "/events":
            return Answer({"message": "Not found"}, 404)
        limit = int(request.first("limit", "100"))
        if not 1 <= limit <= MAX_LIMIT:
            return Answer({"message": "limit must be between 1 and 1000"}, 422)
        ascending = request.first("sort", "desc") == "asc"
        after = request.first("after_id")
        rows = sorted(self.events, key=lambda e: str(e["id"]), reverse=not ascending)
        return Answer([e for e in rows if not after or e["id"] > after][:limit])
