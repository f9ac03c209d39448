"""SalesRabbit: leads, the history of their statuses, and users, over its REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from crm_taps import settings
from crm_taps.pace import Limit
from crm_taps.rest import body_of
from crm_taps.sources import salesrabbit_graphql as graphql
from crm_taps.sources.salesrabbit_lists import MorePages, SalesRabbitStream
from crm_taps.tap import SourceTap
from crm_taps.values import ARRAY, BOOLEAN, INTEGER, NUMBER, OBJECT, TEXT, TIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests
    from singer_sdk.pagination import BaseAPIPaginator

    from crm_taps.streams import Row


class Leads(SalesRabbitStream):
    """The leads; those that changed since the last run."""

    name = "leads"
    path = "/leads"
    since_header = "If-Modified-Since"
    replication_key = "read_at"
    columns: ClassVar = {
        "id": INTEGER,
        "read_at": TIME,
        "date_created": TIME,
        "date_modified": TIME,
        "status": TEXT,
        "status_modified": TIME,
        "owner_modified": TIME,
        "user_id": INTEGER,
        "user_name": TEXT,
        "campaign_id": INTEGER,
        "first_name": TEXT,
        "last_name": TEXT,
        "email": TEXT,
        "phone_primary": TEXT,
        "phone_alternate": TEXT,
        "street1": TEXT,
        "street2": TEXT,
        "city": TEXT,
        "state": TEXT,
        "zip": TEXT,
        "country": TEXT,
        "latitude": NUMBER,
        "longitude": NUMBER,
        "appointment": TIME,
        "notes": TEXT,
        "custom_fields": OBJECT,
        "integration_data": OBJECT,
    }


class LeadStatusHistories(SalesRabbitStream):
    """Each change of a lead's status. SalesRabbit sends them as an object by lead."""

    name = "lead_status_histories"
    path = "/leadStatusHistories"
    keys = ("lead_id", "status_updated", "name")
    since_header = "If-Status-Modified-Since"
    replication_key = "read_at"
    columns: ClassVar = {
        "lead_id": INTEGER,
        "status_updated": TIME,
        "name": TEXT,
        "read_at": TIME,
        "changed_by_user_id": INTEGER,
    }

    @override
    def read(self, context: Mapping[str, Any] | None) -> Iterable[Row]:
        """The changes since `start_date`; SalesRabbit sends the whole history of a lead."""
        for row in super().read(context):
            if not self.precedes(row.get("statusUpdated"), self.source_tap.start_date):
                yield row

    @override
    def rows_of(self, response: requests.Response) -> Iterable[Row]:
        """One row per change; an empty answer may be an empty list."""
        body = body_of(response, self)
        data = body.get("data") if isinstance(body, dict) else None
        if data == []:
            return []
        if not isinstance(data, dict) or not all(isinstance(each, list) for each in data.values()):
            raise self.inconsistent("has not the form that is known")
        return [{**row, "leadId": lead} for lead, rows in data.items() for row in rows]


class Users(SalesRabbitStream):
    """The users.

    Public clients disagree whether the first page is 0 or 1, and tell that each page has all users:
    so the first request names no page, and a run ends when two pages bring nobody new.
    """

    name = "users"
    path = "/users"
    columns: ClassVar = {
        "id": INTEGER,
        "email": TEXT,
        "first_name": TEXT,
        "last_name": TEXT,
        "full_name": TEXT,
        "phone": TEXT,
        "active": BOOLEAN,
        "role": TEXT,
        "team": TEXT,
        "team_id": INTEGER,
        "external_id": TEXT,
        "org_unit_ids": ARRAY,
    }

    @override
    def get_new_paginator(self) -> BaseAPIPaginator[int]:
        """Pages from 0, which is not named."""
        super().get_new_paginator()
        self._known: set[Any] = set()
        self._idle = 0
        return UserPages(self, 0)

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: Any
    ) -> dict[str, Any]:
        """A page, but for the first one."""
        return {"page": next_page_token} if next_page_token else {}

    @override
    def rows_of(self, response: requests.Response) -> Iterable[Row]:
        """Those who were not there before."""
        rows = [row for row in super().rows_of(response) if row.get("id") not in self._known]
        self._known |= {row.get("id") for row in rows}
        self._idle = 0 if rows else self._idle + 1
        return rows

    @property
    def exhausted(self) -> bool:
        """Whether two pages brought nobody new."""
        return self._idle > 1


class UserPages(MorePages):
    """The pages of users."""

    stream: Users

    @override
    def has_more(self, response: requests.Response) -> bool:
        """Whether another page is told, and may bring somebody."""
        told = (body_of(response, self.stream).get("meta") or {}).get("morePages")
        return bool(told) and not self.stream.exhausted


class TapSalesRabbit(SourceTap):
    """Singer tap for SalesRabbit."""

    name = "tap-salesrabbit"
    source = "SalesRabbit"
    limits = (Limit(50, 60),)
    stream_types = (Leads, LeadStatusHistories, Users)
    config_jsonschema: ClassVar[dict[str, Any]] = settings.schema(
        base_url="https://api.salesrabbit.com",
        required=("api_token",),
        own={
            "api_token": settings.secret("API token."),
            "api": {
                "type": "string",
                "enum": ["rest", "graphql"],
                "default": "rest",
                "description": "`rest`, or `graphql`: an address that one description names and no "
                "public client uses.",
            },
            "graphql_url": {
                "type": "string",
                "pattern": "^https?://[^/]",
                "default": "https://cloud.salesrabbit.com/graphql",
                "description": "Where GraphQL is asked.",
            },
        },
    )

    @override
    def discover_streams(self) -> list[Any]:
        """The streams of the API that the settings name."""
        if self.config["api"] == "graphql":
            return [graphql.Leads(self), graphql.Users(self)]
        return super().discover_streams()
