"""The report: what a comparison came to, as one JSON object for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubspot_verify.findings import Findings


def of_findings(found: Sequence[Findings]) -> dict[str, Any]:
    """The report of a comparison that was carried out, a part for each type and pair."""
    parts = [
        {
            "name": each.name,
            "pair": each.pair,
            "verdict": each.verdict,
            "in_hubspot": each.in_hubspot,
            "in_tables": each.in_tables,
            **each.counts,
            "behind": each.behind,
            "requests": each.requests,
            "digest_hubspot": f"{each.digest_hubspot:016x}",
            "digest_tables": f"{each.digest_tables:016x}",
            "named": [{"kind": one.kind, **one.named()} for one in each.differences],
        }
        for each in found
    ]
    return {"findings": parts}


def of_failure(code: str, sentence: str, *, retryable: bool) -> dict[str, Any]:
    """The report of one that could not be carried out."""
    return {"code": code, "sentence": sentence, "retryable": retryable}


def write(file: str, report: dict[str, Any]) -> None:
    """Write a report; a reader sees it whole or not at all."""
    place = Path(file)
    half = place.with_suffix(".half")
    half.write_text(json.dumps(report), encoding="utf-8")
    half.replace(place)
