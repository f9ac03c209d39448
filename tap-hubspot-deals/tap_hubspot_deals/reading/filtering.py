"""Which records are asked for, judged here where HubSpot cannot: its lists know no filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubspot_client.clock import milliseconds, parse_time
from hubspot_client.properties import to_datetime

if TYPE_CHECKING:
    from hubspot_client.object_types import ObjectType

    from tap_hubspot_deals.reading.objects import CrmObject
    from tap_hubspot_deals.settings import Filters


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
    """The property decides, which people may write; `createdAt` where it says nothing readable."""
    for text in (found.properties.get(object_type.created), found.created_at):
        try:
            if text:
                return milliseconds(parse_time(to_datetime(text)))
        except ValueError:
            continue
    return 0
