"""The stream of every value that chosen properties had."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_hubspot_deals.streams.history import HistoryStream
from tap_hubspot_deals.streams.objects import ObjectStream
from tap_hubspot_deals.streams.records import KEY_TEXT, TEXT, TIME
from tap_hubspot_deals.streams.versions import BY, KEY_TIME, by, utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from hubspot_client.object_types import ObjectType
    from hubspot_client.properties import Definition

    from tap_hubspot_deals.reading.histories import History, Version
    from tap_hubspot_deals.reading.objects import CrmObject
    from tap_hubspot_deals.streams.base import Account

TYPED = {
    "number": ("value_number", {"type": ["number", "null"]}),
    "bool": ("value_boolean", {"type": ["boolean", "null"]}),
    "date": ("value_date", {"type": ["string", "null"], "format": "date"}),
    "datetime": ("value_time", TIME),
    "list": ("value_list", {"type": ["array", "null"], "items": {"type": "string"}}),
}
"""Where a value stands besides its text, by its type."""


class PropertyHistoryStream(HistoryStream):
    """Every value that the chosen properties had, as far as HubSpot tells.

    Args:
        account: The account that is read.
        object_type: Whose properties.
        definitions: The chosen properties.
    """

    parent_stream_type = ObjectStream

    def __init__(
        self, account: Account, object_type: ObjectType, definitions: Sequence[Definition]
    ) -> None:
        self._types = {d.name: "list" if d.is_multi_select else d.type for d in definitions}
        self._converters = {d.name: d.converter() for d in definitions}
        self._cut = 0
        fields = {
            "property": KEY_TEXT,
            "timestamp": {**KEY_TIME, "title": "From when on the value stood"},
            "sequence": {"type": "integer", "title": "Its place among several of one moment"},
            "type": {**TEXT, "title": "The property's type"},
            "value": {**TEXT, "title": "HubSpot's text; empty where the value was cleared"},
            **dict(TYPED.values()),
            **BY,
        }
        name = f"{object_type.singular}_property_history"
        super().__init__(account, name, object_type, fields)

    @property
    @override
    def reads(self) -> tuple[Sequence[str], Sequence[str]]:
        return tuple(self._types), ()

    @override
    def records(
        self, found: CrmObject, history: History, since: datetime | None
    ) -> Iterator[dict[str, Any]]:
        for name in self._types:
            before: Version | None = None
            sequence = 0
            for version in history.versions.get(name, ()):
                same = before is not None and before.at == version.at
                sequence = sequence + 1 if same else 0
                record = {
                    **self.identity.fields,
                    "record_id": found.id,
                    "property": name,
                    "timestamp": utc(version),
                    "sequence": sequence,
                    "type": self._types[name],
                    "value": version.value,
                    **self._typed(name, version.value),
                    **by(version),
                }
                if before is None and history.is_cut(name, since):
                    record["gap_before"] = True
                    self._cut += 1
                before = version
                yield record

    def _typed(self, name: str, text: str | None) -> dict[str, Any]:
        values: dict[str, Any] = dict.fromkeys(field for field, _ in TYPED.values())
        field = TYPED.get(self._types[name])
        converter = self._converters[name]
        if text and field is not None and converter is not None:
            with contextlib.suppress(ValueError):  # the text stands in `value`
                values[field[0]] = converter(text)
        return values

    @override
    def tell(self) -> None:
        if self._cut:
            self.logger.warning(
                "%s: HubSpot tells no older versions of %d properties of records; their oldest "
                "rows have `gap_before`.",
                self.name,
                self._cut,
            )
