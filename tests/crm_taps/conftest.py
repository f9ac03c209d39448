"""Other people's taps, installed for the tests that run them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.meltano import Project
from harness.vendors.composed import install

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def installed(tmp_path: Path) -> Callable[..., Project]:
    """Makes a project with some of them installed; settings by their environment variables."""

    def make(*taps: str, **settings: Any) -> Project:
        project = Project(tmp_path / "home", settings)
        install(project, *taps)
        return project

    return make
