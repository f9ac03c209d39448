"""Owners: the users and queues that records belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hubspot_simulator.instants import iso
from hubspot_simulator.properties import DEFINED_MS


@dataclass(frozen=True)
class Owner:
    """One owner; an archived one has lost its user id (observed)."""

    id: str
    email: str
    first_name: str
    last_name: str
    user_id: int
    archived: bool = False
    team: str | None = None

    def as_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": self.id,
            "email": self.email,
            "type": "PERSON",
            "firstName": self.first_name,
            "lastName": self.last_name,
            "userIdIncludingInactive": self.user_id,
            "createdAt": iso(DEFINED_MS),
            "updatedAt": iso(DEFINED_MS),
            "archived": self.archived,
        }
        if not self.archived:
            body["userId"] = self.user_id
        if self.team:
            body["teams"] = [{"id": "177", "name": self.team, "primary": True}]
        return body


def generated_owners() -> list[Owner]:
    names = ("Ada", "Björn", "Chiara", "Dmitri", "Émile", "Fatima")
    return [
        Owner(
            str(90_000_000 + place * 17),
            f"{place}.owner@example.com",
            name,
            "Owner",
            1000 + place,
            archived=place == len(names) - 1,
            team="Sales" if place % 2 else None,
        )
        for place, name in enumerate(names)
    ]
