"""What the end-to-end tests share: a portal, a database and a project that joins them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.meltano import Project
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(name="hubspot")
def _hubspot() -> Iterator[Simulator]:
    """A simulator with two portals that have one custom property name in two types."""
    portals = [
        Portal.generate(250, seed=1, token="pat-na1-first", odd_values=True),
        Portal.generate(120, seed=2, token="pat-na1-second", rotate_types=1),
    ]
    with Simulator(portals) as simulator:
        yield simulator


@pytest.fixture(name="make_project")
def _make_project(tmp_path: Path, hubspot: Simulator, database_url: str) -> Callable[..., Project]:
    """Makes projects that read a portal of the simulator into the test's database."""

    def make(portal: Portal, tenant: str, **settings: Any) -> Project:
        return Project(
            tmp_path / tenant,
            {
                "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": portal.token,
                "TAP_HUBSPOT_DEALS_TENANT_ID": tenant,
                "TAP_HUBSPOT_DEALS_BASE_URL": hubspot.url,
                "TARGET_DEALS_POSTGRES_DATABASE_URL": database_url,
                **settings,
            },
        )

    return make
