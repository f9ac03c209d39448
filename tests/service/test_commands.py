"""The commands: what they do, say and end with."""

from __future__ import annotations

import io
import os
import signal
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import requests
from scan_service.commands import cli
from scan_service.guard.vault import new_key
from service.kit import TENANT, TOKEN, Client, Ledger, order
from service.processes import BIN, Installation, free_port, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from hubspot_simulator import Simulator
    from starlette.testclient import TestClient


def scan_service(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a command says, in this process, which has imported it already."""
    said, complained, code = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(said),
        redirect_stderr(complained),
    ):
        for name in os.environ.keys() - {"PATH", *environment}:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            cli.main(words)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(words, code, said.getvalue(), complained.getvalue())


def process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a command says that changes the process it is in."""
    return subprocess.run(
        [str(BIN / "scan-service"), *words],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def environment(ledger: Ledger) -> dict[str, str]:
    return {"DATABASE_URL": ledger.url, "SCAN_SERVICE_SECRET_KEYS": new_key()}


def test_keys_are_made_listed_used_and_revoked(
    environment: dict[str, str], http: TestClient, ledger: Ledger
) -> None:
    made = process("keys", "create", "--tenant", "acme", "--days", "30", **environment)
    key = made.stdout.strip()
    before = Client(http, key).get("/api/v1/stats").status_code
    listed = scan_service("keys", "list", "--tenant", "acme", **environment).stdout
    revoked = scan_service("keys", "revoke", key, **environment)
    after = Client(http, key).get("/api/v1/stats").status_code
    again = scan_service("keys", "revoke", key, **environment)

    assert made.returncode == 0
    assert key.startswith("sk_live_")
    assert len(key) > 40
    assert key not in listed
    assert "acme" in listed
    assert (before, after) == (200, 401)
    assert (revoked.returncode, again.returncode) == (0, 1)
    stored = ledger.run("select row_to_json(api_key)::text from api_key")
    assert key not in str(stored)


@pytest.mark.parametrize(
    "words",
    [
        ("create", "--tenant", "acme", "--days", "0"),
        ("create", "--tenant", "Acme Corp"),
        ("limit", "--tenant", "acme", "--running", "1000"),
        ("limit", "--tenant", "acme", "--running", "0"),
    ],
)
def test_what_no_key_or_limit_can_be_is_refused_in_words(
    words: tuple[str, ...], environment: dict[str, str], ledger: Ledger
) -> None:
    done = scan_service("keys", *words, **environment)

    assert done.returncode == 2
    assert "must" in done.stderr
    assert "Traceback" not in done.stderr
    assert ledger.run("select count(*) from api_key") == [(0,)]


def test_an_expired_key_is_listed_as_such_and_a_shared_hint_revokes_none(
    environment: dict[str, str], ledger: Ledger
) -> None:
    ledger.key(expires_in=timedelta(seconds=-1))
    ledger.key("tenant-b")
    ledger.run("update api_key set hint = 'sk_live_same'")

    listed = scan_service("keys", "list", **environment).stdout
    revoked = scan_service("keys", "revoke", "sk_live_same", **environment)

    assert listed.count("  expired  ") == 1
    assert revoked.returncode == 1
    assert ledger.run("select count(*) from api_key where revoked_at is not null") == [(0,)]


def test_a_tenants_slots_can_be_changed(
    environment: dict[str, str], client: Client, ledger: Ledger
) -> None:
    done = scan_service("keys", "limit", "--tenant", TENANT, "--running", "2", **environment)
    for number in range(4):
        client.start(f"scan-{number}")

    assert done.returncode == 0
    assert ledger.run("select count(slot) from scan") == [(2,)]


def test_wrong_surroundings_are_named_without_their_secrets(environment: dict[str, str]) -> None:
    nothing = process("serve")
    away = scan_service(
        "migrate", DATABASE_URL="postgresql://u:hush@127.0.0.1:1/d", SCAN_SERVICE_SECRET_KEYS="x"
    )
    odd = scan_service("check", **{**environment, "DATABASE_URL": "postgres//u:hush@h/d"})
    key = process("work", **{**environment, "SCAN_SERVICE_SECRET_KEYS": "hush"})
    project = process("work", **environment, SCAN_SERVICE_PROJECT_ROOT="/nowhere")

    assert "SCAN_SERVICE_DATABASE_URL: Field required" in nothing.stderr
    assert "SCAN_SERVICE_SECRET_KEYS: Field required" in nothing.stderr
    assert "cannot be reached" in away.stderr
    assert "SCAN_SERVICE_DATABASE_URL: is no URL of PostgreSQL" in odd.stderr
    assert "needs Fernet keys" in key.stderr
    assert "SCAN_SERVICE_PROJECT_ROOT" in project.stderr
    for done in (nothing, away, odd, key, project):
        assert done.returncode == 1
        assert "hush" not in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_a_worker_refuses_a_run_directory_that_is_not_its_own(
    environment: dict[str, str], tmp_path: Path
) -> None:
    shared = process("work", **environment, SCAN_SERVICE_RUN_DIRECTORY="/dev/shm")  # noqa: S108
    (tmp_path / "documents").mkdir()
    tmp_path.chmod(0o700)
    full = process("work", **environment, SCAN_SERVICE_RUN_DIRECTORY=str(tmp_path))

    assert (shared.returncode, full.returncode) == (1, 1)
    assert "SCAN_SERVICE_RUN_DIRECTORY (/dev/shm)" in shared.stderr
    assert "holds 1 other things ('documents')" in full.stderr


def test_a_server_needs_no_project(ledger: Ledger, hubspot: Simulator, tmp_path: Path) -> None:
    service = Installation(ledger.url, tmp_path, hubspot.url, project_root="/nowhere")
    try:
        service.serve()

        assert service.ask("GET", "/api/v1/stats").status_code == 200
    finally:
        service.stop()


def test_dev_serves_and_works_in_one_process_and_prints_lines_to_try(
    ledger: Ledger, hubspot: Simulator, tmp_path: Path
) -> None:
    port = free_port()
    service = Installation(ledger.url, tmp_path, hubspot.url, port=port)
    started = service.command("dev", "--token", TOKEN)
    service.url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return requests.get(f"{service.url}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    try:
        wait_for(answers, seconds=40, why=service.logs())
        said = service.logs()
        service.key = said.partition("export KEY=")[2].split()[0]
        assert f"curl {service.url}/api/v1/scan/status/first" in said
        assert TOKEN in said  # the line to try, with the token that was given for it
        assert service.ask("POST", "/api/v1/scan/start", json=order("first")).status_code == 202
        assert service.finished("first")["status"] == "completed"
    finally:
        started.send_signal(signal.SIGINT)
        code = started.wait(30)
    assert code == 0
    assert "worker stopped" in service.logs()
