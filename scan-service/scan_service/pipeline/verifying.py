"""Knows what a run of `hubspot-verify` came to: its report, in the service's words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scan_service.pipeline.verdicts import VERIFY, Ending

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scan_service.pipeline.run_log import LogReader

_NAMED = 1000
_KINDS = ("missing", "extra", "stale", "altered", "doubled", "behind")


def command(report: Path, since: str) -> list[str]:
    """Return what Meltano is to do, for a scan that began at a time (ISO 8601)."""
    plugins = ["--meltano", "tap-hubspot-deals", "target-deals-postgres"]
    told = ["--report", str(report), "--log-json"]
    return ["invoke", "--no-install", VERIFY, *plugins, "--since", since, *told]


def read(report: Path, log: LogReader) -> dict[str, Any] | None:
    """Read a report into a run's log; return the findings as the ledger keeps them, or None.

    Args:
        report: as the command left it; without one the log alone tells how the run ended.
        log: gets the failure, or the number of records that were compared.
    """
    try:
        said = json.loads(report.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if "findings" not in said:
        log.note(VERIFY, Ending(said["code"], said["retryable"], said["sentence"]))
        return None
    parts = [_part(each) for each in said["findings"]]
    for part in parts:
        if part["linkedTo"] is None:
            log.written[part["object"]] += part["inHubspot"]
    named = [
        _difference(part, one)
        for part, each in zip(parts, said["findings"], strict=True)
        for one in each["named"]
    ]
    verdict = "different" if any(part["verdict"] == "different" for part in parts) else "equal"
    return {"verdict": verdict, "parts": parts, "differences": named[:_NAMED]}


def _part(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was found of one object type, or of the links of two."""
    own, linked = said["pair"] or (said["name"], None)
    return {
        "object": own,
        "linkedTo": linked,
        "verdict": said["verdict"],
        "inHubspot": said["in_hubspot"],
        "inScan": said["in_tables"],
        **{kind: said[kind] for kind in _KINDS},
    }


def _difference(part: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return one difference: ids and names, never a value."""
    found = {"object": part["object"], "kind": said["kind"], "recordId": said["id"]}
    if part["linkedTo"] is not None:
        found |= {
            "linkedTo": part["linkedTo"], "linkedId": said["to_id"],
            "category": said["category"], "typeId": said["type_id"],
        }  # fmt: skip
    return {**found, "properties": said.get("properties", [])}
