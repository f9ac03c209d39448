"""The architecture page names every layer there is, and none that is gone."""

from __future__ import annotations

import re
import subprocess
from pathlib import PurePosixPath

from harness.meltano import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PACKAGES = (
    "hub/crm-api",
    "hubspot-client",
    "hubspot-simulator",
    "service-base",
    "tap-hubspot-deals",
    "target-deals-postgres",
)

WHOLE = {"scan-service/scan_service", "hub/crm-api/crm_api"}
"""Programs of rooms: what is in none of them is for all."""


def layers() -> set[str]:
    """Folders that hold modules; the rooms of a program, and those without rooms themselves."""
    listed = subprocess.run(
        ["git", "ls-files", "*/__init__.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    folders = {str(PurePosixPath(line).parent) for line in listed.splitlines()}
    inner = {f for f in folders if f.startswith((*PACKAGES, "scan-service"))}
    return {f"{f}/" for f in inner if f not in WHOLE and "migrations" not in f}


def test_the_table_of_layers_names_every_folder_and_no_other() -> None:
    table = PAGE.split("## Layers")[1].split("##")[0]
    named = set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))

    assert named == layers()
