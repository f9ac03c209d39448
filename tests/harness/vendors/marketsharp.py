"""MarketSharp's OData service: a signature per request, `$metadata`, Atom feeds, GET only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from datetime import datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

from harness.vendors.server import Answer, Request, Vendor

SPACES = (
    'xmlns="http://www.w3.org/2005/Atom" '
    'xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices" '
    'xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"'
)
TYPES = {
    "Leads": {
        "id": "Edm.Int64",
        "contactOid": "Edm.Guid",
        "soldAmount": "Edm.Decimal",
        "isActive": "Edm.Boolean",
        "notes": "Edm.String",
        "lastUpdate": "Edm.DateTime",
    },
    "LeadSources": {"id": "Edm.Int32", "name": "Edm.String"},
}
MAX_PAGE = 5000


class MarketSharp(Vendor):
    """A MarketSharp with leads: the first `ties` of them changed at one time."""

    def __init__(self, *, leads: int = 10, ties: int = 0, sources: int = 3) -> None:
        super().__init__()
        self.cap = MAX_PAGE
        self.clock = time.time
        self.company, self.key = "4711", "ms-key"
        self.secret = base64.b64encode(b"ms-secret-bytes!").decode()
        self.begin = datetime.fromisoformat("2025-10-01T12:00:00")
        self.tables: dict[str, list[dict[str, Any]]] = {
            "Leads": [self.lead(n, max(0, n - ties)) for n in range(leads)],
            "LeadSources": [{"id": n, "name": f"Source & {n}"} for n in range(sources)],
        }

    def lead(self, number: int, minutes: int) -> dict[str, Any]:
        """A lead as the service has it."""
        return {
            "id": 2**40 + number,
            "contactOid": f"00000000-0000-0000-0000-{number:012d}",
            "soldAmount": "12345.6700",
            "isActive": "true",
            "notes": None if number % 2 else "<Ünïcode> & “quotes”",
            "lastUpdate": (self.begin + timedelta(minutes=minutes)).isoformat() + ".123",
        }

    def answer(self, request: Request) -> Answer:
        if not self._signed(request.headers.get("Authorization", "")):
            return Answer(b"<error><message>Access denied</message></error>", 401)
        if request.method != "GET":
            return Answer(b"<error/>", 405)
        name = request.path.strip("/")
        if name == "$metadata":
            return Answer(self._metadata().encode())
        if name not in self.tables:
            return Answer(b"<error><message>Resource not found</message></error>", 404)
        rows = list(self.tables[name])
        if text := request.first("$filter"):
            found = re.fullmatch(r"lastUpdate ge datetime'([-0-9T:.]+)'", text)
            if found is None:
                return Answer(b"<error><message>Syntax error</message></error>", 400)
            rows = [r for r in rows if _at(r["lastUpdate"]) >= _at(found[1])]
        for part in reversed(request.first("$orderby").split(",")):
            field = part.removesuffix(" asc")
            rows.sort(key=lambda r, f=field: _order(r[f]))  # type: ignore[misc]
        skip, top = int(request.first("$skip", "0")), int(request.first("$top", "5000"))
        page = rows[skip : skip + min(top, self.cap)]
        entries = "".join(self._entry(name, row) for row in page)
        return Answer(f"<?xml version='1.0'?><feed {SPACES}>{entries}</feed>".encode())

    def _signed(self, header: str) -> bool:
        parts = header.split(":")
        if len(parts) != 4 or parts[:2] != [self.company, self.key]:
            return False
        secret = base64.b64decode(self.secret)
        mac = hmac.new(secret, "".join(parts[:3]).encode(), hashlib.sha256).digest()
        fresh = abs(self.clock() - int(parts[2])) < 300
        return fresh and base64.b64encode(mac).decode() == parts[3]

    def _metadata(self) -> str:
        types = "".join(
            f'<EntityType Name="{name[:-1]}"><Key><PropertyRef Name="id"/></Key>'
            + "".join(f'<Property Name="{n}" Type="{t}"/>' for n, t in fields.items())
            + "</EntityType>"
            for name, fields in TYPES.items()
        )
        sets = "".join(f'<EntitySet Name="{n}" EntityType="MS.{n[:-1]}"/>' for n in TYPES)
        return (
            '<edmx:Edmx xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx">'
            "<edmx:DataServices>"
            f'<Schema xmlns="http://schemas.microsoft.com/ado/2008/09/edm">{types}'
            f'<EntityContainer Name="C">{sets}</EntityContainer></Schema>'
            "</edmx:DataServices></edmx:Edmx>"
        )

    @staticmethod
    def _entry(name: str, row: dict[str, Any]) -> str:
        fields = "".join(
            f'<d:{n} m:null="true"/>'
            if v is None
            else f'<d:{n} m:type="{TYPES[name][n]}">{escape(str(v))}</d:{n}>'
            for n, v in row.items()
        )
        return f"<entry><content><m:properties>{fields}</m:properties></content></entry>"


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _order(value: Any) -> Any:
    return value if isinstance(value, int) else str(value or "")
