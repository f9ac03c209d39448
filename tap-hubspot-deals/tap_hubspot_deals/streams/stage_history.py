"""The stream of the stays of records in the stages of their pipelines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_hubspot_deals.streams.history import HistoryStream
from tap_hubspot_deals.streams.objects import ObjectStream
from tap_hubspot_deals.streams.records import TEXT, TIME
from tap_hubspot_deals.streams.stays import CUMULATIVE, ENTERED, disagreements, until
from tap_hubspot_deals.streams.versions import BY, KEY_TIME, by, utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from hubspot_client.object_types import ObjectType
    from hubspot_client.properties import Definition

    from tap_hubspot_deals.reading.histories import History
    from tap_hubspot_deals.reading.objects import CrmObject
    from tap_hubspot_deals.streams.base import Account

OF_STAGES = re.compile(f"(?:{ENTERED}|{CUMULATIVE}).+")


class StagesStream(HistoryStream):
    """The stays of records in the stages of their pipelines.

    Args:
        account: The account that is read.
        object_type: One with pipelines.
        pipeline: The properties with a record's pipeline and stage.
        definitions: All properties of the type.
    """

    parent_stream_type = ObjectStream

    def __init__(
        self,
        account: Account,
        object_type: ObjectType,
        pipeline: tuple[str, str],
        definitions: Sequence[Definition],
    ) -> None:
        self._names = pipeline
        self._calculated = tuple(d.name for d in definitions if OF_STAGES.fullmatch(d.name))
        self._disagreeing: list[str] = []
        self._disagreed = 0
        fields = {
            "entered_at": KEY_TIME,
            "pipeline": {**TEXT, "title": "The pipeline's id"},
            "stage": {**TEXT, "title": "The stage's id"},
            "left_at": {**TIME, "title": "When the next stay began; empty while it lasts"},
            "seconds": {"type": ["number", "null"], "title": "How long it lasted"},
            **BY,
            "disagreements": {
                "type": ["array", "null"],
                "items": {"type": "string"},
                "title": "What HubSpot says otherwise about the record's stages",
            },
        }
        super().__init__(account, f"{object_type.singular}_stages", object_type, fields)

    @property
    @override
    def reads(self) -> tuple[Sequence[str], Sequence[str]]:
        return self._names, self._calculated

    @override
    def records(
        self, found: CrmObject, history: History, since: datetime | None
    ) -> Iterator[dict[str, Any]]:
        own = tuple(found.properties.get(name) or "" for name in self._names)
        pair = (own[0], own[1])
        stays = until(history, self._names, pair, found.updated_at)
        faults = disagreements(history, self._names, stays, pair)
        if faults:
            self._disagreed += 1
            self._disagreeing = self._disagreeing or [found.id, *faults]
        cut = any(history.is_cut(name, since) for name in self._names)
        for place, stay in enumerate(stays):
            record = {
                **self.identity.fields,
                "record_id": found.id,
                "entered_at": utc(stay.version),
                "pipeline": stay.pipeline,
                "stage": stay.stage,
                "left_at": None if stay.left is None else utc(stay.left),
                "seconds": stay.seconds,
                **by(stay.version),
                "disagreements": faults if faults and place == len(stays) - 1 else None,
            }
            if cut and place == 0:
                record["gap_before"] = True
            yield record

    @override
    def tell(self) -> None:
        if self._disagreed:
            first, *faults = self._disagreeing
            self.logger.warning(
                "%s: HubSpot's histories do not agree with %d of its records (the first is %s: "
                "%s); `disagreements` lists them.",
                self.name,
                self._disagreed,
                first,
                "; ".join(faults),
            )
