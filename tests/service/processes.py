"""Real processes of the service: servers, workers, and what they leave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import requests
from harness.database import new_database
from pydantic import SecretStr
from scan_service.guard.vault import new_key
from scan_service.ledger.migrations import migrate
from service.kit import ROOT, TENANT, Ledger, order

if TYPE_CHECKING:
    from collections.abc import Callable

BIN = Path(sys.executable).parent
DONE = ("completed", "failed", "cancelled")
# Milliseconds of a HubSpot whose answers do not come: a scan stays in its middle until this ends.
HELD = 60_000


def wait_for(
    what: Callable[[], Any], *, seconds: float = 120, pause: float = 0.1, why: str = ""
) -> Any:
    """The first true value of something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := what():
            return value
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} s: {why or what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Deaf:
    """A HubSpot that takes every connection and never says a word."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._taken: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def asked(self) -> int:
        """How many connections it has taken."""
        return len(self._taken)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._taken.append(self._listener.accept()[0])

    def close(self) -> None:
        self._listener.close()
        for each in self._taken:
            each.close()


class Dripping:
    """A HubSpot that answers every request, one byte at a time, and never to the end."""

    def __init__(self, first: bytes) -> None:
        self._first = first
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked = self.left = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                self.asked += 1
                threading.Thread(target=self._drip, args=[client], daemon=True).start()

    def _drip(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.sendall(self._first)
            while True:
                time.sleep(0.1)
                client.sendall(b" ")
        self.left += 1

    def close(self) -> None:
        self._listener.close()


class Installation:
    """One installation of the service on one database: as many processes as a test wants.

    Args:
        url: of the database, migrated already.
        folder: for logs and runs.
        hubspot_url: where HubSpot answers.
        settings: further settings of the service, without their prefix.
    """

    def __init__(self, url: str, folder: Path, hubspot_url: str, **settings: Any) -> None:
        self.ledger = Ledger(url)
        self.folder = folder
        chosen = {
            "secret_keys": new_key(),
            "hubspot_base_url": hubspot_url,
            "run_directory": folder / "runs",
            "project_root": ROOT,
            **settings,
        }
        self.environment = {
            "DATABASE_URL": url,
            **{f"SCAN_SERVICE_{name.upper()}": str(value) for name, value in chosen.items()},
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.root, self.programs = ROOT, BIN
        self.url = ""
        self.key = ""

    @classmethod
    def fresh(cls, server: str, folder: Path, hubspot_url: str, **settings: Any) -> Installation:
        """One on a new database of a server."""
        url = new_database(server)
        asyncio.run(migrate(SecretStr(url)))
        return cls(url, folder, hubspot_url, **settings)

    def install(self, root: Path, programs: Path) -> None:
        """Start what is started from now on by another checkout of this project."""
        self.root, self.programs = root, programs
        self.environment["SCAN_SERVICE_PROJECT_ROOT"] = str(root)

    def command(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{words[0]}-{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [str(self.programs / "scan-service"), *words],
            env={**_basics(), **self.environment, **more},
            cwd=self.root,
            stdout=log,
            stderr=log,
        )
        log.close()
        self.processes.append(process)
        return process

    def serve(self, **more: str) -> subprocess.Popen[bytes]:
        port = free_port()
        server = self.command("serve", SCAN_SERVICE_PORT=str(port), **more)
        self.url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(self.url), seconds=40, why=self.logs())
        self.key = self.key or self.ledger.key()
        return server

    def work(self, **more: str) -> subprocess.Popen[bytes]:
        worker = self.command("work", **more)
        number = len(self.processes) - 1
        log = self.folder / f"work-{number}.log"
        wait_for(lambda: b"worker started" in log.read_bytes(), seconds=40, why=self.logs())
        return worker

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                    process.terminate()
        for process in self.processes:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # What a client does

    def ask(
        self, method: str, path: str, key: str | None = None, **options: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return requests.request(method, self.url + path, headers=headers, timeout=60, **options)

    def start(
        self, scan_id: str, *, tenant: str = TENANT, key: str | None = None, **config: Any
    ) -> None:
        body = order(scan_id, tenant, **{"rateLimitDelay": 0, **config})
        response = self.ask("POST", "/api/v1/scan/start", key, json=body)
        assert response.status_code == 202, response.text

    def status(self, scan_id: str, key: str | None = None) -> dict[str, Any]:
        response = self.ask("GET", f"/api/v1/scan/status/{scan_id}", key)
        assert response.status_code == 200, response.text
        data: dict[str, Any] = response.json()["data"]
        return data

    def row(self, scan_id: str, tenant: str = TENANT) -> dict[str, Any]:
        names = (
            "status",
            "slot",
            "attempt",
            "runs",
            "processed_items",
            "run_id",
            "worker",
            "token",
            "state",
        )
        ((*values,),) = self.ledger.run(
            f"select {', '.join(names)} from scan where tenant_id = %s and scan_id = %s",
            tenant,
            scan_id,
        )
        return dict(zip(names, values, strict=True))

    def finished(self, scan_id: str, seconds: float = 120) -> dict[str, Any]:
        """The scan's status when it is over."""
        wait_for(
            lambda: self.row(scan_id)["status"] in DONE and self.row(scan_id)["run_id"] is None,
            seconds=seconds,
            why=self.logs()[-6000:],
        )
        return self.status(scan_id)

    def deals(self, scan_id: str) -> list[str]:
        rows = self.ledger.run(
            "select id from scans.deals where _scan_id = %s order by id", scan_id
        )
        return [row[0] for row in rows]

    def run_folders(self) -> list[Path]:
        runs = self.folder / "runs"
        return list(runs.iterdir()) if runs.is_dir() else []

    def members(self, program: str = "") -> list[psutil.Process]:
        """Everything that runs for a scan of this installation, or one program of that only."""
        found, runs = [], f"{self.folder}/runs/"
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                names = [Path(word).name for word in words[:2]]
                # Forked programs name their run in their arguments, executed ones inherit it.
                ours = any(word.startswith(runs) for word in words) or (
                    runs in process.environ().get("SCAN_RUN_FOLDER", "")
                )
                if ours and (not program or program in names):
                    found.append(process)
        return found


def _basics() -> dict[str, str]:
    names = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    return {name: os.environ[name] for name in names if name in os.environ}


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False
