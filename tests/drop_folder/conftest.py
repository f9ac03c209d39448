"""A drop folder, a HubSpot with the properties that it needs, and a mail server."""

from __future__ import annotations

import os
import socketserver
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

TOKEN = "pat-na1-booking"
HEADER = (
    "Login;Mitglied-Status;Vorname;Familienname;Telefon;Mobil;Fax;E-Mail;Mg.Nr;PLZ;Ort;Anschrift;"
    "Geburtstag;Mehrwertsteuer;Kontoinhaber;Kontonummer;Bankleitzahl;Name der Bank;IBAN;BIC;"
    "SEPA Mandat vom;SEPA Referenz;Datum der letzten Buchung;"
    "Wert der letzten Buchung (bezahlter Betrag);Datum der nächsten zukünftigen Buchung;"
    "Kontaktkategorie"
)
NAME = "export-schorndorf_2026_11_28.csv"
MAPPING: dict[str, Any] = {
    "pattern": "export-*.csv",
    "settle_seconds": 0,
    "site": {"from": "filename", "pattern": "export-(?P<site>[a-z-]+)_"},
    "contacts": {
        "key": "email",
        "columns": {
            "email": {"column": ["E-Mail", "Email"], "type": "email", "required": True},
            "firstname": {"column": "Vorname"},
            "lastname": {"column": ["Familienname", "Name"]},
            "zip": {"column": "PLZ"},
            "city": {"column": "Ort"},
            "date_of_birth": {"column": "Geburtstag", "type": "date", "on_bad": "blank"},
            "kontaktkategorie": {
                "column": "Kontaktkategorie",
                "default": "McArena {site}",
                "append": True,
            },
            "letzte_buchung": {"column": "Datum der letzten Buchung", "type": "date"},
            "wert": {
                "column": ["Wert der letzten Buchung (bezahlter Betrag)", "Wert der Buchung"],
                "type": "number",
            },
        },
    },
    "deals": {
        "when": "letzte_buchung",
        "key": "buchungsnummer",
        "value": {"otherwise": "hash(site, email, letzte_buchung, wert)"},
        "pipeline": "default",
        "dealstage": "closedwon",
        "columns": {
            "dealname": {"template": "{kontaktkategorie} {letzte_buchung:%d.%m.%Y}"},
            "closedate": {"from": "letzte_buchung"},
            "amount": {"from": "wert"},
        },
    },
}


def person(number: int, **changes: str) -> str:
    """One row of an invented person."""
    cells = dict.fromkeys(HEADER.split(";"), "")
    cells |= {
        "Login": f"person{number}",
        "Vorname": "Björn",
        "Familienname": f"Muster{number}",
        "E-Mail": f"muster{number}@beispiel-verein.de",
        "PLZ": "01067",
        "Ort": "Köln",
        "Geburtstag": "24.12.1959",
        "IBAN": "DE00 0000 0000",
        "Datum der letzten Buchung": "03.11.2026",
        "Wert der letzten Buchung (bezahlter Betrag)": "1.234,50",
    }
    return ";".join((cells | changes).values())


def sheet(*rows: str) -> str:
    return "\n".join([HEADER, *rows]) + "\n"


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


@dataclass
class Box:
    """The mails that came."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    box: Box


class _Conversation(socketserver.StreamRequestHandler):
    """As much of SMTP as a mail needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                body = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    body += part
                server = self.server
                assert isinstance(server, _Server)
                mail: Any = message_from_bytes(body, policy=default)
                server.box.mails.append(mail)
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


@pytest.fixture
def box() -> Iterator[Box]:
    found = Box()
    with _Server(("127.0.0.1", 0), _Conversation) as server:
        server.box = found
        found.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Ended:
    """A run that ended."""

    status: int
    out: str
    log: str


class Drop:
    """A drop folder and the command that works on it."""

    def __init__(self, home: Path, hubspot: Simulator, box: Box) -> None:
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

    def put(self, content: str | bytes, name: str = NAME) -> Path:
        path = self.inbox / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8-sig"))
        return path

    def start(self, *options: str) -> subprocess.Popen[str]:
        self.config.write_text(yaml.safe_dump(self.mapping, allow_unicode=True), "utf-8")
        return subprocess.Popen(
            [sys.executable, "-m", "drop_folder.command", "--config", str(self.config), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def __call__(self, *options: str) -> Ended:
        with self.start(*options) as process:
            out, log = process.communicate(timeout=120)
        return Ended(process.returncode, out, log)

    def names(self, folder: str = "") -> list[str]:
        """The files in a folder, without stamp and hash."""
        found = (self.inbox / folder).iterdir()
        return sorted(path.name for path in found if path.is_file() and path.name[0] != ".")


@pytest.fixture
def drop(tmp_path: Path, hubspot: Simulator, box: Box) -> Drop:
    return Drop(tmp_path, hubspot, box)
