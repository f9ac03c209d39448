"""Knows the summaries of scans that are not counted yet: added up when asked for, not too often."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from scan_service.records.tally import summarize

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping

    from service_base.database import Connection

    from scan_service.records.objects import Part

# What took no longer is added up anew each time; else it is kept for so many times as long.
_QUICK_SECONDS = 0.2
_TIMES = 20
_KEPT = 1000


class Summaries:
    """What a process has added up: of a large scan that runs, a moment ago."""

    def __init__(self) -> None:
        self._kept: OrderedDict[uuid.UUID, tuple[float, str]] = OrderedDict()

    async def of(
        self,
        connection: Connection,
        scan: Mapping[str, Any],
        part: Part,
        present: Mapping[str, str],
    ) -> str:
        """Return the summary of a scan's deals, as `tally.summarize` does."""
        until, known = self._kept.get(scan["id"], (0.0, ""))
        began = time.monotonic()
        if began < until:
            return known
        found = await summarize(connection, scan, part, present)
        took = time.monotonic() - began
        if took > _QUICK_SECONDS:
            self._kept[scan["id"]] = (time.monotonic() + took * _TIMES, found)
            self._kept.move_to_end(scan["id"])
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found
