"""SalesRabbit's lists: pages that tell whether more follow, and changes that a header asks for.

Facts are from public clients of https://api.salesrabbit.com; the vendor's documentation was not at
hand. What changed is asked for by a header, not by a field of the records: so a record has the time
at which it was read, and that is its bookmark.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.pagination import PageNumberPaginator
from typing_extensions import override

from crm_taps.rest import RestStream, body_of
from crm_taps.values import camel_case, utc_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests
    from singer_sdk.pagination import BaseAPIPaginator
    from singer_sdk.streams.rest import HTTPRequest, PageContext

    from crm_taps.streams import Row

PAGE_SIZE = 1000
NOT_MODIFIED = 304


class MorePages(PageNumberPaginator):
    """Pages by number, where the answer tells only whether there is another one."""

    def __init__(self, stream: SalesRabbitStream, start_value: int = 1) -> None:
        super().__init__(start_value)
        self.stream = stream

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        """An empty page ends nothing where another one is told."""
        return self.has_more(response)

    @override
    def has_more(self, response: requests.Response) -> bool:
        """Whether the answer tells another page; one without a body tells none."""
        if response.status_code == NOT_MODIFIED:
            return False
        more = (body_of(response, self.stream).get("meta") or {}).get("morePages")
        if not isinstance(more, bool):
            raise self.stream.inconsistent("does not tell `meta.morePages`")
        return more


class SalesRabbitStream(RestStream[int]):
    """A list, read whole or since the last run.

    Attributes:
        since_header: The header that asks for changes only; a bookmark needs it.
    """

    envelope = "data"
    since_header: ClassVar[str | None] = None
    late_edits = timedelta(minutes=15)
    field_of = staticmethod(camel_case)
    _read_at: str | None = None

    @property
    @override
    def authenticator(self) -> BearerTokenAuthenticator:
        """The API token."""
        return BearerTokenAuthenticator(token=self.config["api_token"])

    @override
    def get_new_paginator(self) -> BaseAPIPaginator[int]:
        """Pages from 1."""
        self._read_at = None
        return MorePages(self)

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: Any
    ) -> dict[str, Any]:
        """A page."""
        return {"perPage": PAGE_SIZE, "page": next_page_token}

    @override
    def get_http_request(self, *, page: PageContext[int]) -> HTTPRequest:
        """Ask for what changed since the bookmark, where there is one."""
        request = super().get_http_request(page=page)
        if self.since_header is not None:
            since = self.since(page.stream_context)
            if since is not None:
                request.headers[self.since_header] = since.isoformat(timespec="seconds")
        return request

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """The rows with the time at which the first page was read; none where nothing changed."""
        if self._read_at is None:
            self._read_at = utc_text(time_of(response))
        if response.status_code == NOT_MODIFIED:
            return []
        rows = self.rows_of(response)
        if self.since_header is None:
            return rows
        return [{**row, "readAt": self._read_at} for row in rows]

    def rows_of(self, response: requests.Response) -> Iterable[Row]:
        """The rows of a page."""
        return super().parse_response(response)


def time_of(response: requests.Response) -> datetime:
    """When the source says that it answered; its clock is the one that changes are told by."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)
