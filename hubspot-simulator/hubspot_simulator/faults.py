"""Faults on order: which requests go wrong, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from hubspot_simulator.errors import (
    Answer,
    ApiError,
    expired_token,
    missing_scopes,
    rate_limited,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hubspot_simulator.request_log import LoggedRequest

Kind = Literal[
    "status",  # an error body with `status`
    "ten_secondly",  # 429
    "secondly",  # 429
    "daily",  # 429
    "expired",  # 401
    "missing_scope",  # 403
    "partial",  # 207: a batch of which HubSpot could read nothing
    "html",  # an HTML body with `status`
    "reset",  # the connection is reset before an answer
    "cut",  # the connection ends in the middle of the body
    "truncated",  # half of the JSON in a complete HTTP answer
    "silent",  # 200 that names no input: neither a result nor an error
    "slow",  # the right answer after `seconds`
    "hang",  # no answer
]
KINDS = get_args(Kind)
MESSAGES = {
    423: "The resource is locked",
    477: "The account is being migrated to another data center",
    500: "internal error",
    502: "Bad gateway",
    503: "Service unavailable",
    504: "Gateway timeout",
    521: "Web server is down",
}


@dataclass
class Fault:
    """One way to go wrong and the requests that it meets.

    Matching requests are counted from 1: `nth` picks some of them, `every` each so many,
    `probability` draws from the seed, `when` decides; `times` ends it after so many faults.
    `carried_out` lets HubSpot do what was asked before it fails: the write that timed out.
    """

    kind: Kind
    path: str = ""
    method: str = ""
    endpoint: str = ""
    nth: int | Collection[int] = ()
    every: int = 0
    probability: float = 1.0
    times: int | None = None
    when: Callable[[LoggedRequest], bool] | None = None
    status: int = 500
    retry_after: float | None = None
    seconds: float = 1.0
    seed: int = 0
    carried_out: bool = False
    seen: int = field(default=0, init=False)
    struck: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Unknown fault {self.kind!r}; known are {', '.join(KINDS)}")
        if self.carried_out and self.kind in {"slow", "cut", "truncated"}:
            raise ValueError(f"A {self.kind} answer is always carried out")
        self._rng = Random(self.seed)
        self._path = re.compile(self.path)

    def strikes(self, request: LoggedRequest) -> bool:
        """Count a request and decide; called once for each, in order of arrival."""
        if not self._concerns(request):
            return False
        self.seen += 1
        picked = {self.nth} if isinstance(self.nth, int) else set(self.nth)
        hit = not picked or self.seen in picked
        if self.every:
            hit = hit and self.seen % self.every == 0
        if self.probability < 1:
            hit = self._rng.random() < self.probability and hit
        self.struck += hit
        return hit

    def _concerns(self, request: LoggedRequest) -> bool:
        return (
            (self.times is None or self.struck < self.times)
            and self.method in {"", request.method}
            and self.endpoint in {"", request.endpoint}
            and self._path.search(request.path) is not None
            and (self.when is None or self.when(request))
        )

    def answer(self) -> Answer | None:
        """Give the answer in place of the right one; None for faults of the connection."""
        headers = {} if self.retry_after is None else {"Retry-After": f"{self.retry_after:g}"}
        if self.kind == "html":
            page = b"<html><head><title>Unavailable</title></head><body>sorry</body></html>"
            return Answer(page, self.status, headers, "text/html")
        if self.kind == "partial":
            return _partial()
        if self.kind == "silent":
            return Answer(msgspec.json.encode({"status": "COMPLETE", "results": []}))
        error: ApiError | None = None
        match self.kind:
            case "status":
                message = MESSAGES.get(self.status, "error")
                error = ApiError(self.status, message, headers=headers)
            case "ten_secondly":
                error = rate_limited("TEN_SECONDLY_ROLLING", retry_after=self.retry_after)
            case "secondly":
                error = rate_limited("SECONDLY", retry_after=self.retry_after)
            case "daily":
                error = rate_limited("DAILY", retry_after=self.retry_after)
            case "expired":
                error = expired_token(75, "2022-06-21T10:37:52.040Z")
            case "missing_scope":
                error = missing_scopes(["crm.objects.deals.read"])
            case _:
                pass
        return error.answer() if error else None


def _partial() -> Answer:
    """Answer in the shape that the OpenAPI files give a batch with errors."""
    error = {"status": "error", "category": "INTERNAL_ERROR", "message": "internal error"}
    body = {"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [error]}
    return Answer(msgspec.json.encode(body), 207)
