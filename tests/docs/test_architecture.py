"""The architecture page names every package and layer there is, and what may import what."""

from __future__ import annotations

import re
import subprocess
from pathlib import PurePosixPath

import grimp
import pytest
from harness.meltano import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
LISTED = subprocess.run(
    ["git", "ls-files", "*/__init__.py", "*/pyproject.toml"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout
FILES = [PurePosixPath(line) for line in LISTED.splitlines() if not line.startswith("tests/")]
PACKAGES = {str(file.parent) for file in FILES if file.name == "pyproject.toml"}

WHOLE = {"scan-service/scan_service", "hub/crm-api/crm_api"}
"""Programs of rooms: what is in none of them is for all."""

TABLE = PAGE.split("## Layers")[1].split("##")[0]
LAYERS = dict(re.findall(r"^\| `([^`]+)/` \|[^|]*\| (.*?) *\|$", TABLE, re.MULTILINE))
"""What each folder may import."""

WORDS = {
    "the base": "service_base",
    "the client": "hubspot_client",
    "the tap": "tap_hubspot_deals",
}


def module(folder: str) -> str:
    """A folder's name in imports."""
    package = next(p for p in PACKAGES if folder.startswith(f"{p}/"))
    return folder.removeprefix(f"{package}/").replace("/", ".")


FOLDERS = {module(folder): folder for folder in LAYERS}


def test_the_picture_shows_every_package() -> None:
    picture = PAGE.split("## A page of deals")[0]
    shown = {name.removeprefix("hubspot-") for name in re.findall(r"[\w-]+", picture)}
    names = {package.rpartition("/")[2].removeprefix("hubspot-") for package in PACKAGES}

    assert names <= shown


def test_the_table_of_layers_names_every_folder_and_no_other() -> None:
    folders = {str(file.parent) for file in FILES if file.name == "__init__.py"}

    assert LAYERS.keys() == {f for f in folders - WHOLE if "migrations" not in f}


@pytest.fixture(name="imports", scope="module")
def _imports() -> grimp.ImportGraph:
    roots = {name.partition(".")[0] for name in FOLDERS}
    return grimp.build_graph(*sorted(roots), cache_dir=None)


def folder_of(name: str) -> str:
    """The folder of the table that a module stands in; empty: in none, as a package's errors."""
    while name and name not in FOLDERS:
        name = name.rpartition(".")[0]
    return name


@pytest.mark.parametrize("folder", LAYERS)
def test_a_folder_imports_no_more_than_the_table_says(
    folder: str, imports: grimp.ImportGraph
) -> None:
    own = module(folder)
    root = own.partition(".")[0]
    said = LAYERS[folder]
    allowed = {own, root, "", *(f"{root}.{name}" for name in re.findall(r"`(\w+)`", said))}
    if "all below" in said:
        names = list(FOLDERS)
        allowed |= {name for name in names[names.index(own) :] if name.startswith(root)}
    others = tuple(package for word, package in WORDS.items() if word in said)

    imported = {
        folder_of(each)
        for one in imports.modules
        if folder_of(one) == own
        for each in imports.find_modules_directly_imported_by(one)
    }

    assert {i for i in imported if not i.startswith(others)} <= allowed


def test_the_life_of_a_scan_has_the_states_of_the_ledger() -> None:
    ledger = ROOT / "scan-service/scan_service/ledger/migrations/0001_ledger.sql"
    kept = re.search(r"check \(status in \((.*?)\)\)", ledger.read_text(encoding="utf-8"))
    assert kept is not None
    picture = PAGE.split("stateDiagram-v2")[1].split("```")[0]

    assert set(re.findall(r"\w+(?= -->)|(?<=--> )\w+", picture)) == set(re.findall(r"\w+", kept[1]))
