"""CallRail: calls, forms and text messages of all accounts that a key may read.

Facts are from CallRail's API documentation, version 3 (https://apidocs.callrail.com).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.authenticators import APIKeyAuthenticator
from typing_extensions import override

from crm_taps import settings
from crm_taps.errors import RefusedError
from crm_taps.pace import Limit
from crm_taps.rest import NextPages, Pages, RestStream, next_request
from crm_taps.sources.callrail_columns import (
    ACCOUNTS,
    CALLS,
    COMPANIES,
    FORM_SUBMISSIONS,
    OPTIONAL_OF_CALLS,
    TAGS,
    TEXT_MESSAGES,
    TRACKERS,
    USERS,
)
from crm_taps.sources.callrail_retention import first_kept
from crm_taps.tap import SourceTap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests
    from singer_sdk.pagination import BaseAPIPaginator
    from singer_sdk.streams.rest import HTTPRequest, PageContext

    from crm_taps.streams import Row

PAGE_SIZE = 250


class HeaderToken(APIKeyAuthenticator):
    """CallRail's own scheme; it refuses `Bearer`."""

    @override
    def authenticate_request(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header alone: the SDK would also write the address anew, and regroup it."""
        request.headers.update(self.auth_headers)
        return request


class CallRailStream(RestStream[Any]):
    """A list of an account."""

    keys: ClassVar[tuple[str, ...]] = ("account_id", "id")
    source_tap: TapCallRail

    @property
    @override
    def authenticator(self) -> HeaderToken:
        """The key."""
        token = f'Token token="{self.config["api_key"]}"'
        return HeaderToken(key="Authorization", value=token, location="header")

    @property
    @override
    def partitions(self) -> list[dict[str, Any]] | None:
        """One per account."""
        tenant = self.source_tap.tenant_id
        return [{"_tenant_id": tenant, "account_id": a["id"]} for a in self.source_tap.accounts]

    @override
    def get_new_paginator(self) -> BaseAPIPaginator[Any]:
        """Pages by number, from 1."""
        return Pages(self)

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: Any
    ) -> dict[str, Any]:
        """A page of the largest size."""
        return {"per_page": PAGE_SIZE, "page": next_page_token}


class Accounts(CallRailStream):
    """The accounts that the key may read, or those of them that the settings name."""

    name = "accounts"
    path = "/a.json"
    envelope = "accounts"
    keys = ("id",)
    columns: ClassVar = ACCOUNTS

    @property
    @override
    def partitions(self) -> list[dict[str, Any]] | None:
        """One for all."""
        return [{"_tenant_id": self.source_tap.tenant_id}]

    @override
    def read(self, context: Mapping[str, Any] | None) -> Iterable[Row]:
        """Asked once, for all streams."""
        return [dict(account) for account in self.source_tap.accounts]


class DatedStream(CallRailStream):
    """A list that is read by date.

    Without a date CallRail answers with the last seven days only, and a date further back than its
    retention is an error. It reads dates in the account's time zone: so the day before is asked
    for, and what is too early is left out here. It cannot be asked for changes: later edits (notes,
    tags, lead status) are seen in the days that are read again.
    """

    @property
    def late_edits(self) -> timedelta:  # type: ignore[override]
        """The setting `lookback_days`."""
        return timedelta(days=self.config["lookback_days"])

    def first_day(self, context: Mapping[str, Any] | None) -> date:
        """The first day to ask for."""
        kept = first_kept(datetime.now(UTC))
        since = self.since(context)
        return kept if since is None else max(kept, since.date() - timedelta(days=1))

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: Any
    ) -> dict[str, Any]:
        """From the first day on."""
        params = super().get_url_params(context, next_page_token)
        return {**params, "start_date": self.first_day(context).isoformat()}

    @override
    def read(self, context: Mapping[str, Any] | None) -> Iterable[Row]:
        """The rows since the very moment that is asked for."""
        since = self.since(context)
        for row in super().read(context):
            if not self.precedes(row.get(self.replication_key or ""), since):
                yield row


class Calls(DatedStream):
    """The calls, the oldest first, by relative paging: pages do not shift under new calls."""

    name = "calls"
    path = "/a/{account_id}/calls.json"
    envelope = "calls"
    replication_key = "start_time"
    is_sorted = True
    columns: ClassVar = CALLS

    @override
    def get_new_paginator(self) -> BaseAPIPaginator[Any]:
        """The next page's address, as CallRail gives it."""
        return NextPages(self)

    @override
    def get_http_request(self, *, page: PageContext[Any]) -> HTTPRequest:
        """The first request; the others are CallRail's, to the letter."""
        return next_request(page, self.http_headers) or super().get_http_request(page=page)

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: Any
    ) -> dict[str, Any]:
        """All fields, the oldest first."""
        return {
            "relative_pagination": "true",
            "per_page": PAGE_SIZE,
            "start_date": self.first_day(context).isoformat(),
            "sort": "start_time",
            "order": "asc",
            "fields": OPTIONAL_OF_CALLS,
        }


