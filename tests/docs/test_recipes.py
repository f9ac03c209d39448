"""Each recipe's example applies to this very tree, and the tests that it names pass then."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from harness.meltano import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RECIPES = sorted((ROOT / "docs/recipes").glob("add-*.md"))
PACKAGES = (
    "hub/crm-taps",
    "hubspot-client",
    "hubspot-simulator",
    "tap-hubspot-deals",
    "target-deals-postgres",
    "scan-service",
    "tests",
)


def block(recipe: Path, language: str) -> str:
    """The one block of a language that a recipe shows."""
    found = re.findall(rf"^```{language}\n(.*?)^```", recipe.read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) == 1, f"{recipe.name} has {len(found)} blocks of {language}"
    return str(found[0])


def copy_of_the_tree(folder: Path) -> Path:
    """Copy what git knows, as it is in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in listed.rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.stem)
def test_a_recipes_example_applies_and_its_tests_pass(
    recipe: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    copy = copy_of_the_tree(tmp_path)
    applied = subprocess.run(
        ["git", "apply", "--recount", "-C1", "-"],
        cwd=copy,
        input=block(recipe, "diff"),
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert applied.returncode == 0, applied.stderr

    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(copy / p) for p in PACKAGES),
    }
    for line in block(recipe, "bash").splitlines():
        if "tests/service/" in line:  # they need a server: this session has one
            environment["DATABASE_URL"] = request.getfixturevalue("postgres_server")
        done = subprocess.run(
            [sys.executable, *line.removeprefix(".venv/bin/python ").split()],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
