"""`make drop-folder`: a HubSpot, a mail server, a booking system's files, and what a run makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import yaml
from hubspot_simulator import Portal, Simulator

from harness.booking import MAPPING, TOKEN, person, sheet
from harness.demo import say
from harness.mailbox import Mailbox, mailbox
from harness.meltano import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HOME = ROOT / ".data" / "drop-folder"
SITES = ["McArena schorndorf", "McArena ulm", "McArena aalen"]
OK, SOME_REFUSED = 0, 2


def files() -> dict[str, bytes]:
    """What the booking system wrote, and what people did to it."""
    good = sheet(
        person(1, Vorname="Ada"),
        person(2, Vorname="Grace", Familienname="Beispiel", Geburtstag=".."),
        person(1, Vorname="Ada", **{"Datum der letzten Buchung": "04-11-2026"}),
    )
    half_good = sheet(
        person(3, Vorname="Jörg"),
        person(4, **{"E-Mail": "kein-klammeraffe"}),
        person(5, **{"Datum der letzten Buchung": "31.02.2026"}),
        person(6, Kontaktkategorie="McArena nirgends"),
    )
    excel = "sep=;\n" + sheet(
        person(7, Anschrift='"Ringstr. 5; Hinterhaus"'), person(8, Ort="Bad Überlingen")
    )
    bad = sheet(person(9)).replace("E-Mail", "Kontakt")
    return {
        "export-schorndorf_2026_11_28.csv": good.encode("utf-8-sig"),
        "export-ulm_2026_11_28.csv": half_good.encode("utf-8-sig"),
        "export-aalen_2026_11_28.csv": excel.replace("\n", "\r\n").encode("cp1252"),
        "export-ulm_2026_11_27.csv": bad.encode("utf-8-sig"),
    }


def mapping(inbox: Path, hubspot: Simulator, box: Mailbox) -> dict[str, Any]:
    """The mapping of the README, for this HubSpot and this mail server."""
    columns = MAPPING["contacts"]["columns"]
    category = {**columns["kontaktkategorie"], "options": SITES}
    return {
        **MAPPING,
        "folder": str(inbox),
        "contacts": {"columns": {**columns, "kontaktkategorie": category}},
        "hubspot": {"base_url": hubspot.url},
        "mail": {
            "to": ["buero@example.com"],
            "from": "import@example.com",
            "smtp": {"host": "127.0.0.1", "port": box.port},
        },
    }


def drop_folder(config: Path, *words: str) -> int:
    """The command, as cron starts it; its exit code."""
    print(f"\n$ drop-folder {' '.join(words)}".rstrip(), flush=True)
    command = [sys.executable, "-m", "drop_folder.command", *words, "--config", str(config)]
    environment = {**os.environ, "HUBSPOT_ACCESS_TOKEN": TOKEN}
    process = subprocess.run(command, env=environment, stderr=subprocess.STDOUT, check=False)
    code = process.returncode
    print(f"  exit code {code}", flush=True)
    return code


def main() -> int:
    """Run the demo; 0 when all came as it should."""
    shutil.rmtree(HOME, ignore_errors=True)
    inbox = HOME / "inbox"
    inbox.mkdir(parents=True)
    portal = Portal(token=TOKEN, portal_id=146_000_777)
    with Simulator([portal]) as hubspot, mailbox() as box:
        config = HOME / "mapping.yml"
        config.write_text(
            yaml.safe_dump(mapping(inbox, hubspot, box), allow_unicode=True, sort_keys=False),
            "utf-8",
        )
        say(f"Files of a booking system, with invented people, in {inbox.relative_to(ROOT)}")
        for name, content in files().items():
            (inbox / name).write_bytes(content)
            print(f"  {name}, {len(content):,} bytes")
        say("The account lacks the mapping's properties: `setup` makes them")
        codes = [drop_folder(config, "setup")]
        say("What cron starts")
        codes.append(drop_folder(config))
        say("The same once more: nothing to do")
        codes.append(drop_folder(config))
    show(portal, inbox, box)
    return 0 if codes == [OK, SOME_REFUSED, OK] else 1


def show(portal: Portal, inbox: Path, box: Mailbox) -> None:
    """What HubSpot has, where the files went, and the mail."""
    say("HubSpot now has")
    contacts = portal.truth("contacts").live
    links = Counter(each.to_id for each in portal.true_links())
    for key, contact in contacts.items():
        values = contact.properties
        told = [values[each] or "-" for each in ("firstname", "lastname", "email", "zip", "city")]
        print(f"  {' | '.join(told)} | {values['kontaktkategorie']} | {links[key]} deals")
    for deal in portal.truth("deals").live.values():
        values = deal.properties
        print(f"  deal {values['dealname']} | {values['amount']} | {values['closedate']}")
    say(f"The files went to {inbox.relative_to(ROOT)}/")
    for folder in ("processed", "errorprocessed"):
        for path in sorted((inbox / folder).iterdir()):
            print(f"  {folder}/{path.name}")
            if path.name.endswith("fehler.csv"):
                for line in path.read_text("utf-8-sig").splitlines()[1:]:
                    print(f"    … {line[-75:]}")
    say(f"The mail ({len(box.mails)})")
    for mail in box.mails:
        print(f"  Subject: {mail['Subject']}")
        print("\n".join(f"  {line}" for line in mail.get_content().splitlines()))


if __name__ == "__main__":
    sys.exit(main())
