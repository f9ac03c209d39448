"""What became of a source: the counts of its streams, why it failed, and one table of all."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COUNTS = ("processed", "created", "updated", "rejected")
RAISED = re.compile(r"^\w[\w.]*(?:Error|Exception|Exit|Fault)\b.*", re.MULTILINE)
"""The line of a traceback that says what happened, for plugins that tell nothing better."""
REASON_LIMIT = 500


@dataclass
class Outcome:
    """What became of a source.

    Attributes:
        loads: The counts of each stream, as the target tells them of `_loads`.
        faults: What went wrong, in sentences with their codes; empty where nothing did.
    """

    source: str
    loads: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _said: list[str] = field(default_factory=list)
    _raised: str = ""

    def follow(self, line: Mapping[str, Any]) -> None:
        """Take what a line of Meltano's log says."""
        if isinstance(load := line.get("load"), dict):
            self.loads[str(load["stream"])] = load
        text = str(line.get("event", ""))
        if raised := RAISED.findall(text):
            self._raised = raised[-1]
        if line.get("level") not in {"error", "critical"} or not text:
            return
        if code := line.get("code"):
            self.faults.append(f"{text} [{code}]")
        elif "block_type" not in line:  # whose reason the line before has
            self._said.append(text)

    def end(self, code: int) -> None:
        """Take the exit code: it alone says whether the source is done.

        A plugin that tells a code says why in a sentence. Of any other there is what Meltano says
        of it, and the last exception that was seen in its log.
        """
        if code == 0:
            self.faults.clear()
        elif not self.faults:
            said = [text.partition("\n")[0].partition(": command [")[0] for text in self._said]
            said = [text.rstrip(".") for text in dict.fromkeys(said)]
            said = said or [f"Meltano ended with exit code {code}; its log tells why"]
            told = ": ".join([*said, self._raised] if self._raised else said)
            self.faults.append(f"{told[:REASON_LIMIT].rstrip('.')}.")


def table(outcomes: Sequence[Outcome]) -> str:
    """One table of all sources and streams: source, stream, processed, created, updated, failed."""
    head = ("source", "stream", "processed", "created", "updated", "failed")
    body: list[tuple[str, ...]] = []
    for outcome in outcomes:
        for stream, load in sorted(outcome.loads.items()):
            body.append((outcome.source, stream, *(f"{load[name]:,}" for name in COUNTS)))
        if not outcome.loads:
            body.append((outcome.source, "-", *("-" for _ in COUNTS)))
    widths = [max(len(row[n]) for row in (head, *body)) for n in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if n < 2 else cell.rjust(width)  # noqa: PLR2004 - the two names
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *body)
    ]
    return "\n".join(lines)
