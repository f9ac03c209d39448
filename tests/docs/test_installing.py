"""Outside this repository the packages install as the README says, each in a fresh environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from harness.meltano import BIN, NETWORK, ROOT, UV

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = re.findall(r"^pip install (\./.+)$", README, re.MULTILINE)
PROJECT = re.search(r"```yaml\n(plugins:.*?)```", README, re.DOTALL)
COMMANDS = {
    "tap-hubspot-deals": "tap-hubspot-deals --about",
    "target-deals-postgres": "target-deals-postgres --about",
    "scan-service": "scan-service --help",
    "crm-api": "crm-api --help",
    "target-hubspot": "target-hubspot --about",
    "drop-folder": "drop-folder --help",
    "crm-taps": "tap-callrail --about",
    "figures": "hubspot-figures --help",
    "verify": "hubspot-verify --help",
    "hubspot-simulator": "hubspot-simulator --help",
}
"""What shows that a package works, by its folder."""
KEPT = {n: v for n, v in os.environ.items() if n in {"PATH", "HOME"} or n.startswith(NETWORK)}


def test_the_readme_shows_a_line_for_each_program() -> None:
    shown = [line.rpartition("/")[2] for line in LINES]

    assert shown == list(COMMANDS)


@pytest.mark.parametrize(
    "line",
    # What lies in the hub installs as the others do, and takes as long.
    [pytest.param(one, marks=pytest.mark.heavy) if "hub/" in one else one for one in LINES],
)
def test_a_package_installs_in_one_line_into_a_fresh_environment(line: str, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, fresh], env=KEPT, check=True)
    subprocess.run(
        [UV, "pip", "install", "--quiet", "--python", fresh / "bin/python", *line.split()],
        cwd=ROOT,
        env=KEPT,
        check=True,
    )

    name, *words = COMMANDS[line.rpartition("/")[2]].split()
    told = subprocess.run(
        [fresh / "bin" / name, *words],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    assert name in told.stdout.lower()


def test_a_meltano_project_of_ones_own_installs_and_invokes_both_plugins(tmp_path: Path) -> None:
    assert PROJECT is not None
    plugins = PROJECT[1].replace("/path/to/this/repository", str(ROOT))
    (tmp_path / "meltano.yml").write_text(
        f"version: 1\nsend_anonymous_usage_stats: false\n{plugins}"
    )
    surroundings = KEPT | {
        "XDG_STATE_HOME": str(tmp_path),
        "MELTANO_CLI_DISABLE_VERSION_CHECK": "1",
    }

    def meltano(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "meltano", *arguments],
            cwd=tmp_path,
            env=surroundings,
            capture_output=True,
            text=True,
            check=False,
        )

    installed = meltano("install")
    assert installed.returncode == 0, installed.stdout + installed.stderr

    for plugin in ("tap-hubspot-deals", "target-deals-postgres"):
        told = meltano("invoke", plugin, "--about")
        assert told.returncode == 0, told.stdout + told.stderr
        assert plugin in told.stdout
