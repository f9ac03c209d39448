"""Knows how a page's `next_cursor` says where the next one begins; it means nothing to clients."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from scan_service.errors import InvalidRequestError
from scan_service.records.pages import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scan_service.records.objects import Part

_MARK_LENGTH = 8


def write(place: Place, scan: Mapping[str, Any], part: Part) -> str:
    """Return the cursor of a place among a scan's records of one type."""
    said = [_mark(scan, part), place.before, place.after]
    text = json.dumps(said, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(cursor: str, scan: Mapping[str, Any], part: Part) -> Place:
    """Return the place of a cursor.

    Raises:
        InvalidRequestError: no answer about these records has ever given it.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        said = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        mark, before, after = said
    except (ValueError, TypeError, RecursionError):
        mark, before, after = None, None, None
    known = type(before) is int and 0 <= before < 1 << 62 and isinstance(after, str)
    # Of another scan, or another type, it would leave records out without a word.
    if mark != _mark(scan, part) or not known or not after.isprintable():
        raise InvalidRequestError.field(
            "cursor", "must be the `next_cursor` of an answer about these records",
            message="Invalid query parameters",
        )  # fmt: skip
    return Place(before, after)


def _mark(scan: Mapping[str, Any], part: Part) -> str:
    """Return a few letters that tell one scan's records of one type from all others."""
    return hashlib.sha256(f"{scan['id']}/{part.name}".encode()).hexdigest()[:_MARK_LENGTH]
