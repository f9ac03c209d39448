"""The control endpoints: mutation, faults, settings, the request log and the truth over HTTP."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hubspot_simulator.errors import ApiError
from hubspot_simulator.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from hubspot_simulator.portal import Portal
    from hubspot_simulator.world import World

# A POST to /_simulator/{portal}/{operation} calls the portal's method with the JSON body.
OPERATIONS = (
    "create",
    "change",
    "archive",
    "restore",
    "delete",
    "merge",
    "link",
    "unlink",
    "relabel",
    "add_label",
    "add_property",
    "retype_property",
    "archive_property",
)
SETTINGS = ("behaviour", "limits")


class Control:
    """What people and other processes may do to a running simulator."""

    def __init__(self, world: World) -> None:
        self.world = world

    def _portal(self, request: Request) -> Portal:
        return self.world.portal(portal_id=int(request.path_params["portal_id"]))

    async def portals(self, _: Request) -> Response:
        return JSONResponse(
            [
                {"portal_id": each.portal_id, "token": each.token, "deals": len(each.ids())}
                for each in self.world.portals
            ]
        )

    async def operate(self, request: Request) -> Response:
        operation = request.path_params["operation"]
        if operation not in OPERATIONS:
            raise KeyError(f"unknown operation {operation}; known are {', '.join(OPERATIONS)}")
        result = getattr(self._portal(request), operation)(**await request.json())
        return JSONResponse({"result": result if isinstance(result, str) else None})

    async def truth(self, request: Request) -> Response:
        portal = self._portal(request)
        return JSONResponse(portal.truth(request.path_params["object_type"]).as_json())

    async def links(self, request: Request) -> Response:
        path = request.path_params
        found = self._portal(request).true_links(path["from_type"], path["to_type"])
        return JSONResponse([asdict(each) for each in found])

    async def writes(self, request: Request) -> Response:
        """List what was written over HTTP; `trace_id` picks the writes of one input."""
        wanted = request.query_params.get("trace_id")
        found = self._portal(request).writes
        return JSONResponse([asdict(each) for each in found if wanted in {None, each.trace_id}])

    async def settings(self, request: Request) -> Response:
        """Change a portal's behaviour, limits or search lag."""
        portal = self._portal(request)
        for name, value in (await request.json()).items():
            if name in {"search_lag", "search_flicker"}:
                setattr(portal, name, float(value))
                continue
            owners = [getattr(portal, each) for each in SETTINGS]
            known = [each for each in owners if name in {field.name for field in fields(each)}]
            if not known:
                raise KeyError(f"unknown setting {name}")
            setattr(known[0], name, value)
        return JSONResponse({"result": None})

    async def add_fault(self, request: Request) -> Response:
        self.world.faults.append(Fault(**await request.json()))
        return JSONResponse({"result": None})

    async def clear_faults(self, _: Request) -> Response:
        self.world.heal()
        return JSONResponse({"result": None})

    async def requests(self, _: Request) -> Response:
        log = self.world.requests
        return JSONResponse(
            {
                "max_in_flight": log.max_in_flight,
                "by_endpoint": log.counts("endpoint"),
                "by_status": {str(each): count for each, count in log.counts("status").items()},
                "requests": [{**asdict(each), "body": None} for each in log.all()],
            }
        )

    async def clear_requests(self, _: Request) -> Response:
        self.world.requests.clear()
        return JSONResponse({"result": None})

    async def change_world(self, request: Request) -> Response:
        """Change the latency or push the clock forward."""
        body = await request.json()
        self.world.latency_ms = float(body.get("latency_ms", self.world.latency_ms))
        self.world.advance(float(body.get("advance", 0)))
        return JSONResponse({"result": None})


def _told(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """Answer a mistake of the caller with 400 and its reason."""

    async def wrapped(request: Request) -> Response:
        try:
            return await endpoint(request)  # type: ignore[no-any-return]
        except (KeyError, ValueError, TypeError, json.JSONDecodeError, ApiError) as error:
            reason = str(error.args[0]) if error.args else str(error)
            return JSONResponse({"message": reason}, status_code=400)

    return wrapped


def control_routes(world: World) -> list[Route]:
    control = Control(world)
    table = (
        ("GET", "/portals", control.portals),
        ("POST", "/world", control.change_world),
        ("POST", "/faults", control.add_fault),
        ("DELETE", "/faults", control.clear_faults),
        ("GET", "/requests", control.requests),
        ("DELETE", "/requests", control.clear_requests),
        ("GET", "/{portal_id:int}/truth/{object_type}", control.truth),
        ("GET", "/{portal_id:int}/truth/links/{from_type}/{to_type}", control.links),
        ("GET", "/{portal_id:int}/writes", control.writes),
        ("POST", "/{portal_id:int}/settings", control.settings),
        ("POST", "/{portal_id:int}/{operation}", control.operate),
    )
    return [Route(path, _told(endpoint), methods=[method]) for method, path, endpoint in table]
