"""Knows the processes that answer requests: a server, or server and worker in one to develop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from service_base.connections import LONGEST_HEAD, NO_HTTP, protocol
from service_base.logs import configure, logger

from scan_service.commands.ready import refuse_unready
from scan_service.commands.watch import Unsignalled
from scan_service.commands.work import carry_out
from scan_service.db import connect
from scan_service.door.app import create_app
from scan_service.engine.privacy import keep_private
from scan_service.errors import InvalidRequestError
from scan_service.guard import auth
from scan_service.guard.vault import new_key
from scan_service.ledger.migrations import migrate
from scan_service.settings import Settings, find_project
from scan_service.web import site

if TYPE_CHECKING:
    import socket

    from scan_service.door.news import News

_log = logger(__name__)


def serve(settings: Settings) -> int:
    """Answer requests until a signal comes."""
    keep_private()
    configure(settings.log_format)
    asyncio.run(refuse_unready(settings, works=False))
    server = _server(settings)
    server.run()
    return 0 if server.started else 1


def _server(settings: Settings) -> _Server:
    return _Server(
        uvicorn.Config(
            create_app(settings, site.routes),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            http=protocol(settings, lambda: InvalidRequestError(NO_HTTP).envelope()),
            h11_max_incomplete_event_size=LONGEST_HEAD,
            ws="none",
            limit_concurrency=settings.most_connections,
            forwarded_allow_ips=settings.proxies,
            timeout_graceful_shutdown=20,
        )
    )


def dev(tenant_id: str, token: str) -> int:
    """Serve and work in one process: migrations, secret and demo key are made on the way."""
    keep_private()
    project = find_project(Path.cwd())
    values: dict[str, Any] = {}
    if not os.environ.get("SCAN_SERVICE_SECRET_KEYS"):
        values["secret_keys"] = _own_secret(project / ".data" / "scan-service.key")
    settings = Settings.load(**values)
    configure("console" if sys.stderr.isatty() else settings.log_format)
    return asyncio.run(_dev(settings, tenant_id, token))


def _own_secret(path: Path) -> str:
    """Return the secret of this checkout; it is made once, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(new_key())
    return path.read_text(encoding="ascii").strip()


class _Server(uvicorn.Server):
    """A server that lets go of those who watch: they would keep it, and come back by themselves."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what is going on."""
        news: News = self.config.app.state.news  # type: ignore[union-attr]
        await news.close()
        await super().shutdown(sockets)


class _DevServer(Unsignalled, _Server):
    """A server beside a worker."""


async def _dev(settings: Settings, tenant_id: str, token: str) -> int:
    await migrate(settings.database_url)
    async with await connect(settings.database_url) as connection:
        key = await auth.create_key(connection, tenant_id, name="dev")
    await refuse_unready(settings)
    stop = asyncio.Event()
    server = _DevServer(_server(settings).config)

    def end() -> None:
        stop.set()
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    working = asyncio.create_task(carry_out(settings, stop))
    print(_welcome(settings, tenant_id, key, token), flush=True)  # noqa: T201 - for the person who started it
    await server.serve()
    stop.set()  # also when the port was taken
    await working
    return 0 if server.started else 1


def _welcome(settings: Settings, tenant_id: str, key: str, token: str) -> str:
    url = f"http://{settings.host}:{settings.port}"
    return f"""
The scan service answers on {url} (the API: {url}/docs). A key of the tenant {tenant_id}:

    export KEY={key}

    curl -X POST {url}/api/v1/scan/start -H "Authorization: Bearer $KEY" \\
      -H "Content-Type: application/json" -d '{{"config": {{"scanId": "first",
      "tenantId": "{tenant_id}", "auth": {{"accessToken": "{token}"}},
      "associations": ["contacts", "companies"]}}}}'
    curl {url}/api/v1/scan/status/first -H "Authorization: Bearer $KEY"
    curl "{url}/api/v1/scan/result/first?page_size=2" -H "Authorization: Bearer $KEY"
    curl {url}/api/v1/scan/download/first/csv -H "Authorization: Bearer $KEY" -o deals.csv

Or open {url}/ in a browser, sign in with that key, and connect the account with its token {token}:

    {key}
"""
