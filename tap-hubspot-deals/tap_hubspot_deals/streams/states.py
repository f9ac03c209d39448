"""What a state must look like before it is taken, and what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from tap_hubspot_deals.ending import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHAPES = {"progress": dict, "recent": list}
"""What a partition may hold besides numbers and texts."""


def check_state(state: Any) -> None:
    """Refuse a state that no run can have written.

    Raises:
        StateError: If its bookmarks, or their partitions, have another shape.
    """
    bookmarks = state.get("bookmarks", {}) if isinstance(state, dict) else None
    if not isinstance(bookmarks, dict):
        _refuse("`bookmarks` of the state is")
    for stream, bookmark in bookmarks.items():
        if not isinstance(bookmark, dict):
            _refuse(f"`bookmarks.{stream}` of the state is")
        partitions = bookmark.get("partitions", [])
        if not isinstance(partitions, list) or not all(
            isinstance(each, dict) and isinstance(each.get("context"), dict) for each in partitions
        ):
            _refuse(f"`bookmarks.{stream}.partitions` of the state is")
        for name, shape in SHAPES.items():
            if not all(isinstance(each.get(name) or shape(), shape) for each in partitions):
                _refuse(f"`{name}` in `bookmarks.{stream}.partitions` of the state is")


def lacking(state: dict[str, Any], streams: Iterable[str], tenant: str) -> Iterator[str]:
    """One sentence for each stream of which a state that is not empty has no bookmark.

    Args:
        state: One that `check_state` took.
        streams: The streams that keep bookmarks.
        tenant: Whose.
    """
    bookmarks = state.get("bookmarks") or {}
    for stream in streams if bookmarks else ():
        partitions = bookmarks.get(stream, {}).get("partitions", [])
        if not any(each["context"].get("_tenant_id") == tenant for each in partitions):
            yield (
                f"The state has no bookmark of {stream} for the tenant {tenant}: "
                "everything is read."
            )


def _refuse(what: str) -> NoReturn:
    fault = f"{what} of another shape than any run writes. Mend it, or run without state."
    raise StateError("State validation failed", errors=[fault])
