"""What a browser sends and keeps, without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from service.kit import Client

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def watch(self, path: str, *steps: Callable[[], Any]) -> str:
        """Follow a live page to its end; after each part of it, the next step is done."""
        left = list(steps)
        told: list[bytes] = []
        cookies = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
            "raw_path": path.encode(), "query_string": b"", "root_path": "", "state": {},
            "headers": [(b"host", b"testserver"), (b"cookie", cookies.encode())],
            "client": ("testclient", 50000), "server": ("testserver", 80),
        }  # fmt: skip

        async def send(message: Any) -> None:
            told.append(message.get("body", b""))
            if b"event: part" in told[-1] and left:
                await anyio.to_thread.run_sync(left.pop(0))

        async def receive() -> Any:
            await anyio.sleep_forever()

        async def follow() -> None:
            await self.http.app(scope, receive, send)

        assert self.http.portal is not None
        self.http.portal.call(follow)
        assert not left, "it ended before all was done"
        return b"".join(told).decode()

    def api(self) -> Client:
        return Client(self.http, self.key)
