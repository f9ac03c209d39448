"""CallRail's API, version 3: two ways of paging, dates in the account's zone, 25 months kept."""

from __future__ import annotations

import random
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from harness.vendors.server import Answer, Request, Vendor

ENVELOPES = {
    "calls": ("calls", "start_time"),
    "form_submissions": ("form_submissions", "submitted_at"),
    "text-messages": ("conversations", "last_message_at"),
    "companies": ("companies", None),
    "trackers": ("trackers", None),
    "users": ("users", None),
    "tags": ("tags", None),
}
MAX_PAGE = 250
DEFAULT_FIELDS = 18
NAMES = ("Zoë O'Brien", "李雷", "Łukasz 🚀 Nowak", "", None)


class CallRail(Vendor):
    """A CallRail with some accounts.

    Args:
        key: The API key that it accepts.
    """

    def __init__(self, key: str = "callrail-key") -> None:
        super().__init__()
        self.key = key
        self.accounts: dict[str, dict[str, Any]] = {}
        self.lists: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._issued: set[str] = set()

    def add_account(self, name: str, *, calls: int, zone: str = "America/New_York") -> None:
        """An account with calls on each of the last days, and a little of everything else."""
        dice = random.Random(name)
        numeric = 900_000_000_000_000_000 + len(self.accounts)
        self.accounts[name] = {"id": name, "numeric_id": numeric, "name": name, "zone": zone}
        now = datetime.now(ZoneInfo(zone)).replace(microsecond=0)
        self.lists[name, "calls"] = [
            self.call(f"CAL{name}{n}", now - timedelta(hours=3 * n, minutes=dice.randrange(60)))
            for n in range(calls)
        ]
        self.lists[name, "form_submissions"] = [
            {
                "id": f"FRM{name}{n}",
                "submitted_at": (now - timedelta(days=20 * n, minutes=1)).isoformat(),
                "form_data": {"your-message": f"Grüße {n}"},
                "customer_name": dice.choice(NAMES),
                "first_form": n == 0,
                "value": "12.50",
            }
            for n in range(30)
        ]
        self.lists[name, "text-messages"] = [
            {
                "id": f"KZ{name}{n}",
                "last_message_at": (now - timedelta(days=9 * n, minutes=1)).isoformat(),
                "state": "active",
                "recent_messages": [{"direction": "incoming", "content": "Hi 👋"}],
            }
            for n in range(12)
        ]
        for kind, count in (("companies", 3), ("trackers", 260), ("users", 2), ("tags", 4)):
            self.lists[name, kind] = [
                {
                    "id": n if kind == "tags" else f"{kind[:3].upper()}{name}{n}",
                    "name": f"{kind} {n}",
                    "created_at": "2024-02-29T23:30:00.000-05:00",
                    "unheard_of": {"n": n},
                }
                for n in range(count)
            ]

    @staticmethod
    def call(name: str, at: datetime) -> dict[str, Any]:
        """A call as the API has it."""
        return {
            "id": name,
            "start_time": at.isoformat(timespec="milliseconds"),
            "answered": True,
            "duration": 61,
            "direction": "inbound",
            "customer_name": random.Random(name).choice(NAMES),
            "customer_phone_number": "+15550000611",
            "tracking_phone_number": "+15550000001",
            "lead_status": None,
            "tags": [],
        }

    def answer(self, request: Request) -> Answer:
        if request.headers.get("Authorization") != f'Token token="{self.key}"':
            return Answer({"error": "HTTP Token: Access denied."}, 401)
        parts = request.path.strip("/").split("/")
        if parts == ["a.json"]:
            accounts = [
                {k: v for k, v in each.items() if k != "zone"} for each in self.accounts.values()
            ]
            return self._page(request, "accounts", accounts)
        if len(parts) != 3 or parts[0] != "a" or parts[1] not in self.accounts:
            return Answer({"error": "Not found"}, 404)
        account, kind = parts[1], parts[2].removesuffix(".json")
        if kind not in ENVELOPES:
            return Answer({"error": "Not found"}, 404)
        envelope, dated = ENVELOPES[kind]
        relative = request.first("relative_pagination") == "true"
        if not parts[2].endswith(".json") and request.target not in self._issued:
            return Answer({"error": "next_page was changed"}, 400)
        if request.first("order") and not (request.first("sort") or "api_sort[]" in request.query):
            return Answer({"error": "order needs sort"}, 400)
        rows = self.lists[account, kind]
        if dated:
            zone = ZoneInfo(self.accounts[account]["zone"])
            start = _start(request.first("start_date"), zone)
            if start < kept_since(datetime.now(UTC)):
                return Answer({"error": "start_date is beyond the retention of 25 months"}, 400)
            rows = [r for r in rows if datetime.fromisoformat(r[dated]) >= start]
            rows = sorted(rows, key=lambda r: datetime.fromisoformat(r[dated]), reverse=True)
            if "asc" in {request.first("order"), request.query.get("api_sort[]", [""])[-1]}:
                rows.reverse()
        if relative and kind == "calls":
            return self._relative(request, account, rows)
        return self._page(request, envelope, rows)

    def _page(self, request: Request, envelope: str, rows: list[dict[str, Any]]) -> Answer:
        size = min(int(request.first("per_page", "100")), MAX_PAGE)
        page = int(request.first("page", "1"))
        return Answer(
            {
                "page": page,
                "per_page": size,
                "total_pages": max(1, -(-len(rows) // size)),
                "total_records": len(rows),
                envelope: rows[(page - 1) * size : page * size],
            }
        )

    def _relative(self, request: Request, account: str, rows: list[dict[str, Any]]) -> Answer:
        size = min(int(request.first("per_page", "100")), MAX_PAGE)
        offset = int(request.first("offset", "0"))
        more = (offset + 1) * size < len(rows)
        query = urlencode(
            [
                ("relative_pagination", "true"),
                ("per_page", size),
                ("start_date", request.first("start_date")),
                ("api_sort[]", "start_time"),
                ("tracker_id", ""),
                ("api_sort[]", "asc"),
                ("offset", offset + 1),
            ],
        )
        target = f"/a/{account}/calls?{query}"
        if more:
            self._issued.add(target)
        body = {"has_next_page": more, "calls": rows[offset * size : (offset + 1) * size]}
        return Answer(body | ({"next_page": self.url + target} if more else {}))


def kept_since(now: datetime) -> datetime:
    """25 months ago, to the second."""
    year, month = divmod(now.year * 12 + now.month - 1 - 25, 12)
    last = monthrange(year, month + 1)[1]
    return now.replace(year=year, month=month + 1, day=min(now.day, last))


def _start(text: str, zone: ZoneInfo) -> datetime:
    """Without a date: the last seven days."""
    if not text:
        return datetime.now(UTC) - timedelta(days=7)
    if len(text) == 10:
        return datetime.combine(date.fromisoformat(text), time(), zone)
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=zone)
