"""Other people's taps: installed by Meltano, and led to a copy where their addresses are fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.meltano import lines_of
from harness.vendors.google_sheets import REWRITE

if TYPE_CHECKING:
    from harness.meltano import Project


def install(project: Project, *taps: str) -> None:
    """Install them into the project's own system directory.

    Raises:
        RuntimeError: Meltano could not.
    """
    with project.meltano(["install", "extractor", *taps]) as process:
        log = list(lines_of(process))
        if process.wait() != 0:
            raise RuntimeError("\n".join(str(line.get("event")) for line in log))
    if "tap-google-sheets" in taps:
        venv = project.home / "sys" / "extractors" / "tap-google-sheets" / "venv"
        (packages,) = venv.glob("lib/python*/site-packages")
        # a file `.pth`, since a system's own `sitecustomize` would come before one in here
        (packages / "google_hosts.py").write_text(REWRITE)
        (packages / "google_hosts.pth").write_text("import google_hosts\n")
