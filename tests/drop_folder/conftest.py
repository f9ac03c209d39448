"""A drop folder, a HubSpot with the properties that it needs, and a mail server."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from harness.booking import MAPPING, NAME, TOKEN
from harness.mailbox import Mailbox, mailbox
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


COMMAND = (sys.executable, "-m", "drop_folder.command")


@pytest.fixture
def portal() -> Portal:
    portal = Portal(token=TOKEN, portal_id=146_000_777)
    portal.add_property(
        "contacts",
        "kontaktkategorie",
        "enumeration",
        field_type="checkbox",
        options=["McArena schorndorf", "McArena ulm"],
    )
    portal.add_property("contacts", "letzte_buchung", "date")
    portal.add_property("contacts", "wert", "number")
    portal.add_property("deals", "buchungsnummer", has_unique_value=True)
    return portal


@pytest.fixture
def hubspot(portal: Portal) -> Iterator[Simulator]:
    with Simulator([portal]) as simulator:
        yield simulator


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as found:
        yield found


@dataclass(frozen=True)
class Ended:
    """A run that ended."""

    status: int
    out: str
    log: str


class Drop:
    """A drop folder and the command that works on it."""

    def __init__(self, home: Path, hubspot: Simulator, box: Mailbox) -> None:
        self.inbox = home / "inbox"
        self.inbox.mkdir()
        self.config = home / "mapping.yml"
        self.mapping: dict[str, Any] = {
            **MAPPING,
            "folder": str(self.inbox),
            "hubspot": {"base_url": hubspot.url},
            "mail": {
                "to": ["buero@example.com"],
                "from": "import@example.com",
                "smtp": {"host": "127.0.0.1", "port": box.port},
            },
        }
        self.environment = {**os.environ, "HUBSPOT_ACCESS_TOKEN": TOKEN}
        self.before: tuple[str, ...] = ()

    def put(self, content: str | bytes, name: str = NAME) -> Path:
        path = self.inbox / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8-sig"))
        return path

    def start(self, *options: str) -> subprocess.Popen[str]:
        self.config.write_text(yaml.safe_dump(self.mapping, allow_unicode=True), "utf-8")
        return subprocess.Popen(
            [*self.before, *COMMAND, "--config", str(self.config), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
            env=self.environment,
        )

    def __call__(self, *options: str, seconds: float = 120) -> Ended:
        with self.start(*options) as process:
            out, log = process.communicate(timeout=seconds)
        return Ended(process.returncode, out, log)

    def names(self, folder: str = "") -> list[str]:
        """The files in a folder, without stamp and hash."""
        found = (self.inbox / folder).iterdir()
        return sorted(path.name for path in found if path.is_file() and path.name[0] != ".")


@pytest.fixture
def drop(tmp_path: Path, hubspot: Simulator, box: Mailbox) -> Drop:
    return Drop(tmp_path, hubspot, box)
