"""Knows every error that a client can see: `{"error": text}`, with what helps beside it.

ApiError
├── ValidationFailedError   400 (413, 415) Validation error
├── ExistingUserError       400 User already exists
├── InvalidTokenError       401 Invalid token
├── InvalidCredentialsError 401 Invalid credentials
├── NotFoundError           404 Resource not found
├── RateLimitError          429 ratelimit exceeded N per M minute
├── InternalError           500 Internal server error
├── RefusedError            502 HubSpot refused the request
└── UnavailableError        503 HubSpot, or the database
    └── OutcomeUnknownError 503 HubSpot may have made a record, or not
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from asgi_correlation_id import correlation_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ApiError(Exception):
    """Something the client is told; never carries a password, a token or SQL."""

    status = 500
    message = "Internal server error"

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int | None = None,
        details: Mapping[str, Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.message = message or self.message
        super().__init__(self.message)
        self.status = status or self.status
        self.details = details
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the answer's body."""
        body: dict[str, Any] = {"error": self.message}
        if self.details:
            body["details"] = {name: list(problems) for name, problems in self.details.items()}
        body["correlationId"] = correlation_id.get() or ""
        return body


class ValidationFailedError(ApiError):
    """The request does not say what it should; `details` names the fields."""

    status = 400
    message = "Validation error"

    @classmethod
    def field(cls, name: str, *problems: str) -> ValidationFailedError:
        """Name one wrong field."""
        return cls(details={name: problems})


class ExistingUserError(ApiError):
    """There is an account with this address."""

    status = 400
    message = "User already exists"


class InvalidTokenError(ApiError):
    """No token, or not a good one: all reasons look alike."""

    status = 401
    message = "Invalid token"

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": "Bearer"})


class InvalidCredentialsError(ApiError):
    """No such account, a wrong password, a locked account: all look alike."""

    status = 401
    message = "Invalid credentials"

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": "Bearer"})


class NotFoundError(ApiError):
    """Nothing of the caller's has that name."""

    status = 404
    message = "Resource not found"


class RateLimitError(ApiError):
    """Too many requests; the text is the setting's."""

    status = 429

    def __init__(self, limit: str, *, retry_after: int, headers: Mapping[str, str]) -> None:
        super().__init__(
            f"ratelimit exceeded {limit}", headers={**headers, "Retry-After": str(retry_after)}
        )


class InternalError(ApiError):
    """A fault of the API; the log has it under the correlation id."""


class RefusedError(ApiError):
    """HubSpot refused: the token, a scope, or a rule that the client cannot know."""

    status = 502
    message = "HubSpot refused the request"


class UnavailableError(ApiError):
    """Not now; `Retry-After` says when."""

    status = 503
    message = "HubSpot is not available, try again"

    def __init__(self, message: str | None = None, *, wait: float | None = None) -> None:
        seconds = 5 if wait is None else max(1, math.ceil(wait))
        super().__init__(message, headers={"Retry-After": str(seconds)})


class OutcomeUnknownError(UnavailableError):
    """HubSpot gave no answer, and nobody can tell whether it made a record.

    Args:
        kind: Of records, for people.
        is_findable: Whether the same request under its Idempotency-Key finds the record.
    """

    def __init__(self, kind: str, *, is_findable: bool) -> None:
        self.is_findable = is_findable
        remedy = "try again with the same Idempotency-Key, or " if is_findable else ""
        super().__init__(
            f"HubSpot gave no answer, outcome unknown: {remedy}check whether it holds the new"
            f" {kind.removesuffix('s')} before you try again"
        )
