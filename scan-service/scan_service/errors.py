"""Knows every error a client can see, and the one envelope they all wear.

ServiceError
├── InvalidRequestError   400 (413, 415) VALIDATION_ERROR
├── UnauthorizedError     401 UNAUTHORIZED
├── ForbiddenError        403 FORBIDDEN
├── NotFoundError         404 NOT_FOUND
├── ConflictError         409 CONFLICT
├── RateLimitError        429 RATE_LIMIT_EXCEEDED
├── HubSpotError          502 HUBSPOT_AUTH_ERROR | HUBSPOT_RATE_LIMIT | HUBSPOT_API_ERROR
├── DatabaseError         500 DATABASE_ERROR
├── InternalError         500 INTERNAL_ERROR
└── UnavailableError      503 SERVICE_UNAVAILABLE
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgi_correlation_id import correlation_id

from scan_service.moments import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ServiceError(Exception):
    """Something the client is told; never carries input, SQL or secrets."""

    status = 500
    code = "INTERNAL_ERROR"

    def __init__(
        self,
        message: str,
        *,
        details: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.headers = dict(headers or {})
        if status is not None:
            self.status = status

    def envelope(self) -> dict[str, Any]:
        """Return the document's error response."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details is not None:
            error["details"] = self.details
        if "Retry-After" in self.headers:
            error["retryAfter"] = int(self.headers["Retry-After"])
        error["correlationId"] = correlation_id.get() or ""
        return {"status": "error", "error": error, "timestamp": timestamp()}


class InvalidRequestError(ServiceError):
    """The request does not say what it should."""

    status = 400
    code = "VALIDATION_ERROR"

    @classmethod
    def field(cls, name: str, problem: str, *, message: str | None = None) -> InvalidRequestError:
        """Name one wrong field."""
        return cls(message or f"{name}: {problem}", details=[{"field": name, "message": problem}])


class UnauthorizedError(ServiceError):
    """No key, or not a valid one: unknown, expired and revoked keys get the same answer."""

    status = 401
    code = "UNAUTHORIZED"

    def __init__(self) -> None:
        super().__init__(
            "Missing or invalid API key", headers={"WWW-Authenticate": 'Bearer realm="scans"'}
        )


class ForbiddenError(ServiceError):
    """The key may not do this."""

    status = 403
    code = "FORBIDDEN"


class NotFoundError(ServiceError):
    """Nothing of this tenant has that name."""

    status = 404
    code = "NOT_FOUND"


class ConflictError(ServiceError):
    """The thing exists already, or is not in the state that this needs."""

    status = 409
    code = "CONFLICT"


class RateLimitError(ServiceError):
    """Too many requests, or too many waiting scans."""

    status = 429
    code = "RATE_LIMIT_EXCEEDED"


class HubSpotError(ServiceError):
    """HubSpot refused; the code tells what kind of refusal it was."""

    status = 502
    code = "HUBSPOT_API_ERROR"

    def __init__(self, message: str, *, code: str, details: Mapping[str, Any]) -> None:
        super().__init__(message, details=details)
        self.code = code


class DatabaseError(ServiceError):
    """The database refused an operation; its own words stay in the log."""

    code = "DATABASE_ERROR"

    def __init__(self) -> None:
        super().__init__("Database operation failed")


class InternalError(ServiceError):
    """A fault of the service; the log has it under the correlation id."""

    def __init__(self) -> None:
        super().__init__("Unexpected server error")


class UnavailableError(ServiceError):
    """Not now: the database cannot be reached, or all downloads are taken."""

    status = 503
    code = "SERVICE_UNAVAILABLE"

    def __init__(self, message: str = "Service temporarily unavailable") -> None:
        super().__init__(message, headers={"Retry-After": "5"})
