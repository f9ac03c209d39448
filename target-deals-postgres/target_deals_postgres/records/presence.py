"""Which columns of a row its record speaks about: all others keep what is stored."""

from __future__ import annotations


class Presence:
    """For each column of a row, whether its record has a value for it; shared, never changed.

    Attributes:
        mask: a 1 or 0 for each column, in the order of the row; the stage stores it like this.
        complete: whether the record has all.
    """

    __slots__ = ("complete", "mask")

    def __init__(self, mask: str) -> None:
        """Remember the mask."""
        self.mask = mask
        self.complete = "0" not in mask

    def __getitem__(self, at: int) -> bool:
        return self.mask[at] == "1"

    def __or__(self, other: Presence) -> Presence:
        """What at least one of two records has."""
        return Presence("".join(map(max, self.mask, other.mask)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Presence) and self.mask == other.mask

    def __hash__(self) -> int:
        return hash(self.mask)
