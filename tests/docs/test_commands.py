"""What the documents tell people to type exists, and what they point to is there."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from harness.meltano import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LISTED = subprocess.run(
    ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout
DOCUMENTS = [ROOT / line for line in LISTED.splitlines()]
RECIPES = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)

    assert [t for t in targets if not (document.parent / t).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_recipes_that_documents_name_exist(document: Path) -> None:
    named = set(re.findall(r"`make ([a-z-]+)", document.read_text()))

    assert named <= RECIPES


def test_help_lists_every_recipe() -> None:
    shown = subprocess.run(
        ["make", "--silent", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert {line.split()[0] for line in shown.splitlines()} == RECIPES
