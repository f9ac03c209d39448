"""Schemathesis against a real server: what openapi.yaml says is what happens, whatever is sent."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import requests
from service.kit import TENANT, TOKEN
from service.processes import BIN, Installation

if TYPE_CHECKING:
    from pathlib import Path

    from hubspot_simulator import Simulator

BODIES = (
    "startScan", "estimateScan", "createSchedule", "changeSchedule", "createConnection",
    "createWebhook",
)  # fmt: skip
# Takes what HubSpot has given somebody: whatever else is sent is refused.
GIVEN = "connectionCallback"
# What JSON schema cannot say: calendars, crons, which object may have which setting. Data of the
# right shape may be refused for these, so they are fixed where a right shape is to be accepted.
FIXED: dict[str, Any] = {
    "startDate": {"const": "2025-01-01"},
    "endDate": {"const": "2025-12-31"},
    "verifies": {"type": "null"},  # a scan that was completed: there is none
    "cron": {"enum": ["0 3 * * *", "*/15 * * * 1-5"]},
    "objects": {
        "enum": [["deals"], ["deals", "contacts"], [{"name": "deals"}, {"name": "notes"}], None]
    },
    "associations": {"enum": [[], ["contacts"], ["companies", "tickets"], None]},
}


def told(address: str, *, acceptable: bool) -> dict[str, Any]:
    """The description with the tenant and token of the test: others would only be refused."""
    api: dict[str, Any] = requests.get(address, timeout=10).json()
    schemas = api["components"]["schemas"]
    # A connection's name would be one that nobody has made.
    schemas["Auth"] = {
        "type": "object", "required": ["accessToken"], "additionalProperties": False,
        "properties": {"accessToken": {"const": TOKEN}},
    }  # fmt: skip
    connection = schemas["CreateConnection"]["properties"]["connection"]["properties"]
    connection["accessToken"] = {"const": TOKEN}
    webhook = schemas["CreateWebhook"]["properties"]["webhook"]["properties"]
    webhook["url"] = {"enum": ["https://example.com/hook", "https://hooks.example.com:8443/x?y=1"]}
    for name in ("Extraction", "ScanConfig"):
        schemas[name]["properties"]["tenantId"] = {"const": TENANT}
    if acceptable:
        for schema in (schemas["Extraction"], schemas["ScanConfig"], schemas["DateRange"]):
            schema["properties"] |= {n: FIXED[n] for n in schema["properties"] if n in FIXED}
        for name in ("CreateSchedule", "ChangeSchedule"):
            schemas[name]["properties"]["schedule"]["properties"]["cron"] = FIXED["cron"]
    return api


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", ["bodies", "accepted", "stateful", "others"])
def test_schemathesis_finds_no_failure(
    postgres_server: str, hubspot: Simulator, tmp_path: Path, part: str
) -> None:
    service = Installation.fresh(
        postgres_server, tmp_path, hubspot.url, requests_per_minute=1_000_000, burst=1_000_000,
        # So that accounts can be connected without a token.
        hubspot_client_id="app", hubspot_client_secret=TOKEN, public_url="https://scans.example.com",
    )  # fmt: skip
    try:
        service.serve()
        address, choice = f"{service.url}/openapi.json", []
        for name in (*BODIES, GIVEN):
            if part != "stateful" and (part, name) != ("accepted", GIVEN):
                flag = "--exclude-operation-id" if part == "others" else "--include-operation-id"
                choice += [flag, name]
        if part != "others":
            api = told(address, acceptable=part != "bodies")
            (tmp_path / "openapi.json").write_text(json.dumps(api))
            address = str(tmp_path / "openapi.json")
        if part == "bodies":
            choice += ["--exclude-checks", "positive_data_acceptance"]
            choice += ["--phases", "examples,coverage,fuzzing"]
        if part == "accepted":
            choice += ["--mode", "positive", "--phases", "fuzzing"]
            choice += ["--checks", "positive_data_acceptance,not_a_server_error"]
        if part == "stateful":
            choice += ["--phases", "stateful"]
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
