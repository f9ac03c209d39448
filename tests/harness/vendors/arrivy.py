"""Arrivy's API: bare arrays, two headers, pages to the empty one, undated tasks on demand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from harness.vendors.server import Answer, Request, Vendor

FIRST = 5348024557502464


class Arrivy(Vendor):
    """An Arrivy with tasks: one a day back from tomorrow, and three without a date."""

    def __init__(self, *, tasks: int = 10) -> None:
        super().__init__()
        self.key, self.token = "arrivy-key", "arrivy-token"
        start = datetime.now(UTC) + timedelta(days=1)
        self.tasks = [self.task(FIRST + n, start - timedelta(days=n)) for n in range(tasks)]
        self.tasks += [self.task(FIRST + 10**6 + n, None) for n in range(3)]
        self.lists: dict[str, list[dict[str, Any]]] = {
            "entities": [{"id": FIRST + n, "name": f"Crew {n}"} for n in range(4)],
            "groups": [{"id": FIRST + n, "name": "Süd", "is_default": n == 0} for n in range(2)],
            "statuses": [{"id": n, "title": "ENROUTE", "is_active": True} for n in (1, 2)],
            "bookings": [{"id": FIRST + n, "title": "Roof"} for n in range(5)],
        }

    @staticmethod
    def task(number: int, at: datetime | None) -> dict[str, Any]:
        """A task as the API has it."""
        updated = min(at, datetime.now(UTC)) if at else datetime.now(UTC) - timedelta(days=90)
        return {
            "id": number,
            "title": "Estimate",
            "status": "NOT_STARTED",
            "start_datetime": at.isoformat() if at else None,
            "updated": updated.replace(tzinfo=None).isoformat(),
            "unscheduled": at is None,
            "duration": 90,
            "extra_fields": {"Lead source": "📞"},
            "entity_ids": [FIRST],
            "url_safe_id": "x",
        }

    def answer(self, request: Request) -> Answer:
        asked = (request.headers.get("X-Auth-Key"), request.headers.get("X-Auth-Token"))
        if asked != (self.key, self.token):
            return Answer({"message": "Unauthorized"}, 401)
        name = request.path.strip("/")
        if name in self.lists:  # these ignore the page that is asked for
            return Answer(self.lists[name])
        if name != "tasks":
            return Answer({"message": "Not found"}, 404)
        size = int(request.first("items_per_page", "500"))
        page = int(request.first("page", "1"))
        if request.first("unscheduled") == "true":
            rows = [t for t in self.tasks if t["start_datetime"] is None]
        else:
            since = request.first("from")
            rows = [t for t in self.tasks if t["start_datetime"] and _later(t, since)]
        return Answer(rows[(page - 1) * size : page * size])


def _later(task: dict[str, Any], since: str) -> bool:
    at = datetime.fromisoformat(task["start_datetime"])
    return not since or at >= datetime.fromisoformat(since)
