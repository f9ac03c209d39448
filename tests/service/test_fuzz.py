"""Schemathesis against a real server: what openapi.yaml says is what happens, whatever is sent."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import TYPE_CHECKING

import pytest
import requests
from harness.database import new_database
from pydantic import SecretStr
from scan_service.migrations import migrate
from scan_service.vault import new_key
from service.kit import ROOT, TENANT, TOKEN, Ledger
from service.processes import BIN, Installation

if TYPE_CHECKING:
    from pathlib import Path

    from hubspot_simulator import Simulator

# Names that exist, crons and dates with rules of their own: for these two a refusal (400, 409) is
# the right answer to data of the right shape.
BODIES = ("startScan", "createSchedule")


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", ["bodies", "others"])
def test_schemathesis_finds_no_failure(
    postgres_server: str, hubspot: Simulator, tmp_path: Path, part: str
) -> None:
    url = new_database(postgres_server)
    asyncio.run(migrate(SecretStr(url)))
    service = Installation(
        Ledger(url),
        tmp_path,
        {
            "DATABASE_URL": url,
            "SCAN_SERVICE_SECRET_KEYS": new_key(),
            "SCAN_SERVICE_HUBSPOT_BASE_URL": hubspot.url,
            "SCAN_SERVICE_PROJECT_ROOT": str(ROOT),
            "SCAN_SERVICE_REQUESTS_PER_MINUTE": "1000000",
            "SCAN_SERVICE_BURST": "1000000",
        },
    )
    try:
        service.serve()
        address, choice = f"{service.url}/openapi.json", []
        for name in BODIES:
            flag = "--include-operation-id" if part == "bodies" else "--exclude-operation-id"
            choice += [flag, name]
        if part == "bodies":
            # Fuzzed tenants and tokens would only ever be refused: fix these two.
            told = requests.get(address, timeout=10).json()
            schemas = told["components"]["schemas"]
            schemas["Auth"]["properties"]["accessToken"] = {"const": TOKEN}
            for name in ("Extraction", "ScanConfig"):
                schemas[name]["properties"]["tenantId"] = {"const": TENANT}
            (tmp_path / "openapi.json").write_text(json.dumps(told))
            address = str(tmp_path / "openapi.json")
            choice += ["--exclude-checks", "positive_data_acceptance"]
            choice += ["--phases", "examples,coverage,fuzzing"]
        done = subprocess.run(
            [
                str(BIN / "schemathesis"), "run", address, "--url", service.url,
                "--header", f"Authorization: Bearer {service.key}",
                "--max-examples", "60", "--seed", "1", "--no-color", "--workers", "2", *choice,
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
    finally:
        service.stop()

    assert done.returncode == 0, done.stdout[-8000:]
    assert '"status": 500' not in service.logs()
    print(done.stdout[-600:])
