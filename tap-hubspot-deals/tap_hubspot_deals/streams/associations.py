"""The streams of links between records, one record per typed link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_hubspot_deals.streams.base import FedStream
from tap_hubspot_deals.streams.objects import ObjectStream
from tap_hubspot_deals.streams.records import KEY_TEXT, REMOVAL, TEXT, TIME

if TYPE_CHECKING:
    from tap_hubspot_deals.streams.base import Account


class AssociationsStream(FedStream):
    """One record per typed link, written by the stream that reads its parents.

    Args:
        account: The account that is read.
        name: `associations`, or that of a pair.
        whole: Whether one stream alone writes here, and may read all that is asked for: only then
            what a full read does not bring again is gone.
    """

    parent_stream_type = ObjectStream
    state_partitioning_keys = ()

    def __init__(self, account: Account, name: str, *, whole: bool) -> None:
        super().__init__(
            account,
            name,
            key=("from_object_type", "from_id", "to_object_type", "to_id", "category", "type_id"),
            properties={
                "from_object_type": KEY_TEXT,
                "from_id": KEY_TEXT,
                "to_object_type": KEY_TEXT,
                "to_id": KEY_TEXT,
                "category": KEY_TEXT,
                "type_id": {"type": "integer"},
                "label": TEXT,
                "read_at": {**TIME, "title": "A link is current when this equals its record's"},
                **(REMOVAL if account.settings.scan_id is None else {}),
            },
        )
        self.whole = whole
