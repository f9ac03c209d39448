"""Knows the process of the API: what it needs before it serves, and what a demo prints."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn
from hubspot_client.errors import HubSpotError
from service_base.connections import LONGEST_HEAD, NO_HTTP, protocol
from service_base.logs import configure, logger

from crm_api.commands.people import say
from crm_api.crm.catalog import KEY
from crm_api.crm.talk import HubSpot
from crm_api.door.app import create_app
from crm_api.errors import ValidationFailedError
from crm_api.guard.tokens import Tokens
from crm_api.ledger.migrations import migrate, pending_when_there
from crm_api.settings import IGNORED, Settings

if TYPE_CHECKING:
    from crm_api.crm.talk import Talk

_log = logger(__name__)
_TAKEN = 409
_GROUPS = {"deals": "dealinformation", "tickets": "ticketinformation"}


class NotReadyError(Exception):
    """The API cannot start as it is configured."""


def serve(settings: Settings) -> int:
    """Answer requests until a signal comes."""
    configure(settings.log_format)
    asyncio.run(_check(settings))
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            http=protocol(settings, lambda: ValidationFailedError(NO_HTTP).body()),
            h11_max_incomplete_event_size=LONGEST_HEAD,
            ws="none",
            limit_concurrency=settings.most_connections,
            forwarded_allow_ips=settings.proxies,
            timeout_graceful_shutdown=20,
        )
    )
    with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises once more at its end
        server.run()
    return 0 if server.started else 1


async def _check(settings: Settings) -> None:
    """Refuse to start where nothing could work, or where all customers would be on show."""
    Tokens(settings.secret_keys, hours=settings.token_hours)
    is_open = settings.registration == "open" and settings.contacts == "all"
    if is_open and not settings.allow_open_directory:
        raise NotReadyError(
            "Anybody could register and then read all contacts: set CRM_API_CONTACTS=own, "
            "CRM_API_REGISTRATION=closed, or CRM_API_ALLOW_OPEN_DIRECTORY=true if that is meant"
        )
    if ignored := [name for name in IGNORED if name in os.environ]:
        _log.warning("settings that mean nothing here", names=ignored)
    missing = await pending_when_there(settings.database_url)
    if missing:
        raise NotReadyError(
            f"The database lacks {len(missing)} migrations; run `crm-api migrate` first"
        )


async def set_up(settings: Settings) -> int:
    """Make our unique property of deals and tickets, where it is not there."""
    hubspot = HubSpot(settings)
    try:
        for kind in _GROUPS:
            made = await hubspot.ask(lambda talk, kind=kind: _define(talk, kind))  # type: ignore[misc]
            say(f"{kind}: the property {KEY} {'was made' if made else 'is there'}")
    finally:
        hubspot.close()
    return 0


def _define(talk: Talk, kind: str) -> bool:
    body = {
        "name": KEY,
        "label": "Key of the CRM API",
        "groupName": _GROUPS[kind],
        "type": "string",
        "fieldType": "text",
        "hasUniqueValue": True,
        "description": "Keeps what the CRM API makes single; leave it alone.",
    }
    try:
        talk.post(talk.paths.properties(kind), body, what=f"{kind} properties", shape=_Defined)
    except HubSpotError as failure:
        if failure.status == _TAKEN:
            return False
        raise
    return True


class _Defined(msgspec.Struct):
    name: str


def dev() -> int:
    """Serve with what a demo needs: migrations, the property, a secret of this folder's own."""
    values: dict[str, Any] = {}
    if not (os.environ.get("CRM_API_SECRET_KEYS") or os.environ.get("JWT_SECRET_KEY")):
        values["secret_keys"] = _own_secret(Path.cwd() / ".data" / "crm-api.key")
    settings = Settings.load(**values)
    if sys.stderr.isatty():
        settings = settings.model_copy(update={"log_format": "console"})
    asyncio.run(migrate(settings.database_url))
    asyncio.run(set_up(settings))
    asyncio.run(_check(settings))
    say(_welcome(settings))
    sys.stdout.flush()
    return serve(settings)


def _own_secret(path: Path) -> str:
    """Return the secret of this folder; it is made once, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text(encoding="ascii").strip()


def _welcome(settings: Settings) -> str:
    url = f"http://{settings.host}:{settings.port}"
    # A new person each time: a simulated HubSpot forgets, and the accounts stay.
    email = f"ada.{secrets.token_hex(3)}@example.com"
    return f"""
The CRM API answers on {url} (try {url}/docs). A whole day:

    URL={url}
    curl -s $URL/api/register -H "Content-Type: application/json" -d '{{
      "email": "{email}", "firstname": "Ada", "lastname": "Example",
      "password": "passworD@#1", "phone": "0711000001"}}'
    TOKEN=$(curl -s $URL/api/login -H "Content-Type: application/json" -d '{{
      "email": "{email}", "password": "passworD@#1"}}' |
      python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["access_token"])')
    curl -s "$URL/api/pipelines?object=deals" -H "Authorization: Bearer $TOKEN"
    DEAL=$(curl -s $URL/api/deals -H "Authorization: Bearer $TOKEN" \\
      -H "Content-Type: application/json" -d '{{"dealname": "Test Deal",
      "dealstage": "appointmentscheduled", "amount": 1000000,
      "description": "This is a test deal"}}' |
      python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["id"])')
    curl -s $URL/api/tickets/$DEAL -H "Authorization: Bearer $TOKEN" \\
      -H "Content-Type: application/json" -d '{{"subject": "Test Ticket",
      "description": "This is a test ticket", "category": "general_inquiry", "pipeline": "0",
      "hs_ticket_priority": "HIGH", "hs_pipeline_stage": "1"}}'
    curl -s "$URL/api/new-crm-objects?limit=100" -H "Authorization: Bearer $TOKEN"
"""
