"""Knows what holds up a run while it runs: its waits for HubSpot, and records that are refused."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from service_base.logs import mask

from scan_service.moments import timestamp
from scan_service.pipeline.verdicts import OF_TAP, READERS, TARGET

_MOST_SHOWN = 20
_LONGEST_SENTENCE = 500


@dataclass
class Hindrances:
    """What the log of a run told of it, by the fields of its entries and never by sentences."""

    # Records that the target refused, by stream.
    refused: Counter[str] = field(default_factory=Counter)
    _errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    _wait: dict[str, Any] | None = None
    _until: float = 0.0

    def note(self, plugin: str, entry: dict[str, Any]) -> None:
        """Note an entry of the log, if it is about such a thing."""
        sentence = mask(str(entry.get("event") or "").strip())[:_LONGEST_SENTENCE]
        if plugin in READERS and isinstance(seconds := entry.get("wait_seconds"), int | float):
            said = str(entry.get("code"))
            code = OF_TAP.get(said, "HUBSPOT_API_ERROR")
            if not entry.get("shared"):  # others met the limit, and nothing is tried again
                # One line for all that wait for the same: twenty requests meet one limit.
                self._error(f"{said} {entry.get('family')}", code, sentence)
            if (until := time.monotonic() + seconds) > self._until:
                self._until = until
                self._wait = {"code": code, "reason": sentence}

        stream, count = str(entry.get("rejected_stream")), entry.get("rejected_records")
        if plugin == TARGET and isinstance(count, int):
            self.refused[stream] += count
            reason = mask(str(entry.get("rejected_reason")))[:_LONGEST_SENTENCE]
            # How many, and which, the scan's end tells one by one.
            self._errors.pop(key := f"refused {stream}", None)
            self._error(
                key, "VALIDATION_ERROR",
                f"{self.refused[stream]} records of {stream} refused; the last: {reason}",
                retries=0,
            )  # fmt: skip

    def _error(self, key: str, code: str, sentence: str, *, retries: int = 1) -> None:
        times = self._errors.pop(key, {}).get("retryCount", 0)
        self._errors[key] = {
            "dealId": None, "code": code, "error": sentence, "timestamp": timestamp(),
            "retryCount": times + retries,
        }  # fmt: skip
        if len(self._errors) > _MOST_SHOWN:
            del self._errors[next(iter(self._errors))]

    def shown(self) -> dict[str, Any]:
        """Return what a status shows: `errors`, and `waiting` with its remaining seconds if any.

        Seconds and no moment: the clocks of this machine and of the database may differ.
        """
        left = self._until - time.monotonic()
        waiting = {**self._wait, "seconds": round(left, 3)} if self._wait and left > 0 else None
        return {"errors": list(self._errors.values()), "waiting": waiting}
