"""LeadConduit: leads, which are the events of type `source`, by a cursor of ids.

Facts are from ActiveProspect's documentation (https://developers.activeprospect.com).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.authenticators import BasicAuthenticator
from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from crm_taps import settings
from crm_taps.errors import StateError
from crm_taps.pace import Limit
from crm_taps.rest import RestStream, body_of
from crm_taps.tap import SourceTap
from crm_taps.values import INTEGER, MILLISECONDS, OBJECT, TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests

    from crm_taps.streams import Row

PAGE_SIZE = 1000
EVENT_ID = re.compile(r"[0-9a-f]{24}")


class LastId(BaseAPIPaginator[str | None]):
    """Pages after the last id of the page before; the first empty one is the end."""

    def __init__(self, stream: Leads) -> None:
        super().__init__(None)
        self.stream = stream

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        """A page may have no event of the types that are asked for."""
        return bool(body_of(response, self.stream))

    @override
    def get_next(self, response: requests.Response) -> str | None:
        """The last id.

        Raises:
            InconsistentError: It is none, or does not come after the one before.
        """
        last = body_of(response, self.stream)[-1].get("id")
        if not isinstance(last, str) or not EVENT_ID.fullmatch(last):
            raise self.stream.inconsistent("ends with an event without an id")
        if last <= (self.current_value or ""):
            raise self.stream.inconsistent("does not ascend")
        return last


class Leads(RestStream[str | None]):
    """The events, the oldest first.

    An id begins with its time in seconds; some events are written a little after younger ones.
    """

    name = "leads"
    path = "/events"
    replication_key = "id"
    is_sorted = True
    columns: ClassVar = {
        "id": TEXT,
        "type": TEXT,
        "outcome": TEXT,
        "reason": TEXT,
        "lead_id": TEXT,
        "flow_id": TEXT,
        "flow_name": TEXT,
        "source_id": TEXT,
        "source_name": TEXT,
        "module_id": TEXT,
        "start_timestamp": MILLISECONDS,
        "end_timestamp": MILLISECONDS,
        "ms": INTEGER,
        "lead": OBJECT,
        "vars": OBJECT,
    }

    @property
    @override
    def authenticator(self) -> BasicAuthenticator:
        """The key is the password; the name is ignored."""
        return BasicAuthenticator(username="API", password=self.config["api_key"])

    @override
    def get_new_paginator(self) -> BaseAPIPaginator[str | None]:
        """By id."""
        return LastId(self)

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: Any
    ) -> dict[str, Any]:
        """Ascending, which is not the default, and after the last id that was read."""
        params = {"limit": PAGE_SIZE, "sort": "asc"}
        after = next_page_token or self._first_after(context)
        return params if after is None else {**params, "after_id": after}

    def _first_after(self, context: Mapping[str, Any] | None) -> str | None:
        """The id before the first one to read: of `lookback_minutes` before the bookmark."""
        seconds = []
        bookmark = self.get_context_state(context).get("replication_key_value")
        if bookmark is not None:
            if not EVENT_ID.fullmatch(str(bookmark)):
                raise StateError(f"The bookmark of {self.name} in the state is no event's id.")
            seconds.append(int(bookmark[:8], 16) - 60 * self.config["lookback_minutes"])
        if self.source_tap.start_date is not None:
            seconds.append(int(self.source_tap.start_date.timestamp()))
        # ids after this one alone come: the last that the second before may have
        return f"{max(1, *seconds) - 1:08x}" + 16 * "f" if seconds else None

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """The events of the types that are asked for; what is said of the lead is lifted."""
        types = self.config["event_types"]
        for row in super().parse_response(response):
            if types and row.get("type") not in types:
                continue
            rest = row.get("vars")
            if isinstance(rest, dict):
                lead = rest.pop("lead", None)
                row["lead"] = lead
                row["lead_id"] = lead.get("id") if isinstance(lead, dict) else None
                for name in ("flow", "source"):
                    each = rest.get(name)
                    if isinstance(each, dict):
                        row |= {f"{name}_id": each.get("id"), f"{name}_name": each.get("name")}
            yield row


class TapLeadConduit(SourceTap):
    """Singer tap for LeadConduit."""

    name = "tap-leadconduit"
    source = "LeadConduit"
    limits = (Limit(60, 60),)
    stream_types = (Leads,)
    config_jsonschema: ClassVar[dict[str, Any]] = settings.schema(
        base_url="https://app.leadconduit.com",
        required=("api_key",),
        own={
            "api_key": settings.secret("API key."),
            "event_types": {
                "type": "array",
                "items": {"type": "string"},
                "default": ["source"],
                "description": "The types of events to keep; `source` is a lead that came in. An "
                "empty list keeps all.",
            },
            "lookback_minutes": {
                "type": "integer",
                "minimum": 0,
                "default": 60,
                "description": "A later run reads again the events of so many minutes before the "
                "bookmark: some are written after younger ones.",
            },
        },
    )
