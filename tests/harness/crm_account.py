"""An account with contacts, deals and tickets, and the tables that a run makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hubspot_simulator import Portal

from harness.crm_api import HUBSPOT_TOKEN, with_key

if TYPE_CHECKING:
    from hubspot_simulator import Simulator

BIN = Path(sys.executable).parent
TENANT = "acme"
OBJECTS = [
    {"name": "deals", "associations": ["contacts", "tickets"]},
    {"name": "contacts"},
    {"name": "tickets"},
]


def filled(contacts: int, deals: int, tickets: int) -> Portal:
    """An account in which deals are spread over contacts, and tickets over deals."""
    portal = with_key(Portal.generate(
        deals, seed=11, token=HUBSPOT_TOKEN, contacts=contacts, contacts_per_deal=0,
        companies_per_deal=0, custom_properties=0, counts={"tickets": tickets},
    ))  # fmt: skip
    ids = {kind: portal.ids(kind) for kind in ("contacts", "deals", "tickets")}
    for place, deal in enumerate(ids["deals"]):
        portal.link("deals", deal, "contacts", ids["contacts"][place % contacts])
    for place, ticket in enumerate(ids["tickets"]):
        portal.link("deals", ids["deals"][place % deals], "tickets", ticket)
    return portal


def mirror(url: str, hubspot: Simulator, folder: Path) -> None:
    """What `meltano run` of contacts, deals and tickets does."""
    tap = {
        "access_token": HUBSPOT_TOKEN, "tenant_id": TENANT, "base_url": hubspot.url,
        "objects": OBJECTS,
    }  # fmt: skip
    (folder / "tap.json").write_text(json.dumps(tap))
    target = {"database_url": url, "default_target_schema": "hubspot"}
    (folder / "target.json").write_text(json.dumps(target))
    reading = subprocess.Popen(
        [str(BIN / "tap-hubspot-deals"), "--config", str(folder / "tap.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    subprocess.run(
        [str(BIN / "target-deals-postgres"), "--config", str(folder / "target.json")],
        stdin=reading.stdout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    assert reading.stdout is not None
    reading.stdout.close()
    assert reading.wait() == 0
