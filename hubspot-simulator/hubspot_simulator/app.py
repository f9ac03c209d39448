"""The paths of the API: every endpoint under its numbered and its dated path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Mount, Route

from hubspot_simulator import associations, legacy, listing, metadata, oauth
from hubspot_simulator.batch_read import batch_read
from hubspot_simulator.control import control_routes
from hubspot_simulator.errors import ApiError
from hubspot_simulator.exchange import Endpoint, Responder
from hubspot_simulator.search import search
from hubspot_simulator.writing.routes import WRITING

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from hubspot_simulator.world import World


class DatedVersion(Convertor[str]):
    """The date-based versions that answer today (OpenAPI files)."""

    regex = r"2025-09|2026-03|2026-09(?:-beta)?"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


# Method, endpoint, responder, paths.
READING: tuple[tuple[str, str, Responder, tuple[str, ...]], ...] = (
    (
        "GET",
        "list",
        listing.list_records,
        ("/crm/v3/objects/{object_type}", "/crm/objects/{version:dated}/{object_type}"),
    ),
    (
        "POST",
        "batch_read",
        batch_read,
        (
            "/crm/v3/objects/{object_type}/batch/read",
            "/crm/objects/{version:dated}/{object_type}/batch/read",
        ),
    ),
    (
        "POST",
        "search",
        search,
        (
            "/crm/v3/objects/{object_type}/search",
            "/crm/objects/{version:dated}/{object_type}/search",
        ),
    ),
    (
        "POST",
        "associations",
        associations.read_associations,
        (
            "/crm/v4/associations/{from_type}/{to_type}/batch/read",
            "/crm/associations/{version:dated}/{from_type}/{to_type}/batch/read",
        ),
    ),
    (
        "GET",
        "labels",
        associations.labels,
        (
            "/crm/v4/associations/{from_type}/{to_type}/labels",
            "/crm/associations/v4/{from_type}/{to_type}/labels",
            "/crm/associations/{version:dated}/{from_type}/{to_type}/labels",
        ),
    ),
    (
        "GET",
        "associations",
        associations.record_associations,
        (
            "/crm/v4/objects/{object_type}/{object_id}/associations/{to_type}",
            "/crm/objects/{version:dated}/{object_type}/{object_id}/associations/{to_type}",
        ),
    ),
    (
        "GET",
        "associations",
        listing.single_record_associations_v3,
        ("/crm/v3/objects/{object_type}/{object_id}/associations/{to_type}",),
    ),
    (
        "POST",
        "associations",
        associations.read_associations_v3,
        ("/crm/v3/associations/{from_type}/{to_type}/batch/read",),
    ),
    (
        "GET",
        "single",
        listing.single_record,
        (
            "/crm/v3/objects/{object_type}/{object_id}",
            "/crm/objects/{version:dated}/{object_type}/{object_id}",
        ),
    ),
    (
        "GET",
        "properties",
        metadata.properties,
        ("/crm/v3/properties/{object_type}", "/crm/properties/{version:dated}/{object_type}"),
    ),
    (
        "GET",
        "properties",
        metadata.one_property,
        (
            "/crm/v3/properties/{object_type}/{property_name}",
            "/crm/properties/{version:dated}/{object_type}/{property_name}",
        ),
    ),
    (
        "GET",
        "pipelines",
        metadata.pipelines,
        ("/crm/v3/pipelines/{object_type}", "/crm/pipelines/{version:dated}/{object_type}"),
    ),
    (
        "GET",
        "pipelines",
        metadata.one_pipeline,
        (
            "/crm/v3/pipelines/{object_type}/{pipeline_id}",
            "/crm/pipelines/{version:dated}/{object_type}/{pipeline_id}",
        ),
    ),
    ("GET", "owners", metadata.owners, ("/crm/v3/owners", "/crm/owners/{version:dated}")),
    (
        "GET",
        "owners",
        metadata.one_owner,
        ("/crm/v3/owners/{owner_id}", "/crm/owners/{version:dated}/{owner_id}"),
    ),
    (
        "GET",
        "schemas",
        metadata.schemas,
        (
            "/crm-object-schemas/v3/schemas",
            "/crm/v3/schemas",
            "/crm-object-schemas/{version:dated}/schemas",
        ),
    ),
    (
        "GET",
        "schemas",
        metadata.one_schema,
        (
            "/crm-object-schemas/v3/schemas/{object_type}",
            "/crm/v3/schemas/{object_type}",
            "/crm-object-schemas/{version:dated}/schemas/{object_type}",
        ),
    ),
    (
        "GET",
        "account",
        metadata.account_details,
        ("/account-info/v3/details", "/account-info/{version:dated}/details"),
    ),
    (
        "GET",
        "account",
        metadata.api_usage,
        (
            "/account-info/v3/api-usage/daily/private-apps",
            "/account-info/{version:dated}/api-usage/daily/private-apps",
        ),
    ),
    ("GET", "legacy_list", legacy.paged_deals, ("/deals/v1/deal/paged",)),
    ("GET", "properties", legacy.deal_properties, ("/properties/v1/deals/properties",)),
)
TOKEN_PATHS = ("/oauth/v1/token", "/oauth/v3/token", "/oauth/{version:dated}/token")


def build(world: World) -> Callable[[Scope, Receive, Send], Any]:
    register_url_convertor("dated", DatedVersion())
    routes: list[Route | Mount] = []
    for method, name, respond, paths in (*READING, *WRITING):
        for path in paths:
            version = next((part for part in path.split("/") if part in {"v1", "v3", "v4"}), "")
            endpoint = Endpoint(world, name, respond, version=version)
            routes.append(Route(path, endpoint, methods=[method]))
    for path in TOKEN_PATHS:
        endpoint = Endpoint(world, "oauth", respond_openly=oauth.refresh, version="v3")
        routes.append(Route(path, endpoint, methods=["POST"]))
        ended = Endpoint(world, "oauth", respond_openly=oauth.revoke, version="v3")
        routes.append(Route(f"{path}/revoke", ended, methods=["POST"]))

    async def authorize(request: Request) -> Response:
        """Where a user's browser is sent: he says yes and goes back."""
        try:
            return RedirectResponse(oauth.authorize(world.portals, request.query_params), 302)
        except ApiError as refusal:
            return PlainTextResponse(str(refusal), refusal.status)

    routes.append(Route("/oauth/authorize", authorize))
    info = Endpoint(world, "oauth", respond_openly=oauth.token_info, version="v2")
    routes.append(Route("/oauth/v2/private-apps/get/access-token-info", info, methods=["POST"]))
    routes.append(Mount("/_simulator", routes=control_routes(world)))
    routes.append(Route("/{rest:path}", Endpoint(world, "unknown")))
    starlette = Starlette(routes=routes)

    async def with_plain_path(scope: Scope, receive: Receive, send: Send) -> None:
        """Drop the host that a client of a proxy names, and a slash at the end."""
        if scope["type"] == "http":
            whole = urlsplit(scope["path"]).path
            scope["path"] = whole.rstrip("/") or "/"
        await starlette(scope, receive, send)

    return with_plain_path
