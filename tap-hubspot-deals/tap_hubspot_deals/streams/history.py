"""What the streams of histories share, and how the histories of a page become their records."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from hubspot_client.clock import parse_time
from typing_extensions import override

from tap_hubspot_deals.reading.histories import HistoryReader
from tap_hubspot_deals.streams.base import FedStream
from tap_hubspot_deals.streams.records import KEY_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from hubspot_client.client import Client
    from hubspot_client.object_types import ObjectType

    from tap_hubspot_deals.reading.histories import History
    from tap_hubspot_deals.reading.holdings import Holdings
    from tap_hubspot_deals.reading.objects import CrmObject
    from tap_hubspot_deals.reading.pages import LinkedPage
    from tap_hubspot_deals.streams.base import Account

GAP = {
    "type": ["boolean", "null"],
    "title": "HubSpot keeps nothing older; what was before this may be missing",
}


class HistoryStream(FedStream):
    """A stream that the reading of its records feeds with their histories."""

    state_partitioning_keys = ()

    def __init__(
        self, account: Account, name: str, object_type: ObjectType, fields: dict[str, Any]
    ) -> None:
        self.object_type = object_type
        key = ("record_id", *(n for n, f in fields.items() if "null" not in f["type"]))
        super().__init__(
            account, name, key=key, properties={"record_id": KEY_TEXT, **fields, "gap_before": GAP}
        )

    @property
    @abc.abstractmethod
    def reads(self) -> tuple[Sequence[str], Sequence[str]]:
        """The properties whose histories it needs, and those whose values."""

    @abc.abstractmethod
    def records(
        self, found: CrmObject, history: History, since: datetime | None
    ) -> Iterator[dict[str, Any]]:
        """One record's own records here.

        Args:
            found: The record, as it was read.
            history: What its properties were.
            since: Up to when its history went out already; None: never.
        """

    @property
    @override
    def automatic(self) -> set[str]:
        return super().automatic | {"gap_before"}

    def tell(self) -> None:
        """Tell, at the end of a run, what people should know of it."""


class Histories:
    """Makes records of the histories that came with pages.

    Args:
        streams: Those of one object type that are selected.
        bookmark: Up to when what is asked for went out already; None: never.
    """

    def __init__(self, streams: Sequence[HistoryStream], bookmark: str | None) -> None:
        self.streams = streams
        self._since = None if bookmark is None else parse_time(bookmark)

    def reader(self, hubspot: Client) -> HistoryReader | None:
        """What reads all that the streams need; None where that is nothing."""
        if not self.streams:
            return None
        reads = [stream.reads for stream in self.streams]
        names = dict.fromkeys(name for histories, _ in reads for name in histories)
        also = dict.fromkeys(name for _, values in reads for name in values)
        object_type = self.streams[0].object_type
        return HistoryReader(hubspot, object_type, tuple(names), tuple(also))

    def records(self, found: LinkedPage, held: Holdings) -> dict[str, list[dict[str, Any]]]:
        """The records of a page, by stream; to be asked for before the page's own are made.

        Args:
            found: The page as it was read.
            held: What went out before.
        """
        made: dict[str, list[dict[str, Any]]] = {stream.name: [] for stream in self.streams}
        for one in found.page.objects:
            history = found.histories.get(one.id)
            if history is not None:
                since = self._since if int(one.id) in held else None
                for stream in self.streams:
                    made[stream.name] += stream.records(one, history, since)
        return made

    def write(self, made: dict[str, list[dict[str, Any]]], *, time: str) -> None:
        """Write what `records` made."""
        for stream in self.streams:
            if records := made.get(stream.name):
                stream.write_records(records, version=None, time=time)
