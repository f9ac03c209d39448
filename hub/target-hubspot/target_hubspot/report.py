"""What a run did, stream by stream: every record that was read is in one of the sums."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubspot_client.writing.outcomes import Sums

from target_hubspot.errors import FileError

if TYPE_CHECKING:
    import logging


class Report:
    """The sums of one run."""

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()
        self.records: dict[str, Sums] = {}
        self.links = Sums()
        self._started = time.monotonic()

    def sums(self, stream: str) -> Sums:
        """Give the sums of a stream."""
        return self.records.setdefault(stream, Sums())

    @property
    def rejected(self) -> int:
        """How many records and links were rejected."""
        found = sum(each.kinds["rejected"] for each in self.records.values())
        return found + self.links.kinds["rejected"]

    @property
    def unknown(self) -> int:
        """How many records and links HubSpot said nothing about."""
        found = sum(each.kinds["unknown"] for each in self.records.values())
        return found + self.links.kinds["unknown"]

    def tell(self, logger: logging.Logger, *, dry_run: bool) -> None:
        """Log a line for each stream: counts and codes, no values."""
        would = "would be " if dry_run else ""
        for name, sums in self.records.items():
            codes = ", ".join(f"{code} {count}" for code, count in sorted(sums.codes.items()))
            logger.info(
                "%s: %d read, %s%s%s", name, self.read[name], would, sums, codes and f" ({codes})"
            )
        if self.links.kinds:
            logger.info("links: %s%s", would, self.links)

    def as_json(self, *, dry_run: bool) -> dict[str, Any]:
        """Give the sums for programs."""
        return {
            "dry_run": dry_run,
            "seconds": round(time.monotonic() - self._started, 3),
            "streams": {
                name: {
                    "read": self.read[name],
                    **sums.kinds,
                    "unsettled": self.read[name] - sums.kinds.total(),
                    "codes": dict(sums.codes),
                }
                for name, sums in self.records.items()
            },
            "links": {**self.links.kinds, "codes": dict(self.links.codes)},
        }

    def write(self, path: str, *, dry_run: bool) -> None:
        """Write the sums to a file, whole or not at all.

        Raises:
            FileError: If it cannot be written.
        """
        part = Path(f"{path}.part")
        try:
            part.write_text(json.dumps(self.as_json(dry_run=dry_run)) + "\n", "utf-8")
            part.replace(path)
        except OSError as error:
            raise FileError(f"`report_path` cannot be written: {error.strerror}.") from None
