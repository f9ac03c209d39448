"""The lines that `make crm-api` prints are a whole day, and run as printed."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from typing import TYPE_CHECKING

from harness.crm_api import BIN, CHEAP, HUBSPOT_TOKEN, KEY, ROOT, api, free_port
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from pathlib import Path


def test_the_printed_lines_are_a_whole_day(database_url: str, tmp_path: Path) -> None:
    portal = Portal.generate(3, seed=4, token=HUBSPOT_TOKEN)
    with Simulator([portal], latency_ms=0) as hubspot:
        process = subprocess.Popen(
            [str(BIN / "crm-api"), "dev"],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"], "DATABASE_URL": database_url,
                "CRM_API_HUBSPOT_BASE_URL": hubspot.url, "PORT": str(free_port()),
                "CRM_API_HUBSPOT_ACCESS_TOKEN": HUBSPOT_TOKEN, "FLASK_ENV": "development",
                "CRM_API_ALLOW_OPEN_DIRECTORY": "true",
                **{f"CRM_API_{name.upper()}": str(value) for name, value in CHEAP.items()},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            started = threading.Event()
            log: list[str] = []

            def listen(lines: object = process.stderr) -> None:
                for line in lines:  # type: ignore[attr-defined]
                    log.append(line)
                    if "Uvicorn running" in line or "startup complete" in line:
                        started.set()

            threading.Thread(target=listen, daemon=True).start()
            printed: list[str] = []
            for line in process.stdout:
                printed.append(line)
                if "new-crm-objects" in line:
                    break
            assert started.wait(60), "".join(log)
            script = "\n".join(line.strip() for line in printed if line.startswith("    "))
            day = subprocess.run(
                ["bash", "-euc", script],
                env={"PATH": os.environ["PATH"]},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        finally:
            process.terminate()
            process.communicate(timeout=40)

    decoder, found, place = json.JSONDecoder(), [], 0
    while place < len(day.rstrip()):
        value, place = decoder.raw_decode(day, place)
        found.append(value)
    registered, pipelines, ticket, listed = found
    assert registered["message"] == "User registered successfully"
    assert pipelines["data"]["data"][0]["id"] == "default"
    assert ticket["message"] == "Ticket created successfully"
    ours = [
        each
        for each in listed["data"]["data"]["contacts"]
        if each["id"] == registered["data"]["contact"]["id"]
    ]
    assert [ours[0]["deals"][0]["dealname"], ours[0]["deals"][0]["tickets"][0]["id"]] == [
        "Test Deal", ticket["data"]["id"]
    ]  # fmt: skip
    assert portal.definitions("deals")[KEY].has_unique_value
    assert (tmp_path / ".data/crm-api.key").stat().st_mode & 0o077 == 0
    assert any("FLASK_ENV" in line for line in log)


def test_make_crm_api_is_the_command_that_was_tried() -> None:
    recipe = (ROOT / "Makefile").read_text().split("\ncrm-api:")[1].split("\n\n")[0]

    assert "crm-api dev" in recipe
    assert "hubspot-simulator" in recipe


def test_the_examples_of_the_description_fit_it() -> None:
    import jsonschema  # noqa: PLC0415 - here only

    for operations in api()["paths"].values():
        for operation in operations.values():
            if "requestBody" in operation:
                content = operation["requestBody"]["content"]["application/json"]
                schema = {**content["schema"], "components": api()["components"]}
                jsonschema.Draft202012Validator(schema).validate(content["example"])