class FormSubmissions(DatedStream):
    """What people wrote into forms."""

    name = "form_submissions"
    path = "/a/{account_id}/form_submissions.json"
    envelope = "form_submissions"
    replication_key = "submitted_at"
    columns: ClassVar = FORM_SUBMISSIONS


class TextMessages(DatedStream):
    """The conversations by text message, each with its latest messages."""

    name = "text_messages"
    path = "/a/{account_id}/text-messages.json"
    envelope = "conversations"
    replication_key = "last_message_at"
    columns: ClassVar = TEXT_MESSAGES


class Companies(CallRailStream):
    """The companies of an account."""

    name = "companies"
    path = "/a/{account_id}/companies.json"
    envelope = "companies"
    columns: ClassVar = COMPANIES


class Trackers(CallRailStream):
    """The tracking numbers of an account."""

    name = "trackers"
    path = "/a/{account_id}/trackers.json"
    envelope = "trackers"
    columns: ClassVar = TRACKERS


class Users(CallRailStream):
    """The people who use an account."""

    name = "users"
    path = "/a/{account_id}/users.json"
    envelope = "users"
    columns: ClassVar = USERS


class Tags(CallRailStream):
    """The tags that calls may have."""

    name = "tags"
    path = "/a/{account_id}/tags.json"
    envelope = "tags"
    columns: ClassVar = TAGS


class TapCallRail(SourceTap):
    """Singer tap for CallRail."""

    name = "tap-callrail"
    source = "CallRail"
    limits = (Limit(1000, 3600), Limit(10_000, 86_400))
    stream_types = (
        Accounts,
        Calls,
        Companies,
        FormSubmissions,
        Tags,
        TextMessages,
        Trackers,
        Users,
    )
    config_jsonschema: ClassVar[dict[str, Any]] = settings.schema(
        base_url="https://api.callrail.com/v3",
        required=("api_key",),
        own={
            "api_key": settings.secret("API key, version 3."),
            "account_ids": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The accounts to read (`ACC...`); by default all that the key sees.",
            },
            "lookback_days": {
                "type": "integer",
                "minimum": 0,
                "default": 30,
                "description": "Days before the bookmark that are read again: notes, tags and lead "
                "status are edited later, and CallRail cannot be asked for changes.",
            },
        },
    )

    @cached_property
    def accounts(self) -> list[Row]:
        """The accounts to read, as CallRail sends them.

        Raises:
            RefusedError: The settings name one that the key does not see.
        """
        found = {str(row.get("id")): row for row in Accounts(self).request_records(None)}
        asked = self.config.get("account_ids") or list(found)
        if unseen := [name for name in asked if name not in found]:
            raise RefusedError(
                f"The key does not see all of the setting `account_ids`: {', '.join(unseen)}."
            )
        return [found[name] for name in asked]
