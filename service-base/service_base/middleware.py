"""Knows what happens around every request: it is logged and counted, and never breaks off."""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect

from service_base.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logger(__name__)
_GONE = 499
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE"})


class Refusals:
    """Turns what nobody expected into an answer, before anything has been sent.

    Args:
        app: What is inside.
        answer: Makes the answer to an error, and logs it.
    """

    def __init__(self, app: ASGIApp, *, answer: Callable[[Exception], Response]) -> None:
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as error:
            if begun:
                raise  # half an answer must not look like a whole one
            await self._answer(error)(scope, receive, send)


class Watch:
    """Logs and counts every request, by operation and never by a client's text.

    Args:
        app: What is inside.
        answered: Takes the operation, the status and the seconds of each.
    """

    def __init__(self, app: ASGIApp, *, answered: Callable[[str, int, float], None]) -> None:
        self._app = app
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A client that has left is answered nothing: 499, as nginx calls that.
        began, status = time.perf_counter(), _GONE

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            status = 500
            raise
        finally:
            seconds = time.perf_counter() - began
            operation = _operation(scope)
            self._answered(operation, status, seconds)
            _log.info("request", operation=operation, status=status, seconds=round(seconds, 4))


def _operation(scope: Scope) -> str:
    route: Any = scope.get("route")
    path = getattr(route, "path", None)
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    return f"{method} {path}" if path else "unknown"


def may_watch(request: Request, token: SecretStr | None) -> bool | None:
    """Tell whether a request may read the metrics.

    Args:
        request: Of Prometheus.
        token: Of /metrics; without one only this machine may read.

    Returns:
        None where it need not know that there are any.
    """
    if token is None:
        near = request.client is None or request.client.host in ("127.0.0.1", "::1", "testclient")
        return near or None
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return hmac.compare_digest(given.encode(), token.get_secret_value().encode())
