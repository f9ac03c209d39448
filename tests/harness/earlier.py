"""An earlier commit of this project in an environment of its own, to run beside today's."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness.meltano import ROOT, UV

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMIT = os.environ.get("BENCH_EARLIER", "e245fe3")
"""Which commit to measure beside today's."""


@contextlib.contextmanager
def earlier(folder: Path, commit: str = COMMIT) -> Iterator[Path]:
    """Check the earlier commit out and install it.

    Args:
        folder: Where to; it must not exist.
        commit: Which one.

    Returns:
        Its root, whose `.venv/bin` holds its programs. Skips where history is not at hand.
    """
    added = _run("git", "-C", str(ROOT), "worktree", "add", "--detach", str(folder), commit)
    if added.returncode:
        pytest.skip(f"{commit} cannot be checked out here: {added.stderr.strip()[-200:]}")
    try:
        synced = _run(
            *(UV, "sync", "--frozen", "--quiet", "--compile-bytecode", "--python", sys.executable),
            cwd=folder,
        )
        if synced.returncode:
            pytest.skip(f"{commit} cannot be installed here: {synced.stderr.strip()[-200:]}")
        yield folder
    finally:
        _run("git", "-C", str(ROOT), "worktree", "remove", "--force", str(folder))


def _run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    # An environment that is active here would be taken for the other one's.
    surroundings = {n: v for n, v in os.environ.items() if n != "VIRTUAL_ENV"}
    return subprocess.run(
        command, cwd=cwd, env=surroundings, capture_output=True, text=True, check=False
    )
