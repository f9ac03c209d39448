"""Knows what a run says of itself: how far it is, and why it ended otherwise than well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scan_service.moments import timestamp

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

# The tap names every object type and link that a token may not read in one sentence each.
LONGEST_REASON = 4000


@dataclass
class Progress:
    """How far a run is."""

    processed: int = 0
    failed: int = 0
    state: dict[str, Any] | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    # Whether this run got further than the scan was when it began.
    advanced: bool = False
    # {"contacts": {"total", "processed", "failed"}} of a scan that names object types.
    objects: dict[str, dict[str, Any]] | None = None
    # The account's properties as far as they are known, as the scan row's `columns` says them.
    columns: dict[str, Any] = field(default_factory=dict)
    # Whether the scan row has them: there may be thousands, and a run reports every second.
    columns_kept: bool = False
    # HubSpot's labels of them, by object type and name.
    labels: dict[str, Any] = field(default_factory=dict)
    # How many requests it sent to HubSpot, and when (`pipeline.pace`).
    requests: dict[str, Any] = field(default_factory=dict)
    # What a run found that verifies a scan (`pipeline.verifying`).
    findings: dict[str, Any] | None = None
    # What holds this run up, for those who watch it (`pipeline.hindrances`).
    live: dict[str, Any] = field(default_factory=dict)

    def count(
        self, before: Mapping[str, Any], written: Counter[str], refused: Counter[str]
    ) -> None:
        """Add what a run has handled, and refused, by object type, to what the scan had before.

        A run without a bookmark begins anew: what it handles is what the scan had before, and more.
        One that goes on reads some pages again: until the end counts exactly, it has no more than
        there is.
        """

        def with_this(had: int, now: int, most: int | None = None) -> int:
            if before["state"] is None:
                return max(had, now)
            return had + now if not had or most is None else max(had, min(had + now, most))

        if before["objects"] is None:
            had, most = before["processed_items"], before["total_items"]
            self.processed = with_this(had, written.total(), most)
            self.failed = min(with_this(before["failed_items"], refused.total()), self.processed)
            return
        self.objects = {}
        for name, counts in before["objects"].items():
            processed = with_this(counts["processed"], written[name], counts["total"])
            failed = min(with_this(counts["failed"], refused[name]), processed)
            self.objects[name] = {**counts, "processed": processed, "failed": failed}
        self.processed = sum(each["processed"] for each in self.objects.values())
        self.failed = sum(each["failed"] for each in self.objects.values())


def problem(code: str, message: str, *, attempt: int, deal_id: str | None = None) -> dict[str, Any]:
    """Return one entry of a scan's `errors`."""
    return {
        "dealId": deal_id,
        "code": code,
        "error": message[:LONGEST_REASON],
        "timestamp": timestamp(),
        "retryCount": max(0, attempt - 1),
    }
