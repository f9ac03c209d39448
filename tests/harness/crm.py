"""CRM records for measuring targets: deals and their links, in the texts that people write."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOMENT = {"type": ["string", "null"], "format": "date-time"}
TEXT = {"type": ["string", "null"]}
DEAL_KEYS = ["_tenant_id", "id"]
DEAL_PROPERTIES: dict[str, Any] = {
    "_tenant_id": {"type": "string"},
    "id": {"type": "string"},
    "read_at": MOMENT,
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "archived": {"type": ["boolean", "null"]},
    "merged_into": TEXT,
    **{f"text_{at}": TEXT for at in range(22)},
    **{f"amount_{at}": {"type": ["number", "null"]} for at in range(5)},
    **{f"count_{at}": {"type": ["integer", "null"]} for at in range(2)},
    **{f"at_{at}": MOMENT for at in range(3)},
    "custom_properties": {"type": ["object", "null"]},
}
LINK_KEYS = [
    "_tenant_id",
    "from_object_type",
    "from_id",
    "to_object_type",
    "to_id",
    "category",
    "type_id",
]
LINK_PROPERTIES: dict[str, Any] = {
    **{name: {"type": "string"} for name in LINK_KEYS[:-1]},
    "type_id": {"type": "integer"},
    "label": TEXT,
    "read_at": MOMENT,
}
LATIN = ["lorem", "ipsum", "dolor", "sit", "amet"]
WRITTEN = [
    "Angebot für Müller & Söhne",
    'called back: "not before March"',
    "Zusage \N{EM DASH} 3 Geräte à 1.200 €",
    "déjà vu à Orléans",
    "great news \N{PARTY POPPER}",
    "Hello,\n\nsee the offer attached.\n\nBest\n",
    "call +49 30 1234567",
    "next step: contract",
]
KINDS = ("plain", "text", "undeclared", "loose")
"""Plain ASCII; what people write; that plain with a field outside the SCHEMA; with 0.0 for 0."""


def texts(kind: str) -> list[str]:
    """Fifty texts of about 30 characters; of what people write, half need escapes in JSON."""
    words = WRITTEN if kind == "text" else LATIN
    return [
        " ".join(random.Random(at).choices(words, k=1 if kind == "text" else 6)) for at in range(50)
    ]


def deals(count: int, kind: str = "plain", changed: float = 0) -> Iterator[dict[str, Any]]:
    """Deals of 40 properties, the same ones at every call.

    Args:
        count: how many.
        kind: one of KINDS.
        changed: the part of them that were changed since.
    """
    words = texts(kind)
    note = (
        'Wünscht Rückruf am Montag:\n"erst nach dem Urlaub", sagt sie. Gute Chancen!'
        " \N{THUMBS UP SIGN}"
    )
    note = note if kind == "text" else "x" * 80
    for at in range(count):
        is_changed = changed and at % round(1 / changed) == 0
        read_at = "2026-01-02T00:00:00Z" if is_changed else "2026-01-01T00:00:00Z"
        deal: dict[str, Any] = {
            "_tenant_id": "t1",
            "id": str(at),
            "read_at": read_at,
            "created_at": "2025-05-05T10:11:12.123Z",
            "updated_at": read_at,
            "archived": False,
            "merged_into": None,
        }
        deal |= {
            f"text_{n}": None if (at + n) % 4 == 0 else words[(at * 7 + n) % 50] for n in range(22)
        }
        deal |= {f"amount_{n}": (at * 37 + n) / 100 for n in range(5)}
        deal |= {f"count_{n}": float(at * n) if kind == "loose" else at * n for n in range(2)}
        deal |= {f"at_{n}": "2025-06-07T08:09:10Z" for n in range(3)}
        deal["custom_properties"] = {"score": at, "note": note}
        if kind == "undeclared":
            deal["undeclared"] = at
        yield deal


def links(deal: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """Links of a deal to contacts."""
    for link in range(count):
        yield {
            "_tenant_id": "t1",
            "from_object_type": "deals",
            "from_id": deal["id"],
            "to_object_type": "contacts",
            "to_id": str(int(deal["id"]) * count + link),
            "category": "HUBSPOT_DEFINED",
            "type_id": 3,
            "label": None,
            "read_at": deal["read_at"],
        }


def write(
    path: Path, count: int, kind: str = "plain", *, changed: float = 0, links_per_deal: int = 0
) -> None:
    """Write Singer messages as plain `json.dumps` does: characters beyond ASCII are escapes."""
    with path.open("w") as file:

        def send(message: Any) -> None:
            file.write(json.dumps(message) + "\n")

        for stream, properties, keys in (
            ("deals", DEAL_PROPERTIES, DEAL_KEYS),
            ("associations", LINK_PROPERTIES, LINK_KEYS),
        ):
            send(
                {
                    "type": "SCHEMA",
                    "stream": stream,
                    "schema": {"type": "object", "properties": properties},
                    "key_properties": keys,
                }
            )
        for at, deal in enumerate(deals(count, kind, changed)):
            send({"type": "RECORD", "stream": "deals", "record": deal})
            for link in links(deal, links_per_deal):
                send({"type": "RECORD", "stream": "associations", "record": link})
            if at % 1000 == 0:
                send({"type": "STATE", "value": {"at": at}})
