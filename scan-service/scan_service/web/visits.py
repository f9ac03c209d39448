"""Knows one look at a page: who looks, how the page asks the API for him, and what he is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from scan_service.door.app import OPERATIONS
from scan_service.door.passing import carry_out
from scan_service.door.printed import Printed
from scan_service.guard import auth
from scan_service.web import looks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import Message

    from scan_service.door.service import Service

_OPERATIONS = {(each.method, each.path): each for each in OPERATIONS}
_API = "/api/v1"
SEE_OTHER = 303


@dataclass(frozen=True)
class Visit:
    """One look at a page by somebody who has signed in.

    Attributes:
        service: what operations work with.
        request: of the browser.
        caller: who looks.
        form: what a form sent, each field with all of its values.
    """

    service: Service
    request: Request
    caller: auth.Caller
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def said(self, name: str, default: str = "") -> str:
        """Return the one value of a form's field, without spaces around it."""
        values = self.form.get(name) or [default]
        return values[0].strip()

    def chosen(self, name: str) -> str:
        """Return a parameter of the page's address, or nothing."""
        return self.request.query_params.get(name, "")

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        **named: str,
    ) -> Any:
        """Return the `data` of what an operation of the API answers this caller.

        Args:
            method: of the operation.
            path: of the operation, after `/api/v1` and as the table of operations has it.
            query: its query parameters; those that are empty are left out.
            body: its JSON body.
            named: the values of the path's parameters.

        Raises:
            ServiceError: what the operation refuses; nothing is different for a page.
        """
        answer = await self.answer(method, path, query=query, body=body, **named)
        # Amounts keep their digits.
        body = answer.whole() if isinstance(answer, Printed) else bytes(answer.body)
        return json.loads(body, parse_float=Decimal)["data"]

    async def answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        **named: str,
    ) -> Response:
        """Return an operation's answer as it is: `ask` says what it takes."""
        said = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        content = b"" if body is None else json.dumps(body).encode()
        scope = {
            **self.request.scope,
            "method": method,
            "path_params": named,
            "query_string": urlencode(said).encode(),
            "headers": [(b"content-type", b"application/json")],
            "state": {},
        }

        async def receive() -> Message:
            if body is None:
                return await self.request.receive()
            return {"type": "http.request", "body": content, "more_body": False}

        operation = _OPERATIONS[method, _API + path]
        return await carry_out(self.service, operation, Request(scope, receive), self.caller)

    def may(self, what: str) -> bool:
        """Tell whether the key allows `read`, `extract` or `download`."""
        kinds = {"read": auth.READ, "extract": auth.EXTRACT, "download": auth.DOWNLOAD}
        return kinds[what] in self.caller.permissions

    def show(self, template: str, *, code: int = 200, **values: Any) -> Response:
        """Return a page, with a status code of HTTP."""
        return HTMLResponse(self.text(template, **values), status_code=code)

    def text(self, template: str, **values: Any) -> str:
        """Return a page, or a part of one, as text."""
        return looks.render(template, visit=self, tenant=self.caller.tenant_id, **values)


def go(path: str, **query: str) -> Response:
    """Send a browser on to another page of ours, after a form."""
    url = f"{path}?{urlencode(query)}" if query else path
    return RedirectResponse(url, status_code=SEE_OTHER)
