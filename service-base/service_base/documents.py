"""Knows how a service describes itself to anybody: its OpenAPI file, and the pages that show it.

They need no key and do not change: they are printed and packed once, not for each request.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import yaml
from anyio import to_thread
from offapi import OpenAPITemplate
from starlette.routing import Route

from service_base.pieces import Pieces, takes_gzip

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

_FILE = "/openapi.json"


def routes(description: str) -> list[Route]:
    """Return where a description is shown.

    Args:
        description: OpenAPI, as YAML.
    """
    # To read, not to try: the page may stand before production, and a trial would write.
    swagger = OpenAPITemplate.SWAGGER.value.format(spec_url=_FILE).replace(
        "dom_id: '#swagger-ui',", "dom_id: '#swagger-ui', supportedSubmitMethods: [],"
    )
    api = json.dumps(yaml.safe_load(description), ensure_ascii=False, separators=(",", ":"))
    shown = {
        _FILE: (api, "application/json"),
        "/openapi.yaml": (description, "application/yaml"),
        "/docs": (swagger, "text/html"),
        "/redoc": (OpenAPITemplate.REDOC.value.format(spec_url=_FILE), "text/html"),
    }
    return [Route(path, _answering(text.encode(), kind)) for path, (text, kind) in shown.items()]


def _answering(plain: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    packed: list[bytes] = []

    async def answer(request: Request) -> Response:
        if not takes_gzip(request.headers.get("Accept-Encoding", "")):
            return Pieces(plain, media_type=kind)
        if not packed:
            packed.append(await to_thread.run_sync(gzip.compress, plain))
        headers = {"Vary": "Accept-Encoding", "Content-Encoding": "gzip"}
        return Pieces(packed[0], media_type=kind, headers=headers)

    return answer
