"""Knows the files that pages need besides themselves: each under a name that changes with it."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from starlette.responses import Response

from scan_service.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

PATH = "/assets/{name}"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_DIGITS = 12


@cache
def _files() -> Mapping[str, tuple[str, bytes]]:
    """Return name and content of each asset by the name that browsers ask for."""
    found = {}
    for each in resources.files("scan_service.web").joinpath("assets").iterdir():
        name, _, ending = each.name.rpartition(".")
        if ending in _TYPES:
            content = each.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
            found[f"{name}.{digest}.{ending}"] = (each.name, content)
    return found


@cache
def address(name: str) -> str:
    """Return the address of an asset; it stays the same for as long as the content does."""
    return next(f"/assets/{shown}" for shown, (known, _) in _files().items() if known == name)


async def asset(request: Request) -> Response:
    """GET /assets/{name}: to be kept for ever, as another content has another name."""
    name = request.path_params["name"]
    if name not in _files():
        raise NotFoundError("Not found")
    ending = name.rpartition(".")[2]
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(_files()[name][1], headers=headers, media_type=_TYPES[ending])
