"""SalesRabbit's REST API as public clients use it: pages from 1, changes by header, or 304."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.vendors.server import Answer, Request, Vendor

MAX_PAGE = 2000


class SalesRabbit(Vendor):
    """A SalesRabbit with leads."""

    def __init__(self, *, leads: int = 10, users_turn: bool = True) -> None:
        super().__init__()
        self.token = "rabbit-token"
        self.users_turn = users_turn
        self.now = datetime.now(UTC)
        old = self.now - timedelta(days=40)
        self.leads = [self.lead(911705181 + n, old + timedelta(minutes=n)) for n in range(leads)]
        self.histories = {
            str(lead["id"]): [self.event("New", old), self.event("Go Back", old + timedelta(1))]
            for lead in self.leads
        }
        self.users = [{"id": n, "firstName": "Åsa", "active": n != 3} for n in range(1, 8)]

    @staticmethod
    def lead(number: int, at: datetime) -> dict[str, Any]:
        """A lead as the API has it."""
        return {
            "id": number,
            "firstName": "Renée",
            "status": "New",
            "latitude": 40.42104331234567,
            "zip": "02134",
            "dateCreated": at.isoformat(),
            "dateModified": at.isoformat(),
            "customFields": {"windowCount": "15"},
            "propertyType": "house",
        }

    @staticmethod
    def event(name: str, at: datetime) -> dict[str, Any]:
        """A change of a status."""
        return {"name": name, "statusUpdated": at.isoformat(), "changedByUserId": 4}

    def answer(self, request: Request) -> Answer:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return Answer({"error": "Unauthorized"}, 401)
        if request.path == "/graphql":
            return self._graphql(json.loads(request.body))
        if request.path == "/users":
            return self._users(request)
        size = min(int(request.first("perPage", "100")), MAX_PAGE)
        page = int(request.first("page", "1"))
        part = slice((page - 1) * size, page * size)
        if request.path == "/leads":
            since = request.headers.get("If-Modified-Since")
            rows = [r for r in self.leads if not since or _at(r["dateModified"]) >= _at(since)]
            if since and not rows:
                return Answer(status=304)
            return Answer({"meta": {"morePages": page * size < len(rows)}, "data": rows[part]})
        if request.path == "/leadStatusHistories":
            since = request.headers.get("If-Status-Modified-Since")
            found = {
                lead: events
                for lead, events in self.histories.items()
                if not since or any(_at(e["statusUpdated"]) >= _at(since) for e in events)
            }
            if since and not found:
                return Answer(status=304)
            data = dict(list(found.items())[part])
            return Answer({"meta": {"morePages": page * size < len(found)}, "data": data or []})
        return Answer({"error": "Not found"}, 404)

    def _graphql(self, asked: dict[str, Any]) -> Answer:
        """As the one description has it; an unknown field is an error with status 200."""
        fields = set(re.findall(r"\w+", asked["query"].rpartition("node")[2] or asked["query"]))
        if "leads(" not in asked["query"]:
            rows = [
                {"id": str(u["id"]), **{k: v for k, v in u.items() if k != "id"}}
                for u in self.users
            ]
            return Answer({"data": {"users": rows}})
        if not {"id", "lastModified"} <= fields:
            return Answer({"errors": [{"message": "Cannot query field"}]})
        names = [f"c{lead['id']}" for lead in self.leads]
        after, limit = asked["variables"]["cursor"], min(asked["variables"]["limit"], 100)
        begin = names.index(after) + 1 if after else 0
        edges = [
            {"node": self.node(lead), "cursor": name}
            for lead, name in list(zip(self.leads, names, strict=True))[begin : begin + limit]
        ]
        end = edges[-1]["cursor"] if edges else None
        info = {"hasNextPage": begin + limit < len(names), "endCursor": end}
        return Answer({"data": {"leads": {"edges": edges, "pageInfo": info}}})

    @staticmethod
    def node(lead: dict[str, Any]) -> dict[str, Any]:
        """A lead as GraphQL has it."""
        return {
            "id": str(lead["id"]),
            "leadHash": f"h{lead['id']}",
            "prospectName": lead["firstName"],
            "latitude": lead["latitude"],
            "lastModified": lead["dateModified"],
            "customFields": lead["customFields"],
        }

    def _users(self, request: Request) -> Answer:
        """Either all on each page, as one client found, or pages of three from 0."""
        if self.users_turn:
            return Answer({"meta": {"morePages": True}, "data": self.users})
        page = int(request.first("page", "0"))
        more = (page + 1) * 3 < len(self.users)
        return Answer({"meta": {"morePages": more}, "data": self.users[page * 3 : page * 3 + 3]})


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
