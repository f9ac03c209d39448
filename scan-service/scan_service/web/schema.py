"""Knows the page about what scans hold: object types, their properties, and what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.responses import Response

    from scan_service.web.visits import Visit

_TYPES = {
    "text": "Text", "number": "Number", "boolean": "Yes or no", "list": "Several of a list",
    "date": "Date", "datetime": "Date and time",
}  # fmt: skip


async def shown(visit: Visit) -> Response:
    """GET /schema: one object type at a time; changes of all."""
    found = await visit.ask("GET", "/schema")
    objects = found["objects"]
    kinds = sorted(objects, key=lambda name: (name != "deals", name))
    asked = visit.chosen("object")
    kind = asked if asked in objects else next(iter(kinds), None)
    return visit.show(
        "schema.html", kind=kind, kinds=kinds, changes=found["changes"], types=_TYPES,
        chosen=objects.get(kind), counts={name: len(objects[name]["properties"]) for name in kinds},
    )  # fmt: skip
