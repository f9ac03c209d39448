"""The drill of docs/operations.md: what was saved comes back, and works."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import requests
from harness.database import binaries, default_version, new_database
from service.kit import ROOT, TENANT
from service.processes import Installation
from service.test_schedules import schedule

if TYPE_CHECKING:
    from pathlib import Path

    from hubspot_simulator import Simulator

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_a_service_goes_on_from_its_backup_on_another_database(
    postgres_server: str, tmp_path: Path, hubspot: Simulator
) -> None:
    (commands,) = re.findall(r"```bash drill\n(.*?)```", PAGE, re.DOTALL)
    folder = tmp_path / "first"
    folder.mkdir()
    service = Installation.fresh(postgres_server, folder, hubspot.url)
    try:
        service.serve()
        service.work()
        service.start("before", mode="incremental")
        assert service.finished("before")["status"] == "completed"
        made = service.ask("POST", "/api/v1/schedules", json=schedule())
        assert made.status_code == 201
        rows = service.ask("GET", "/api/v1/scan/result/before?page_size=1000").json()
    finally:
        service.stop()
    other = new_database(postgres_server)

    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=tmp_path,
        env={
            "PATH": f"{binaries()[default_version()]}:{os.environ['PATH']}",
            "DATABASE_URL": service.ledger.url,
            "NEW_DATABASE_URL": other,
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    folder = tmp_path / "second"
    folder.mkdir()
    keys = service.environment["SCAN_SERVICE_SECRET_KEYS"]
    restored = Installation(other, folder, hubspot.url, secret_keys=keys)
    restored.key = service.key
    try:
        restored.serve()
        restored.work()
        after = restored.ask("GET", "/api/v1/scan/result/before?page_size=1000").json()
        started = restored.ask("POST", "/api/v1/schedules/nightly/run").json()["data"]
        ended = restored.finished(started["scanId"])
        restored.start("next", mode="incremental")
        following = restored.finished("next")
        health = requests.get(f"{restored.url}/health", timeout=10).json()
    finally:
        restored.stop()

    assert after["data"] == rows["data"]
    assert ended["status"] == "completed", ended["errors"]  # its token opens with the same keys
    assert following["status"] == "completed", following["errors"]
    assert following["progress"]["processedItems"] < ended["progress"]["processedItems"]
    assert health["status"] == "healthy"
    assert restored.ledger.run("select count(*) from tenant where tenant_id = %s", TENANT) == [(1,)]
