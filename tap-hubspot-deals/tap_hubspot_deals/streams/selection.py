"""What is asked for, as a bookmark remembers it: the selection as a whole, and each property."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from hubspot_client.properties import CONVERTERS

if TYPE_CHECKING:
    from hubspot_client.properties import Definition

    from tap_hubspot_deals.settings import Settings


def signature(definition: Definition) -> str:
    """A property as records have it: when it changes, older records have it otherwise."""
    kind = f"{definition.type}{'*' if definition.is_multi_select else ''}"
    return f"{definition.name} {kind}{'' if definition.is_of_every_account else ' custom'}"


def is_text(kind: str) -> bool:
    """Whether values are HubSpot's text as it is, by the second word of a `signature`."""
    return kind not in {*CONVERTERS, "enumeration*"}


def selection_of(settings: Settings, selected: Any = None) -> str:
    """A fingerprint of what is read, its properties left out: one that changes proves nothing old.

    Args:
        settings: What is asked for.
        selected: What of it the catalog selects.
    """
    asked = {
        "filters": vars(settings.filters),
        "archived": settings.archived,
        "associations": sorted(settings.associations),
        "flatten": settings.flatten_custom_properties,
        "nested": settings.nest_properties,
        "per pair": settings.associations_per_pair,
        "raw": settings.include_raw,
        "scan": settings.scan_id,
        "selected": selected,
    }
    text = json.dumps(asked, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
