"""SalesRabbit by GraphQL, as one description of a hub has it: two queries, leads by a cursor.

No public client is known to use this address, and nothing else is documented of it; what is known
of SalesRabbit is its REST API, in `salesrabbit`. Leads cannot be asked for by time: all are read,
and what is too early is left out here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from crm_taps.errors import RefusedError, UnauthorizedError
from crm_taps.rest import RestStream, body_of
from crm_taps.values import BOOLEAN, NUMBER, OBJECT, TEXT, TIME, camel_case

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests

    from crm_taps.streams import Row

PAGE_SIZE = 100
UNAUTHORIZED = {"UNAUTHENTICATED", "UNAUTHORIZED"}


class Cursors(BaseAPIPaginator[str | None]):
    """Pages after the cursor that the page before ended with."""

    def __init__(self, stream: Query) -> None:
        super().__init__(None)
        self.stream = stream
        self._seen: set[str] = set()

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        """An empty page ends nothing where another one is told."""
        return self.has_more(response)

    @override
    def has_more(self, response: requests.Response) -> bool:
        """Whether the answer tells another page."""
        return bool(self.stream.part(response, "pageInfo", dict).get("hasNextPage"))

    @override
    def get_next(self, response: requests.Response) -> str | None:
        """The cursor.

        Raises:
            InconsistentError: There is none, or it was there before.
        """
        cursor = self.stream.part(response, "pageInfo", dict).get("endCursor")
        if not isinstance(cursor, str) or cursor in self._seen:
            raise self.stream.inconsistent("does not lead to a new page, though it tells one")
        self._seen.add(cursor)
        return cursor


class Query(RestStream[str | None]):
    """What a GraphQL query answers.

    Attributes:
        query: The query.
    """

    path = ""
    http_method = "POST"
    query: ClassVar[str]
    field_of = staticmethod(camel_case)

    @property
    @override
    def url_base(self) -> str:
        """Where GraphQL is asked."""
        return str(self.config["graphql_url"])

    @property
    @override
    def authenticator(self) -> BearerTokenAuthenticator:
        """The API token."""
        return BearerTokenAuthenticator(token=self.config["api_token"])

    @override
    def get_new_paginator(self) -> BaseAPIPaginator[Any] | None:
        """One page."""
        return None

    @override
    def prepare_request_payload(
        self, context: Mapping[str, Any] | None, next_page_token: Any
    ) -> dict[str, Any]:
        """The query with its variables."""
        variables = (
            {"cursor": next_page_token, "limit": PAGE_SIZE} if "$cursor" in self.query else {}
        )
        return {"query": self.query, "variables": variables}

    @override
    def validate_response(self, response: requests.Response) -> None:
        """Errors of GraphQL come with status 200; an answer with some is no good one.

        Raises:
            SourceError: The query was refused.
        """
        super().validate_response(response)
        body = body_of(response, self)
        errors = body.get("errors") if isinstance(body, dict) else None
        if errors:
            first = errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else {}
            code = (first.get("extensions") or {}).get("code")
            kind = UnauthorizedError if code in UNAUTHORIZED else RefusedError
            raise kind(f"SalesRabbit refused {self.name}: {first.get('message') or 'no reason'}.")

    def part(self, response: requests.Response, name: str | None, kind: type) -> Any:
        """What the answer has under the stream's name, or a part of it.

        Raises:
            InconsistentError: It has none of this kind.
        """
        body = body_of(response, self)
        data = body.get("data") if isinstance(body, dict) else None
        found = data.get(self.name) if isinstance(data, dict) else None
        if name is not None:
            found = found.get(name) if isinstance(found, dict) else None
        if not isinstance(found, kind):
            raise self.inconsistent("has not the form that was asked for")
        return found

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """The rows."""
        rows = self.part(response, None, list)
        if not all(isinstance(row, dict) for row in rows):
            raise self.inconsistent("has not the form that was asked for")
        return list(rows)


class Leads(Query):
    """The leads, by cursor."""

    name = "leads"
    replication_key = "last_modified"
    lists_all = True
    late_edits = timedelta(minutes=15)
    query = """query GetLeads($cursor: String, $limit: Int) {
  leads(after: $cursor, first: $limit) {
    edges {
      node {
        id leadHash dispositionId prospectName prospectPhone prospectEmail prospectAddress
        latitude longitude createdBy createdAt lastModified customFields
      }
      cursor
    }
    pageInfo { hasNextPage endCursor }
  }
}"""
    columns: ClassVar = {
        "id": TEXT,
        "lead_hash": TEXT,
        "disposition_id": TEXT,
        "prospect_name": TEXT,
        "prospect_phone": TEXT,
        "prospect_email": TEXT,
        "prospect_address": TEXT,
        "latitude": NUMBER,
        "longitude": NUMBER,
        "created_by": TEXT,
        "created_at": TIME,
        "last_modified": TIME,
        "custom_fields": OBJECT,
    }

    @override
    def get_new_paginator(self) -> BaseAPIPaginator[Any]:
        """By cursor."""
        return Cursors(self)

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """The nodes."""
        nodes = [
            edge.get("node") if isinstance(edge, dict) else None
            for edge in self.part(response, "edges", list)
        ]
        if not all(isinstance(node, dict) for node in nodes):
            raise self.inconsistent("has an edge without a node")
        return [node for node in nodes if node is not None]

    @override
    def read(self, context: Mapping[str, Any] | None) -> Iterable[Row]:
        """Those that changed since the moment that is asked for."""
        since = self.since(context)
        for row in super().read(context):
            if not self.precedes(row.get("lastModified"), since):
                yield row


class Users(Query):
    """The users, all in one answer."""

    name = "users"
    query = """query GetUsers {
  users { id email firstName lastName phone active teamId }
}"""
    columns: ClassVar = {
        "id": TEXT,
        "email": TEXT,
        "first_name": TEXT,
        "last_name": TEXT,
        "phone": TEXT,
        "active": BOOLEAN,
        "team_id": TEXT,
    }
