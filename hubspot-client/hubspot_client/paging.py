"""How HubSpot's answers say that there is more: the same for lists, links and owners."""

from __future__ import annotations

import msgspec

from hubspot_client.errors import InconsistentError

PATIENCE = 100
"""Empty pages in a row, each with a next one, that a walk may have."""


class Next(msgspec.Struct):
    """Where the next page begins."""

    after: str | int


class Paging(msgspec.Struct):
    """The `paging` of an answer; HubSpot leaves it out on the last page."""

    next: Next | None = None


class Cursors:
    """The cursors of one walk: none may lead back to where something was read already.

    Args:
        what: What is walked, for the sentence.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._read: set[str | None] = set()
        self._empty = 0

    def check(self, cursor: str | None, following: str, *, empty: bool = False) -> None:
        """Note a page that is not the last one.

        Args:
            cursor: Where the page was.
            following: Where the next one is.
            empty: Whether it holds nothing: HubSpot may name the same cursor again then.

        Raises:
            InconsistentError: If the walk goes round in a circle.
        """
        self._empty = self._empty + 1 if empty else 0
        if not empty:
            self._read.add(cursor)
        if following in self._read or self._empty > PATIENCE:
            raise InconsistentError(
                f"HubSpot's cursors of {self._what} go round in a circle (at {following[:40]!r}); "
                "nothing was skipped. Run again."
            )


def after(paging: Paging | None) -> str | None:
    """The next page's cursor; None on the last page."""
    return None if paging is None or paging.next is None else str(paging.next.after)
