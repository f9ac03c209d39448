"""Fixtures that every test may ask for, and how many tests run at a time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from harness.database import database_url, postgres_server, postgres_servers

if TYPE_CHECKING:
    import pytest

__all__ = ["database_url", "postgres_server", "postgres_servers"]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:  # noqa: ARG001 - xdist's hook
    """How many `--numprocesses auto` are: tests wait for servers a third of their time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) * 3 // 2)
