"""The examples of docs/scan-service.md, replayed as written."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

from hubspot_simulator import Portal, Simulator
from service.kit import ROOT, TOKEN
from service.processes import Installation

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "scan-service.md").read_text(encoding="utf-8")


def test_the_examples_run_as_written(postgres_server: str, tmp_path: Path) -> None:
    portal = Portal.generate(
        20, seed=5, token=TOKEN, counts={"tickets": 8, "zipcodes": 6}, custom_objects=["zipcodes"]
    )
    pipeline = next(iter(portal.truth("tickets").live.values())).properties["hs_pipeline"]
    start, read, verify, subscribe = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)

    with Simulator([portal], latency_ms=0) as hubspot:
        service = Installation.fresh(postgres_server, tmp_path, hubspot.url)

        def run(example: str) -> str:
            return subprocess.run(
                ["bash", "-euc", example.replace('"pipeline": "0"', f'"pipeline": "{pipeline}"')],
                cwd=tmp_path,
                env={
                    "PATH": os.environ["PATH"], "URL": service.url, "KEY": service.key,
                    "HUBSPOT_TOKEN": TOKEN,
                },
                capture_output=True,
                text=True,
                check=True,
            ).stdout  # fmt: skip

        try:
            service.serve()
            service.work()
            started = json.loads(run(start))
            data = service.finished("crm-1")
            page = json.loads(run(read))["data"]
            run(verify)
            verified = service.finished("crm-1-verified")
            webhook = json.loads(run(subscribe))["data"]
        finally:
            service.stop()

    assert started["data"]["status"] == "pending"
    assert data["status"] == "completed", data["errors"]
    counts = {name: each["processedItems"] for name, each in data["progress"]["objects"].items()}
    assert counts == {
        name: len(portal.ids(name))
        for name in ("deals", "contacts", "companies", "tickets", "zipcodes")
    }
    assert verified["verification"]["verdict"] == "equal"
    assert page["object"] == "contacts"
    assert {each["hubspotObjectId"] for each in page["records"]} == set(portal.ids("contacts"))
    assert {"email", "lastname"} >= set().union(*(each["properties"] for each in page["records"]))
    linked = {
        (each["hubspotObjectId"], link["id"])
        for each in page["records"]
        for link in each["associations"]["companies"]
    }
    true = {(link.from_id, link.to_id) for link in portal.true_links("contacts", "companies")}
    assert linked == true
    assert webhook["secret"].startswith("whsec_")
    with (tmp_path / "zipcodes.csv").open(newline="") as file:
        assert {row["record_id"] for row in csv.DictReader(file)} == set(portal.ids("zipcodes"))
