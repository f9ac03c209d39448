"""A run killed at any moment, and the run after it: nothing lost, nothing twice."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psutil
import pytest
from harness.comparison import differences
from harness.database import Cluster, new_database
from harness.meltano import TAP, TARGET, Project, lines_of
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

DEALS = 3000


@pytest.fixture(name="big")
def _big() -> Iterator[Simulator]:
    """A portal large enough to be read by several legs at once."""
    with Simulator([Portal.generate(DEALS, seed=5, token="pat-na1-big")]) as simulator:
        yield simulator


@pytest.fixture(name="project")
def _project(big: Simulator, tmp_path: Path, database_url: str) -> Project:
    return project_for(big, tmp_path / "big", database_url)


def project_for(hubspot: Simulator, home: Path, url: str) -> Project:
    """A project whose target commits every few pages, so that a kill finds half a run."""
    return Project(
        home,
        {
            "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": hubspot.portal().token,
            "TAP_HUBSPOT_DEALS_TENANT_ID": "big",
            "TAP_HUBSPOT_DEALS_BASE_URL": hubspot.url,
            "TARGET_DEALS_POSTGRES_DATABASE_URL": url,
            "TARGET_DEALS_POSTGRES_BATCH_SIZE_ROWS": 400,
        },
    )


def kill_child(meltano: subprocess.Popen[bytes], name: str) -> None:
    """Kill -9 the plugin of a run."""
    for child in psutil.Process(meltano.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if (
                any(name in part for part in child.cmdline())
                and "--discover" not in child.cmdline()
            ):
                child.kill()


def crash(cluster: Cluster) -> None:
    """Kill -9 the database, and bring it back, as its supervisor would."""
    cluster.kill()
    cluster.start()


def run_interrupted(
    project: Project, hubspot: Simulator, interrupt: Callable[[object], None]
) -> int:
    """A run in which something happens when half of the pages were asked for."""
    with project.start() as process:
        hubspot.after(DEALS // 200, lambda: interrupt(process))
        for _ in lines_of(process):
            pass
        return process.wait()


@pytest.mark.parametrize("victim", [TAP, TARGET])
def test_run_after_a_killed_plugin_ends_in_the_same_tables(
    victim: str, project: Project, big: Simulator, database_url: str
) -> None:
    code = run_interrupted(project, big, lambda process: kill_child(process, victim))  # type: ignore[arg-type]
    assert code != 0
    asked = big.requests.count(endpoint="list")

    run = project.run()

    assert run.code == 0, run.text
    assert differences(database_url, big.portal(), tenant="big") == []
    assert big.requests.count(endpoint="list") - asked < DEALS // 100 + 20


def test_run_after_a_killed_meltano_ends_in_the_same_tables(
    project: Project, big: Simulator, database_url: str
) -> None:
    run_interrupted(project, big, lambda process: psutil.Process(process.pid).kill())  # type: ignore[attr-defined]

    run = project.run()

    assert run.code == 0, run.text
    assert differences(database_url, big.portal(), tenant="big") == []


def test_run_after_a_crashed_database_ends_in_the_same_tables(
    big: Simulator, tmp_path: Path
) -> None:
    cluster = Cluster()
    try:
        url = new_database(cluster.start(), "mirror")
        project = project_for(big, tmp_path / "crash", url)

        run_interrupted(project, big, lambda _: crash(cluster))
        run = project.run()

        assert run.code == 0, run.text
        assert differences(url, big.portal(), tenant="big") == []
    finally:
        cluster.remove()
