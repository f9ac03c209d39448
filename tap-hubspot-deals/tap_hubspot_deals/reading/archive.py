"""The recycle bin: which archived records concern a run, and which have left it since.

HubSpot's list of archived records knows no filter and no order by time, archiving moves no modified
date, and neither may restoring. The whole list is therefore walked at every run (it holds 90 days).
The ids seen stay in the bookmark; one that is missing the next time was restored, or purged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING

from hubspot_client.clock import milliseconds, parse_time
from hubspot_client.properties import to_datetime

if TYPE_CHECKING:
    from hubspot_client.object_types import ObjectType

    from tap_hubspot_deals.reading.objects import CrmObject, ObjectPage
    from tap_hubspot_deals.settings import Filters

KNOWN_LIMIT = 1000
"""Ids kept in the bookmark, the latest archived ones: it goes out with every page."""


@dataclass
class Sweep:
    """One walk over the archived records.

    Args:
        filters: The user's filters, which HubSpot's list cannot apply.
        object_type: Which records.
        since: Only records archived from then on go out; None: all.
        known: The ids that the last complete sweep saw, separated by spaces.
        complete: Whether this sweep walks the list from its beginning.
    """

    filters: Filters
    object_type: ObjectType
    since: str | None
    known: str
    complete: bool
    _left: set[str] = field(init=False)
    _latest: list[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        """Nothing was seen yet."""
        self.begin_again(complete=self.complete)

    def begin_again(self, *, complete: bool) -> None:
        """Forget what was seen. Of a bin of any size, no more than the limit is ever kept."""
        self.complete = complete
        self._left = set(self.known.split())
        self._latest = []

    def cut(self, page: ObjectPage) -> None:
        """Leave on the page what has to go out, and remember the latest of all in the bin."""
        page.keep(lambda found: is_asked_for(found, self.filters, self.object_type))
        for found in page.objects:
            self._left.discard(found.id)
            entry = (found.archived_at or "", found.id)
            if len(self._latest) < KNOWN_LIMIT:
                heappush(self._latest, entry)
            else:
                heappushpop(self._latest, entry)
        since = None if self.since is None else parse_time(self.since)

        def goes_out(found: CrmObject) -> bool:
            archived_at = found.archived_at
            return since is None or not archived_at or parse_time(archived_at) >= since

        page.keep(goes_out)

    def left(self) -> list[str]:
        """The known ids that are not in the bin any more; none if this sweep saw only a part."""
        return [i for i in self.known.split() if i in self._left] if self.complete else []

    def now_known(self) -> str:
        """What the next run has to know."""
        if not self.complete:
            return self.known
        return " ".join(sorted(found_id for _, found_id in self._latest))


def is_asked_for(found: CrmObject, filters: Filters, object_type: ObjectType) -> bool:
    """Whether a record passes the filters, as HubSpot's search would judge it."""
    if not filters:
        return True
    values = found.properties
    pipeline, stage = object_type.pipeline or ("", "")
    stamp = _created(found, object_type)
    return (
        filters.pipeline in {None, values.get(pipeline)}
        and filters.stage in {None, values.get(stage)}
        and (filters.created_from is None or stamp >= filters.created_from)
        and (filters.created_until is None or stamp <= filters.created_until)
    )


def _created(found: CrmObject, object_type: ObjectType) -> int:
    """The property decides, which people may write; `createdAt` only where it says nothing."""
    for text in (found.properties.get(object_type.created), found.created_at):
        if text:
            return milliseconds(parse_time(to_datetime(text)))
    return 0
