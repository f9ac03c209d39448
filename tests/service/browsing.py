"""What a browser sends and keeps, without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service.kit import Client

if TYPE_CHECKING:
    import httpx2
    from service.kit import Ledger
    from starlette.testclient import TestClient

OWN = {"Sec-Fetch-Site": "same-origin"}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


class Browser:
    """Sends what a browser would."""

    def __init__(self, http: TestClient, ledger: Ledger) -> None:
        self.http = http
        self.ledger = ledger
        self.key = ""

    def sign_in(self, key: str, following: str = "") -> httpx2.Response:
        self.key = key
        return self.post("/sign-in", {"key": key, "next": following})

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.http.get(path, **options)

    def post(self, path: str, form: dict[str, Any] | None = None) -> httpx2.Response:
        return self.http.post(path, data=form or {}, headers=OWN)

    def api(self) -> Client:
        return Client(self.http, self.key)
