"""The API as a process, users of it, and a HubSpot; every answer is held to the description."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import psycopg
import requests
import yaml
from crm_api.door.app import description
from crm_api.ledger.migrations import migrate
from pydantic import SecretStr

from harness.database import new_database

if TYPE_CHECKING:
    from hubspot_simulator import Portal, Simulator

HUBSPOT_TOKEN = "pat-na1-0123abcd-4567-89ef-aaaa-bbbbccccdddd"
PASSWORD = "passworD@#1"
KEY = "crm_api_key"
BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[2]
CHEAP = {"password_memory_kib": 64, "password_passes": 1, "password_lanes": 1}
FAST = {"rate_limit": "100000 per 1 minute", "login_rate_limit": "100000 per 1 minute"}
PERSON = {
    "email": "ada.example@example.com", "firstname": "Ada", "lastname": "Example",
    "password": PASSWORD, "phone": "0711000001",
}  # fmt: skip
DEAL = {
    "dealname": "Test Deal", "dealstage": "appointmentscheduled", "amount": 1000000,
    "description": "This is a test deal",
}  # fmt: skip
TICKET = {
    "subject": "Test Ticket", "description": "This is a test ticket",
    "category": "general_inquiry", "pipeline": "0", "hs_ticket_priority": "HIGH",
    "hs_pipeline_stage": "1",
}  # fmt: skip


@cache
def api() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(description())
    return loaded


def hold_to_description(method: str, path: str, response: requests.Response) -> None:
    """Fail if an answer is not what the description says."""
    words = path.partition("?")[0].strip("/").split("/")
    for pattern, operations in api()["paths"].items():
        parts = pattern.strip("/").split("/")
        fits = len(parts) == len(words) and all(
            part.startswith("{") or part == word for part, word in zip(parts, words, strict=True)
        )
        if not fits or method.lower() not in operations:
            continue
        answer = operations[method.lower()]["responses"].get(str(response.status_code))
        assert answer is not None, f"{method} {pattern}: {response.status_code}, undescribed"
        if "$ref" in answer:
            answer = api()["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
        schema = answer["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**schema, "components": api()["components"]}).validate(
            response.json()
        )
        for name in answer.get("headers", {}):
            assert name in response.headers or name == "X-Data-As-Of", name
    assert response.headers["X-Correlation-ID"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """One or more processes on one database.

    Args:
        database_url: Migrated already.
        folder: For logs.
        hubspot_url: Where HubSpot answers.
        settings: Further ones, without their prefix.
    """

    database_url: str
    folder: Path
    hubspot_url: str
    settings: dict[str, Any] = field(default_factory=dict)
    urls: list[str] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def fresh(cls, server: str, folder: Path, hubspot_url: str, **settings: Any) -> Server:
        """One on a new database of a server, with one process."""
        url = new_database(server)
        asyncio.run(migrate(SecretStr(url)))
        made = cls(url, folder, hubspot_url, {**CHEAP, **FAST, **settings})
        made.start()
        return made

    def environment(self) -> dict[str, str]:
        basics = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_CONFIG")
        chosen = {
            "secret_keys": secrets.token_urlsafe(32),
            "hubspot_base_url": self.hubspot_url,
            "hubspot_access_token": HUBSPOT_TOKEN,
            "allow_open_directory": "true",
            **self.settings,
        }
        self.settings.setdefault("secret_keys", chosen["secret_keys"])
        return {
            **{name: os.environ[name] for name in basics if name in os.environ},
            "DATABASE_URL": self.database_url,
            **{f"CRM_API_{name.upper()}": str(value) for name, value in chosen.items()},
        }

    def start(self) -> subprocess.Popen[bytes]:
        port = free_port()
        with (self.folder / f"serve-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(BIN / "crm-api"), "serve"],
                env={**self.environment(), "CRM_API_PORT": str(port)},
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        self.urls.append(f"http://127.0.0.1:{port}")
        until = time.monotonic() + 60
        while not _answers(self.urls[-1]):
            assert process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.05)
        return process

    @property
    def url(self) -> str:
        return self.urls[-1]

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A command of the operator's."""
        return subprocess.run(
            [str(BIN / "crm-api"), *words],
            env={**self.environment(), **more},
            capture_output=True,
            text=True,
            check=False,
        )

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("serve-*.log")))

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            self.database_url, autocommit=True, options="-c search_path=crm_api"
        ) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    # What a client does

    def ask(
        self, method: str, path: str, token: str | None = None, **options: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        headers |= options.pop("headers", {})
        url = options.pop("url", self.url)
        response = requests.request(method, url + path, headers=headers, timeout=60, **options)
        hold_to_description(method, path, response)
        return response

    def post(
        self, path: str, body: Any, token: str | None = None, **options: Any
    ) -> requests.Response:
        return self.ask("POST", path, token, json=body, **options)

    def get(self, path: str, token: str | None = None, **options: Any) -> requests.Response:
        return self.ask("GET", path, token, **options)

    def join(self, email: str = PERSON["email"], **person: str) -> User:
        """Register and log in."""
        registered = self.post("/api/register", {**PERSON, "email": email, **person})
        assert registered.status_code == 201, registered.text
        contact_id = registered.json()["data"]["contact"]["id"]
        return User(self, email, contact_id, self.log_in(email, person.get("password", PASSWORD)))

    def log_in(self, email: str, password: str = PASSWORD) -> str:
        answer = self.post("/api/login", {"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["data"]["access_token"]
        return token


@dataclass
class User:
    """One who is logged in."""

    server: Server
    email: str
    contact_id: str
    token: str

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.server.get(path, self.token, **options)

    def post(self, path: str, body: Any, **options: Any) -> requests.Response:
        return self.server.post(path, body, self.token, **options)

    def deal(self, **values: Any) -> str:
        answer = self.post("/api/deals", {**DEAL, **values})
        assert answer.status_code == 201, answer.text
        deal_id: str = answer.json()["data"]["id"]
        return deal_id

    def ticket(self, deal_id: str, **values: Any) -> str:
        answer = self.post(f"/api/tickets/{deal_id}", {**TICKET, **values})
        assert answer.status_code == 201, answer.text
        ticket_id: str = answer.json()["data"]["id"]
        return ticket_id

    def contacts(self, query: str = "limit=100") -> list[dict[str, Any]]:
        answer = self.get(f"/api/new-crm-objects?{query}")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]["data"]["contacts"]
        return found


def with_key(portal: Portal) -> Portal:
    """An account that `crm-api setup` has been at."""
    for kind in ("deals", "tickets"):
        portal.add_property(kind, KEY, "string", has_unique_value=True)
    return portal


def made(hubspot: Simulator, kind: str) -> list[str]:
    """The records that were created over HTTP."""
    return [
        each.object_id
        for each in hubspot.portal().writes
        if each.action == "created" and each.object_type == kind
    ]


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False
