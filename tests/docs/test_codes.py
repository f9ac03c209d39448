"""docs/codes.md lists each way a run may end, as the errors themselves say it."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
from harness.meltano import ROOT
from scan_service.pipeline.verdicts import OF_TAP, OF_TARGET, OF_VERIFY

BASES = {
    "crm_taps": ["crm_taps.errors:SourceError"],
    "hubspot_verify": ["hubspot_verify.errors:VerifyError"],
    "target_deals_postgres": ["target_deals_postgres.errors:TargetError"],
    "target_hubspot": ["target_hubspot.errors:TargetError"],
    "tap_hubspot_deals": [
        "hubspot_client.errors:HubSpotError",
        *(
            f"tap_hubspot_deals.ending:{name}"
            for name in (
                "NotComparedError",
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


def test_the_service_knows_every_code_of_tap_and_target() -> None:
    text = (ROOT / "docs" / "codes.md").read_text()
    [table] = re.findall("<!-- codes: scan_service -->\n(.*?)<!-- /codes -->", text, re.DOTALL)
    of_tap: dict[str, str] = {}
    of_target: dict[str, str] = {}
    for line in re.findall(r"^\| `[A-Z].*$", table, re.MULTILINE):
        own, taps, targets = (re.findall(r"`(\w+)`", cell) for cell in line.split("|")[1:4])
        of_tap |= dict.fromkeys(taps, own[0])
        of_target |= dict.fromkeys(targets, own[0])

    assert (of_tap, of_target) == (OF_TAP, OF_TARGET)
    for package, codes in (("tap_hubspot_deals", OF_TAP), ("target_deals_postgres", OF_TARGET)):
        known: dict[str, tuple[bool, str]] = {}
        for base in BASES[package]:
            module, name = base.split(":")
            known |= defined(getattr(importlib.import_module(module), name))
        assert set(codes) == set(known)
    verifys = defined(importlib.import_module("hubspot_verify.errors").VerifyError)
    assert set(OF_VERIFY) == set(OF_TAP) | set(verifys)
