"""How HubSpot's answers say that there is more: the same for lists, links and owners."""

from __future__ import annotations

import msgspec


class Next(msgspec.Struct):
    """Where the next page begins."""

    after: str


class Paging(msgspec.Struct):
    """The `paging` of an answer; HubSpot leaves it out on the last page."""

    next: Next | None = None


def after(paging: Paging | None) -> str | None:
    """The next page's cursor; None on the last page."""
    return None if paging is None or paging.next is None else paging.next.after
