"""Knows what a request brings besides its query: a name in its path, and a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service_base import bodies
from service_base.bodies import BodyError

from scan_service.errors import InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from starlette.requests import Request

_LARGEST = 1024 * 1024


def name_in(request: Request, parameter: str = "scan_id", thing: str = "Scan") -> str:
    """Return a name from the path; one that nothing can have is simply not found."""
    name: str = request.path_params[parameter]
    if "\0" in name or not name.isprintable():
        raise NotFoundError(f"{thing} not found")
    return name


async def json_body(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        InvalidRequestError: it is not JSON by its header (415), or too large (413).
    """
    try:
        return await bodies.read_json(request, most=_LARGEST)
    except BodyError as error:
        if error.status == bodies.TOO_LARGE:
            raise InvalidRequestError("Body is larger than 1 MiB", status=error.status) from None
        raise InvalidRequestError(
            "Content-Type must be application/json",
            details=[{"field": "Content-Type", "message": "must be application/json"}],
            status=error.status,
        ) from None
