"""Our own tap feeds the target: one account is copied into another, links and all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from hubspot_simulator import Portal, Simulator

from .conftest import TARGET, TOKEN

TAP = str(Path(sys.executable).with_name("tap-hubspot-deals"))


def copy(tap: dict[str, Any], target: dict[str, Any], folder: Path) -> None:
    configs = []
    for name, config in (("tap", tap), ("target", target)):
        configs.append(folder / f"{name}.json")
        configs[-1].write_text(json.dumps(config))
    with subprocess.Popen([TAP, "--config", str(configs[0])], stdout=subprocess.PIPE) as reading:
        assert reading.stdout is not None
        command = [TARGET, "--config", str(configs[1])]
        with subprocess.Popen(command, stdin=reading.stdout) as writing:
            reading.stdout.close()
            assert (writing.wait(60), reading.wait(60)) == (0, 0)


def tags(portal: Portal, kind: str) -> dict[str, str]:
    """The id that each record of the copy had in the first account."""
    records = portal.truth(kind).live
    return {key: str(each.properties.get("source_id") or key) for key, each in records.items()}


def links(portal: Portal) -> set[tuple[str, str, str, str | None]]:
    """All links of deals, by the ids of the first account."""
    deals = tags(portal, "deals")
    return {
        (deals[link.from_id], kind, tags(portal, kind)[link.to_id], link.label)
        for kind in ("contacts", "companies")
        for link in portal.true_links("deals", kind)
    }


def test_an_account_is_copied_with_its_links(tmp_path: Path) -> None:
    old = Portal.generate(30, seed=1, token="pat-na1-old", portal_id=146_000_101)
    new = Portal(token=TOKEN, portal_id=146_000_102)
    new.behaviour.requires_basics = False
    new.add_label("deals", "contacts", "Decision maker", "Decides on")
    new.add_label("deals", "companies", "Billing company")
    streams: dict[str, Any] = {"associations": {"keys": {}}}
    for kind in ("deals", "contacts", "companies"):
        new.add_property(kind, "source_id", has_unique_value=True)
        columns = {"id": "source_id"} | {
            name: name
            for name in {
                "deals": ("dealname", "amount", "closedate", "pipeline", "dealstage"),
                "contacts": ("firstname", "lastname", "email", "city"),
                "companies": ("name", "domain"),
            }[kind]
        }
        streams[kind] = {"key": "source_id", "columns": columns}
        streams["associations"]["keys"][kind] = "source_id"
    with Simulator([old, new]) as hubspot:
        own = {"base_url": hubspot.url}
        objects = [
            {"name": "deals", "associations": ["contacts", "companies"]},
            {"name": "contacts"},
            {"name": "companies"},
        ]
        tap = {**own, "access_token": old.token, "tenant_id": "acme", "objects": objects}
        target = {**own, "access_token": TOKEN, "streams": streams}
        # Definitions, pipelines and owners are the new account's own.
        target["stream_maps"] = {each: {} for each in streams} | {"__else__": None}
        copy(tap, target, tmp_path)
        written = len(new.writes)
        copy(tap, target, tmp_path)

    truth, copied, names = old.truth().live, new.truth().live, tags(new, "deals")
    assert {names[key]: each.properties["amount"] for key, each in copied.items()} == {
        key: each.properties["amount"] or None for key, each in truth.items()
    }
    assert links(new) == links(old)
    assert len(new.writes) == written
