"""docs/codes.md lists each way a run may end, as the errors themselves say it."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
from harness.meltano import ROOT

BASES = {
    "crm_taps": ["crm_taps.errors:SourceError"],
    "target_deals_postgres": ["target_deals_postgres.errors:TargetError"],
    "tap_hubspot_deals": [
        "hubspot_client.errors:HubSpotError",
        *(
            f"tap_hubspot_deals.ending:{name}"
            for name in (
                "SettingsError",
                "StateError",
                "StreamMapError",
                "TargetGoneError",
                "Terminated",
                "UnexpectedError",
            )
        ),
    ],
}


def defined(base: Any) -> dict[str, tuple[bool, str]]:
    """Codes of a base and below it, with whether trying again can help and what the class says."""
    found: dict[str, tuple[bool, str]] = {}
    if "code" in vars(base):
        found[base.code] = (base.retryable, (base.__doc__ or "").split("\n")[0])
    for one in base.__subclasses__():
        found |= defined(one)
    return found


@pytest.mark.parametrize("package", BASES)
def test_the_page_of_codes_is_fresh(package: str) -> None:
    text = (ROOT / "docs" / "codes.md").read_text()
    [table] = re.findall(f"<!-- codes: {package} -->\n(.*?)<!-- /codes -->", text, re.DOTALL)
    lines = re.findall(r"^\| `(\w+)` \| (yes|no) \| (.*) \|$", table, re.MULTILINE)
    codes: dict[str, tuple[bool, str]] = {}
    for base in BASES[package]:
        module, name = base.split(":")
        codes |= defined(getattr(importlib.import_module(module), name))
    assert {code: (again == "yes", means) for code, again, means in lines} == codes
