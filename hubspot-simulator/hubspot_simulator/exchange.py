"""One request from its arrival to its answer: log, token, limits, latency, faults, hooks."""

from __future__ import annotations

import asyncio
import gzip
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams

from hubspot_simulator.call import Call, encode
from hubspot_simulator.encoding import with_scalars
from hubspot_simulator.errors import Answer, ApiError, no_credentials, uri_too_long
from hubspot_simulator.request_log import LoggedRequest, fingerprint

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from hubspot_simulator.credentials import Credential
    from hubspot_simulator.faults import Fault
    from hubspot_simulator.portal import Portal
    from hubspot_simulator.world import World

Reply = dict[str, Any] | list[dict[str, Any]] | bytes | Answer
Responder = Callable[[Call], Reply]
OpenResponder = Callable[[list["Portal"], bytes], Reply]

_LOOK_SECONDS = 0.05


class Endpoint:
    """An ASGI application for one kind of request, in all path families."""

    def __init__(
        self,
        world: World,
        name: str,
        respond: Responder | None = None,
        *,
        respond_openly: OpenResponder | None = None,
        version: str = "",
    ) -> None:
        self.world = world
        self.name = name
        self.respond = respond
        self.respond_openly = respond_openly
        self.version = version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw_body = await _read_body(receive)
        request = self._logged(scope, raw_body)
        self.world.requests.begin(request)
        try:
            await self._serve(request, scope, raw_body, send)
        finally:
            self.world.requests.end(request)

    async def _serve(
        self, request: LoggedRequest, scope: Scope, raw_body: bytes, send: Send
    ) -> None:
        headers: dict[str, str] = {}
        early: Answer | None = None
        call: Call | None = None
        try:
            call = self._admit(request, scope, raw_body, headers)
        except ApiError as error:
            early = error.answer()
        if len(request.path) + len(request.query) > self._url_limit(call):
            early = uri_too_long()
        await self._take_time()
        fault = next((each for each in self.world.faults if each.strikes(request)), None)
        client = scope["client"]
        if fault is not None:
            request.fault = fault.kind
            if fault.carried_out and early is None:
                self._answer(request, call, raw_body)
            if await self._strike(fault, client):
                return
            early = fault.answer() or early
        answer = early or self._answer(request, call, raw_body)
        request.status = answer.status
        for hook in self.world.answer_hooks:
            hook(request)
        if call is not None and call.portal.behaviour.compressed:
            answer = _compressed(answer, _header(scope, b"accept-encoding"))
        portal = call.portal if call else self.world.portals[0]
        headers["date"] = formatdate(portal.clock.now(), usegmt=True)
        await self._send(answer, headers, fault, client, send)

    def _url_limit(self, call: Call | None) -> int:
        return call.portal.behaviour.url_limit if call else 16_384

    def _logged(self, scope: Scope, raw_body: bytes) -> LoggedRequest:
        path = scope["path_params"]
        authorization = _header(scope, b"authorization")
        return LoggedRequest(
            number=len(self.world.requests) + 1,
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            version=path.get("version", self.version),
            endpoint=self.name,
            object_type=self._type_name(path, "object_type", "from_type"),
            to_type=self._type_name(path, "to_type"),
            authorization=fingerprint(authorization),
            body_bytes=len(raw_body),
            body=raw_body,
        )

    def _type_name(self, path: dict[str, Any], *keys: str) -> str:
        """Log the plural name under whichever alias a type was asked for."""
        asked = next((str(path[key]) for key in keys if key in path), "")
        if not asked:
            return ""
        for portal in self.world.portals:
            try:
                return portal.types.resolve(asked).name
            except ApiError:
                continue
        return asked

    def _admit(
        self, request: LoggedRequest, scope: Scope, raw_body: bytes, headers: dict[str, str]
    ) -> Call | None:
        """Find the portal by the token and take the request from its budget."""
        if self.respond is None:
            return None
        authorization = _header(scope, b"authorization")
        portal, credential = self._authenticate(authorization)
        request.portal_id = portal.portal_id
        credential.check_expiry(portal.clock)
        with portal.lock:
            headers |= portal.limits.take(credential.app, self.name, oauth=credential.oauth)
        return Call(
            portal,
            credential,
            request.version,
            scope["path_params"],
            QueryParams(scope["query_string"]),
            raw_body,
            self.world.url + request.path,
            request.summary,
        )

    def _authenticate(self, authorization: str) -> tuple[Portal, Credential]:
        kind, _, token = authorization.partition(" ")
        if kind.lower() == "bearer":
            for portal in self.world.portals:
                credential = portal.credentials.get(token.strip())
                if credential is not None:
                    return portal, credential
        raise no_credentials()

    def _answer(self, request: LoggedRequest, call: Call | None, raw_body: bytes) -> Answer:
        for hook in self.world.request_hooks:
            hook(request)
        try:
            if call is not None and self.respond is not None:
                with call.portal.lock:
                    reply = self.respond(call)
            elif self.respond_openly is not None:
                reply = self.respond_openly(self.world.portals, raw_body)
            else:
                return ApiError(404, "resource not found").answer()
        except ApiError as error:
            return error.answer()
        if not isinstance(reply, Answer):
            reply = Answer(reply if isinstance(reply, bytes) else encode(reply))
        if call is not None and call.portal.behaviour.json_scalars:
            return replace(reply, body=with_scalars(reply.body))
        return reply

    async def _take_time(self) -> None:
        """Wait for as long as answers take; a change of that is for those under way, too."""
        began = time.monotonic()
        while (left := began + self.world.latency_ms / 1000 - time.monotonic()) > 0:  # noqa: ASYNC110 - any thread sets it
            await asyncio.sleep(min(left, _LOOK_SECONDS))

    async def _strike(self, fault: Fault, client: tuple[str, int]) -> bool:
        """Do what a fault does before any answer; tell whether there will be none."""
        connections = self.world.connections
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if fault.kind == "hang":
            await connections.gone(client, unless=lambda: self.world.is_stopping)
        if fault.kind in {"hang", "reset"}:
            await connections.reset(client)
            return True
        return False

    async def _send(
        self,
        answer: Answer,
        headers: dict[str, str],
        fault: Fault | None,
        client: tuple[str, int],
        send: Send,
    ) -> None:
        body = answer.body
        if fault is not None and fault.kind == "truncated":
            body = body[: len(body) // 2]
        sent = {
            "content-type": answer.content_type,
            "content-length": str(len(body)),
            "x-hubspot-correlation-id": str(uuid.uuid4()),
            **headers,
            **answer.headers,
        }
        raw = [(name.lower().encode(), value.encode()) for name, value in sent.items()]
        start = {"type": "http.response.start", "status": answer.status, "headers": raw}
        await send(start)
        if fault is not None and fault.kind == "cut":
            half = body[: len(body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await self.world.connections.cut(client)
            return
        await send({"type": "http.response.body", "body": body})


def _compressed(answer: Answer, accepted: str) -> Answer:
    if "gzip" not in accepted:
        return answer
    headers = {**answer.headers, "content-encoding": "gzip"}
    return replace(answer, body=gzip.compress(answer.body, 1), headers=headers)


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


async def _read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
