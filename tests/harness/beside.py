"""Measuring beside peers: their environments, whole processes with their children, one server."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.database import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

METER = Path(__file__).with_name("meter.py")
# HubSpot taps have fixed addresses, and one asks for the properties of types that nobody selected.
REDIRECTED = """
import os, re
from requests.adapters import HTTPAdapter
send = HTTPAdapter.send
def redirected(self, request, **options):
    url = request.url.replace("https://api.hubapi.com", os.environ["HUBSPOT"])
    request.url = re.sub("(/crm/v3/properties/)[a-z_]+", "\\\\1deals", url)
    return send(self, request, **options)
HTTPAdapter.send = redirected
"""


@dataclass(frozen=True)
class Cost:
    """What a process took, and all that it started.

    Attributes:
        wall: seconds from its start to its end.
        cpu: seconds of its own and of its children.
        peak: megabytes of the largest of them.
    """

    wall: float
    cpu: float
    peak: float


def cost_of(start: Callable[[list[str]], subprocess.Popen[bytes]]) -> tuple[Cost, int, str]:
    """Run a process to its end.

    Args:
        start: starts it, with the words before its command that it is given; what it writes to a
            piped standard error is read.

    Returns:
        What it cost, its exit code, and what it wrote to standard error.
    """
    with tempfile.NamedTemporaryFile() as figures:
        with start([sys.executable, "-IS", str(METER), figures.name]) as process:
            log = process.stderr.read().decode(errors="replace") if process.stderr else ""
            code = process.wait()
        return Cost(**json.loads(figures.read())), code, log


def installed(folder: Path, package: str) -> Path:
    """Install a peer into an environment of its own; return its bin directory."""
    environment = folder / package.split("=", maxsplit=1)[0]
    uv = shutil.which("uv") or ".tools/bin/uv"
    python = str(environment / "bin/python")
    steps = [
        [uv, "venv", "--quiet", "--python", sys.executable, str(environment)],
        [uv, "pip", "install", "--quiet", "--python", python, "setuptools<81", package],
    ]
    if not Path(uv).exists():
        steps = [
            [sys.executable, "-m", "venv", str(environment)],
            [python, "-m", "pip", "install", "--quiet", "setuptools<81", package],
        ]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{package} cannot be installed here: {done.stderr[-300:]}")
    return environment / "bin"


@contextlib.contextmanager
def hubspot_beside(deals: int) -> Iterator[str]:
    """The URL of a simulator in a process of its own, with deals of HubSpot's own properties."""
    options = ["--port", "0", "--deals", str(deals), "--properties", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "hubspot_simulator", *options], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


@contextlib.contextmanager
def durable_server() -> Iterator[str]:
    """The URL of a server that is as safe, and so as slow, as one in production."""
    if url := os.environ.get("DATABASE_URL"):
        yield url
        return
    durable: dict[str, Any] = dict.fromkeys(("fsync", "synchronous_commit"), "on")
    cluster = Cluster(full_page_writes="on", max_wal_size="4GB", **durable)
    try:
        yield cluster.start()
    finally:
        cluster.remove()
