"""Arrivy: tasks in a rolling window, and the lists around them.

Facts are from Arrivy's API documentation; where it is silent, from public clients.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.pagination import PageNumberPaginator
from typing_extensions import override

from crm_taps import settings
from crm_taps.pace import Limit
from crm_taps.rest import RestStream, body_of
from crm_taps.tap import SourceTap
from crm_taps.values import ARRAY, BOOLEAN, INTEGER, NUMBER, OBJECT, TEXT, TIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests
    from singer_sdk.pagination import BaseAPIPaginator

    from crm_taps.streams import Row

PAGE_SIZE = 500


class ArrivyStream(RestStream[int]):
    """A list; the answer is a bare array, and the first page without anything new is the end.

    Some lists ignore the page that is asked for and always send everything.
    """

    @property
    @override
    def authenticator(self) -> APIKeyAuthenticator:
        """The token; the key is a header beside it."""
        return APIKeyAuthenticator(
            key="X-Auth-Token", value=self.config["auth_token"], location="header"
        )

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        """The key."""
        return {"X-Auth-Key": self.config["auth_key"]}

    @override
    def get_new_paginator(self) -> BaseAPIPaginator[int]:
        """Pages from 1 to the first empty one."""
        self._seen: set[Any] = set()
        return PageNumberPaginator(1)

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: Any
    ) -> dict[str, Any]:
        """A page of Arrivy's default size; `page_size`, which a known client sends, is ignored."""
        return {"page": next_page_token, "items_per_page": PAGE_SIZE}

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """The rows that no earlier page had."""
        rows = [row for row in super().parse_response(response) if row.get("id") not in self._seen]
        self._seen |= {row.get("id") for row in rows}
        return rows


class Tasks(ArrivyStream):
    """The tasks, those without a date apart: they come only when asked for."""

    name = "tasks"
    path = "/tasks"
    replication_key = "updated"
    columns: ClassVar = {
        "id": INTEGER,
        "updated": TIME,
        "created": TIME,
        "title": TEXT,
        "details": TEXT,
        "status": TEXT,
        "status_title": TEXT,
        "template_type": TEXT,
        "template": INTEGER,
        "start_datetime": TIME,
        "start_datetime_timezone": TEXT,
        "end_datetime": TIME,
        "end_datetime_timezone": TEXT,
        "due_datetime": TIME,
        "duration": INTEGER,
        "unscheduled": BOOLEAN,
        "all_day": BOOLEAN,
        "owner": INTEGER,
        "created_by": INTEGER,
        "updated_by": INTEGER,
        "external_id": TEXT,
        "group_id": INTEGER,
        "customer_id": INTEGER,
        "customer_name": TEXT,
        "customer_first_name": TEXT,
        "customer_last_name": TEXT,
        "customer_company_name": TEXT,
        "customer_email": TEXT,
        "customer_phone": TEXT,
        "customer_mobile_number": TEXT,
        "customer_address_line_1": TEXT,
        "customer_address_line_2": TEXT,
        "customer_city": TEXT,
        "customer_state": TEXT,
        "customer_zipcode": TEXT,
        "customer_country": TEXT,
        "customer_exact_location": OBJECT,
        "customer_notes": TEXT,
        "entity_ids": ARRAY,
        "resource_ids": ARRAY,
        "travel_time": NUMBER,
        "wait_time": NUMBER,
        "task_time": NUMBER,
        "total_time": NUMBER,
        "rating": NUMBER,
        "rating_text": TEXT,
        "extra_fields": OBJECT,
        "template_extra_fields": OBJECT,
    }

    @property
    def late_edits(self) -> timedelta:  # type: ignore[override]
        """The setting `window_days`."""
        return timedelta(days=self.config["window_days"])

    @property
    @override
    def partitions(self) -> list[dict[str, Any]] | None:
        """Tasks with a date, and those without."""
        tenant = self.source_tap.tenant_id
        return [{"_tenant_id": tenant, "unscheduled": each} for each in (False, True)]

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """The rows of a page; tasks are paged, so a full page of known ones is a fault."""
        rows = super().parse_response(response)
        if not rows and len(body_of(response, self)) >= PAGE_SIZE:
            raise self.inconsistent("is the same page again")
        return rows

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: Any
    ) -> dict[str, Any]:
        """From the window's begin on, future ones too."""
        params = super().get_url_params(context, next_page_token)
        if context is not None and context["unscheduled"]:
            return {**params, "unscheduled": "true"}
        since = self.since(context)
        return params if since is None else {**params, "from": since.isoformat(timespec="seconds")}


class Bookings(ArrivyStream):
    """The bookings, read whole: how they are filtered is not documented."""

    name = "bookings"
    path = "/bookings"
    columns: ClassVar = {
        "id": INTEGER,
        "title": TEXT,
        "status": TEXT,
        "created": TIME,
        "updated": TIME,
        "start_datetime": TIME,
        "end_datetime": TIME,
        "customer_id": INTEGER,
        "customer_name": TEXT,
        "external_id": TEXT,
        "task_ids": ARRAY,
        "extra_fields": OBJECT,
    }


class Entities(ArrivyStream):
    """The members of the crew."""

    name = "entities"
    path = "/entities"
    columns: ClassVar = {
        "id": INTEGER,
        "name": TEXT,
        "username": TEXT,
        "type": TEXT,
        "email": TEXT,
        "phone": TEXT,
        "external_id": TEXT,
        "group_id": INTEGER,
        "owner": INTEGER,
        "created": TIME,
        "updated": TIME,
        "details": TEXT,
        "skill_ids": ARRAY,
        "extra_fields": OBJECT,
    }


class Groups(ArrivyStream):
    """The groups of an organisation."""

    name = "groups"
    path = "/groups"
    columns: ClassVar = {
        "id": INTEGER,
        "name": TEXT,
        "description": TEXT,
        "email": TEXT,
        "phone": TEXT,
        "is_default": BOOLEAN,
        "is_disabled": BOOLEAN,
        "owner": INTEGER,
        "created": TIME,
        "updated": TIME,
        "extra_fields": OBJECT,
    }


class Statuses(ArrivyStream):
    """The statuses that tasks may have."""

    name = "statuses"
    path = "/statuses"
    columns: ClassVar = {
        "id": INTEGER,
        "title": TEXT,
        "type": TEXT,
        "color": TEXT,
        "is_active": BOOLEAN,
        "owner": INTEGER,
        "created": TIME,
        "updated": TIME,
        "extra_fields": OBJECT,
    }


class TapArrivy(SourceTap):
    """Singer tap for Arrivy."""

    name = "tap-arrivy"
    source = "Arrivy"
    limits = (Limit(30, 60),)
    stream_types = (Tasks, Bookings, Entities, Groups, Statuses)
    config_jsonschema: ClassVar[dict[str, Any]] = settings.schema(
        base_url="https://app.arrivy.com/api",
        required=("auth_key", "auth_token"),
        own={
            "auth_key": settings.secret("`X-Auth-Key` of the account."),
            "auth_token": settings.secret("`X-Auth-Token` of the account."),
            "window_days": {
                "type": "integer",
                "minimum": 0,
                "default": 30,
                "description": "A later run reads tasks again whose date is up to so many days "
                "before the bookmark.",
            },
        },
    )
