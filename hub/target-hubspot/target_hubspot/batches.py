"""What is delivered at once, and which calls may begin while those of others still run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubspot_client.writing.collapsing import Prepared
    from hubspot_client.writing.records import RecordWriter

    from target_hubspot.streams import Stream

Waiting = tuple[int, dict[str, Any]]
"""A record with the line that it came in."""


class Loaded:
    """A stream on its way into HubSpot: its plan and its writer."""

    def __init__(self, stream: Stream, writer: RecordWriter) -> None:
        self.stream = stream
        self.writer = writer


@dataclass
class Batch:
    """Some records of a run.

    Args:
        records: By stream.
        loaded: Their stream, where they are of one and no more than written.
        keys: What `loaded` knows each of them by.
        prepared: What `loaded` is to write.
    """

    records: dict[str, list[Waiting]] = field(default_factory=dict)
    loaded: Loaded | None = None
    keys: list[Any] = field(default_factory=list)
    prepared: Prepared | None = None

    def may_begin_beside(self, other: Batch) -> bool:
        """Whether the calls may begin while those of another still run: no record is in both."""
        if self.prepared is None or other.prepared is None or self.loaded is not other.loaded:
            return False
        return self.prepared.keys.isdisjoint(other.prepared.keys)
