"""The error bodies that HubSpot answers with."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import msgspec

JSON_TYPE = "application/json;charset=utf-8"
SCOPES_LINK = "https://developers.hubspot.com/scopes"


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, ready to send."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE


class ApiError(Exception):
    """A request that HubSpot refuses, with the body it refuses it with."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        category: str | None = None,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body: dict[str, Any] = {
            "status": "error",
            "message": message,
            "correlationId": str(uuid.uuid4()),
        }
        if category:
            self.body["category"] = category
        self.body.update(extra)

    def answer(self) -> Answer:
        return Answer(msgspec.json.encode(self.body), self.status, self.headers)


def invalid(message: str) -> ApiError:
    return ApiError(400, message, category="VALIDATION_ERROR")


def no_credentials() -> ApiError:
    return ApiError(
        401,
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and you "
        "can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
        category="INVALID_AUTHENTICATION",
    )


def expired_token(seconds_ago: int, expired_at: str) -> ApiError:
    return ApiError(
        401,
        f"The OAuth token used to make this call expired {seconds_ago} second(s) ago.",
        category="EXPIRED_AUTHENTICATION",
        context={"expire time": [expired_at]},
    )


def missing_scopes(scopes: list[str]) -> ApiError:
    return ApiError(
        403,
        "This app hasn't been granted all required scopes to make this call. Read more about "
        f"required scopes here: {SCOPES_LINK}.",
        category="MISSING_SCOPES",
        errors=[
            {
                "message": "One or more of the following scopes are required.",
                "context": {"requiredGranularScopes": scopes},
            }
        ],
        links={"scopes": SCOPES_LINK},
    )


def not_found() -> ApiError:
    """Answer as for a numeric id without a record: no category on the wire (observed)."""
    return ApiError(404, "resource not found")


def not_numeric(object_id: str) -> ApiError:
    return ApiError(
        404,
        "Object not found.  objectId are usually numeric.",
        category="OBJECT_NOT_FOUND",
        context={"id": [object_id]},
    )


def rate_limited(policy: str, *, retry_after: float | None, newer_form: bool = False) -> ApiError:
    """Say which limit was hit: TEN_SECONDLY_ROLLING, SECONDLY or DAILY.

    The search endpoints use the newer form, with `category` in place of `errorType` (observed).
    """
    headers = {} if retry_after is None else {"Retry-After": f"{max(1, round(retry_after))}"}
    message = f"You have reached your {policy.lower()} limit."
    if newer_form or policy == "SECONDLY":
        return ApiError(429, message, category="RATE_LIMITS", headers=headers)
    return ApiError(
        429,
        message,
        headers=headers,
        errorType="RATE_LIMIT",
        policyName=policy,
        requestId=str(uuid.uuid4()),
    )


def uri_too_long() -> Answer:
    """Answer in HTML, as the proxy in front of HubSpot does (observed)."""
    return Answer(
        b"<html><head><title>414 Request-URI Too Large</title></head>"
        b"<body><center><h1>414 Request-URI Too Large</h1></center></body></html>",
        414,
        content_type="text/html",
    )
