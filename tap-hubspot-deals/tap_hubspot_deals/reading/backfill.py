"""Properties that records lack which went out already: who has them, and what asking costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubspot_client.errors import HubSpotError

from tap_hubspot_deals.reading.legs import BAD_REQUEST
from tap_hubspot_deals.reading.searching import count, names_at_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_hubspot_deals.reading.objects import CrmObject, ObjectReader
    from tap_hubspot_deals.settings import Filters

MANY = 100
"""Properties that are asked for among all records rather than counted: a selection anew."""

TIMES_ALL = 2
"""So many times all records may be found before reading all of them costs less.

Two hundred found ids are one search, two hundred records read are two lists.
"""


def has_any(found: CrmObject, names: Sequence[str]) -> bool:
    """Whether a record has a value in one of some properties."""
    return any(found.properties.get(name) for name in names)


def is_dearer_than_all(reader: ObjectReader, filters: Filters, names: Sequence[str]) -> bool:
    """Whether reading the records that have some properties costs more than reading all.

    One search looks for as many properties as HubSpot lets it; a record that several searches find
    is read once only. So this asks where there are several searches, and costs a count for each.

    Args:
        reader: Which objects.
        filters: The user's filters.
        names: The properties.
    """
    at_once = names_at_once(filters)
    if len(names) <= at_once:
        return False
    if len(names) > MANY:
        return True
    try:
        found = sum(
            count(reader, filters, having=names[start : start + at_once])
            for start in range(0, len(names), at_once)
        )
        return found > TIMES_ALL * count(reader, filters)
    except HubSpotError as exc:
        if exc.status != BAD_REQUEST:
            raise
        return True  # a type that cannot be searched
