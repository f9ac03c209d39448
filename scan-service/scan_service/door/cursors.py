"""Knows how a page's `next_cursor` says where the next one begins; it means nothing to clients."""

from __future__ import annotations

import base64
import json

from scan_service.errors import InvalidRequestError
from scan_service.records.pages import Place


def write(place: Place) -> str:
    """Return the cursor of a place."""
    text = json.dumps([place.before, place.after], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(cursor: str) -> Place:
    """Return the place of a cursor.

    Raises:
        InvalidRequestError: no answer has ever given it.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        before, after = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, TypeError):
        before, after = None, None
    known = type(before) is int and 0 <= before < 1 << 62 and isinstance(after, str)
    if not known or not after.isprintable():
        raise InvalidRequestError.field(
            "cursor", "must be the `next_cursor` of an answer", message="Invalid query parameters"
        )
    return Place(before, after)
