"""As much of Google's APIs as a tap of sheets asks: a token, a spreadsheet, ranges of values."""

from __future__ import annotations

import re
from datetime import date
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from harness.vendors.server import Answer, Request, Vendor

HOSTS = ("https://oauth2.googleapis.com", "https://sheets.googleapis.com")
REWRITE = """
import os
import requests

send = requests.Session.send

def rewritten(self, request, **options):
    for host in os.environ["GOOGLE_HOSTS"].split():
        if request.url.startswith(host):
            request.url = os.environ["GOOGLE_FAKE"] + request.url[len(host):]
    return send(self, request, **options)

requests.Session.send = rewritten
"""
"""A module that leads a tap with fixed addresses to the copy, imported as Python starts."""


class GoogleSheets(Vendor):
    """A Google with one spreadsheet; the first row of a sheet has the names."""

    def __init__(self, sheets: dict[str, list[list[Any]]]) -> None:
        super().__init__()
        self.sheets = sheets
        self.refresh_token, self.secret = "google-refresh", "google-secret"

    def settings(self) -> dict[str, str]:
        """What Meltano and the rewritten tap must be told to read it, by environment variables."""
        return {
            "GOOGLE_HOSTS": " ".join(HOSTS),
            "GOOGLE_FAKE": self.url,
            "TAP_GOOGLE_SHEETS_TENANT_ID": "acme",
            "TAP_GOOGLE_SHEETS_CLIENT_ID": "client",
            "TAP_GOOGLE_SHEETS_CLIENT_SECRET": self.secret,
            "TAP_GOOGLE_SHEETS_REFRESH_TOKEN": self.refresh_token,
            "TAP_GOOGLE_SHEETS_SPREADSHEET_ID": "S1",
        }

    def answer(self, request: Request) -> Answer:
        if request.path == "/token":
            given = parse_qs(request.body.decode())
            right = [self.refresh_token], [self.secret]
            if (given.get("refresh_token"), given.get("client_secret")) != right:
                return Answer({"error": "invalid_grant"}, 400)
            return Answer({"access_token": "google-access", "expires_in": 3600})
        if request.headers.get("Authorization") != "Bearer google-access":
            return Answer({"error": "unauthorized"}, 401)
        if found := re.search(r"/values/'?(.*?)'?!A(\d+):[A-Z]+(\d+)$", unquote_plus(request.path)):
            rows = self.sheets[found[1]][int(found[2]) - 1 : int(found[3])]
            formatted = request.first("valueRenderOption") == "FORMATTED_VALUE"
            as_asked = str if formatted else _plain
            return Answer({"values": [[as_asked(value) for value in row] for row in rows]})
        names = list(self.sheets)
        if request.first("includeGridData") == "true":
            names = [request.first("ranges").rpartition("!")[0].strip("'")]
        listed = [self._sheet(n, grid=request.first("includeGridData") == "true") for n in names]
        return Answer({"spreadsheetId": "S1", "properties": {"title": "X"}, "sheets": listed})

    def _sheet(self, name: str, *, grid: bool) -> dict[str, Any]:
        rows = self.sheets[name]
        size = {"rowCount": max(1000, len(rows)), "columnCount": 26}
        number = list(self.sheets).index(name)
        sheet = {"properties": {"sheetId": number, "title": name, "gridProperties": size}}
        if not grid:
            return sheet
        cells = [{"values": [self._cell(value) for value in row]} for row in rows[:2]]
        return {**sheet, "data": [{"rowData": cells}]}

    @staticmethod
    def _cell(value: Any) -> dict[str, Any]:
        kind = "stringValue" if isinstance(value, str) else "numberValue"
        form = {"numberFormat": {"type": "DATE" if isinstance(value, date) else "NUMBER"}}
        shown = {"formattedValue": str(value), "effectiveValue": {kind: _plain(value)}}
        return {**shown, "effectiveFormat": {} if isinstance(value, str) else form}


def _plain(value: Any) -> Any:
    """A value without its format: a date is a number of days."""
    return (value - date(1899, 12, 30)).days if isinstance(value, date) else value
