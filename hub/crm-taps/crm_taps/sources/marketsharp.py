"""MarketSharp: every entity of its read-only OData service, typed by the service's own metadata.

Facts are from MarketSharp's support pages (address, signature) and from OData 2, which the service
speaks: Atom XML, `$metadata`, `$filter`, `$orderby`, `$top`, `$skip`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Any, ClassVar
from xml.etree import ElementTree as ET

from singer_sdk.authenticators import APIAuthenticatorBase
from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from crm_taps import settings
from crm_taps.errors import RefusedError, SettingsError
from crm_taps.rest import RestStream
from crm_taps.tap import SourceTap
from crm_taps.values import BOOLEAN, INTEGER, NUMBER, TEXT, TIME, Column, snake_case

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import requests

    from crm_taps.streams import Row

PAGE_SIZE = 5000
CHANGED = "lastUpdate"
ATOM = "{http://www.w3.org/2005/Atom}"
DATA = "{http://schemas.microsoft.com/ado/2007/08/dataservices}"
META = "{http://schemas.microsoft.com/ado/2007/08/dataservices/metadata}"
TYPES = {
    **dict.fromkeys(("Edm.Byte", "Edm.SByte", "Edm.Int16", "Edm.Int32", "Edm.Int64"), INTEGER),
    **dict.fromkeys(("Edm.Decimal", "Edm.Double", "Edm.Single"), NUMBER),
    **dict.fromkeys(("Edm.DateTime", "Edm.DateTimeOffset"), TIME),
    "Edm.Boolean": BOOLEAN,
}
Place = tuple[str | None, int]
"""Where the next page begins: a time of change, and how many rows of it to pass over."""


class Signature(APIAuthenticatorBase):
    """`companyID:APIkey:epoch:hash`, made anew for each request.

    Args:
        config: The tap's settings.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self._names = config["company_id"], config["api_key"]
        try:
            self._secret = base64.b64decode(config["secret_key"], validate=True)
        except binascii.Error:
            raise SettingsError("The setting `secret_key` is no base64.") from None

    @override
    def authenticate_request(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign now: an old signature is refused."""
        signed = (*self._names, str(int(time.time())))
        mac = hmac.digest(self._secret, "".join(signed).encode(), hashlib.sha256)
        request.headers["Authorization"] = ":".join((*signed, base64.b64encode(mac).decode()))
        return request


class ODataStream(RestStream[Any]):
    """Something that the service answers in XML."""

    @property
    @override
    def authenticator(self) -> Signature:
        """The signature."""
        return Signature(self.config)

    def document(self, response: requests.Response, root: str) -> ET.Element:
        """The answer's XML.

        Raises:
            InconsistentError: It is none, or its root is another one.
        """
        try:
            # expat itself limits how far entities may grow
            parsed = ET.fromstring(response.content)  # noqa: S314
        except ET.ParseError:
            raise self.inconsistent("is no XML") from None
        if not parsed.tag.endswith(root):
            raise self.inconsistent(f"is no OData `{root}`")
        return parsed


class Metadata(ODataStream):
    """What the service has: one row per entity set, with its key and its properties' types."""

    name = "metadata"
    path = "/$metadata"
    columns: ClassVar = {"name": TEXT}
    keys = ("name",)

    @override
    def get_new_paginator(self) -> BaseAPIPaginator[Any] | None:
        """One page."""
        return None

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """The entity sets."""
        parsed = self.document(response, "Edmx")
        types = {
            each.get("Name"): each for each in parsed.iter() if each.tag.endswith("}EntityType")
        }
        for each in parsed.iter():
            if each.tag.endswith("}EntitySet"):
                type_name = (each.get("EntityType") or "").rpartition(".")[2]
                fields = [f for each in _with_bases(types, type_name) for f in each.iter()]
                yield {
                    "name": each.get("Name"),
                    "keys": [f.get("Name") for f in fields if f.tag.endswith("}PropertyRef")],
                    "types": {
                        f.get("Name"): f.get("Type") for f in fields if f.tag.endswith("}Property")
                    },
                }


def _with_bases(types: Mapping[str | None, ET.Element], name: str) -> Iterator[ET.Element]:
    """A type, and those that it is built on: a key may stand in any of them."""
    seen: set[str] = set()
    while name in types and name not in seen:
        seen.add(name)
        yield types[name]
        name = (types[name].get("BaseType") or "").rpartition(".")[2]


class Entity(ODataStream):
    """The rows of an entity set: by their time of change where they have one, else all.

    Args:
        tap: The tap.
        entity: What `Metadata` says about it.
    """

    lists_all = True

    def __init__(self, tap: SourceTap, entity: Row) -> None:
        self.entity = str(entity["name"])
        self.path = f"/{self.entity}"
        self._fields = {snake_case(name): name for name in entity["types"]}
        self._columns = {
            column: TYPES.get(entity["types"][name], TEXT) for column, name in self._fields.items()
        }
        self.keys = tuple(snake_case(key) for key in entity["keys"])  # type: ignore[misc]
        self._order = list(entity["keys"])
        super().__init__(tap, name=snake_case(self.entity))
        if entity["types"].get(CHANGED) in {"Edm.DateTime", "Edm.DateTimeOffset"}:
            self.replication_key = snake_case(CHANGED)
            self._order.insert(0, CHANGED)
        self._seen: set[tuple[Any, ...]] = set()

    @property
    @override
    def all_columns(self) -> Mapping[str, Column]:
        """As the metadata tells them."""
        return self._columns

    @override
    def field_of(self, name: str) -> str:  # type: ignore[override]
        """The property of a column."""
        return str(self._fields[name])

    @property
    @override
    def is_sorted(self) -> bool:
        """Whether the rows come by their time of change."""
        return self.replication_key is not None

    @override
    def get_new_paginator(self) -> BaseAPIPaginator[Any]:
        """Pages by the time of change: rows that are changed meanwhile do not shift the others."""
        self._seen = set()
        return Places(self)

    @override
    def get_url_params(
        self, context: Mapping[str, Any] | None, next_page_token: Any
    ) -> dict[str, Any]:
        """The rows from a place on."""
        changed, skip = next_page_token
        if changed is None and self.replication_key and (since := self.since(context)):
            changed = self.local(since)
        return {
            "$filter": changed and f"{CHANGED} ge datetime'{changed}'",
            "$orderby": ",".join(f"{name} asc" for name in self._order),
            "$top": PAGE_SIZE,
            "$skip": skip or None,
        }

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Row]:
        """The rows that no earlier page had."""
        return [row for row in self.rows_of(response) if self._is_new(row)]

    def rows_of(self, response: requests.Response) -> list[Row]:
        """All rows of a page; empty elements are empty texts, null ones null."""
        feed = self.document(response, "feed")
        return [
            {
                field.tag.removeprefix(DATA): None
                if field.get(f"{META}null") == "true"
                else field.text or ""
                for field in properties
            }
            for entry in feed.iter(f"{ATOM}entry")
            for properties in entry.iter(f"{META}properties")
        ]

    def _is_new(self, row: Row) -> bool:
        key = tuple(row.get(name) for name in self._order)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


class Places(BaseAPIPaginator[Place]):
    """Where the next page begins: at the last row's time of change, or so many rows later."""

    def __init__(self, stream: Entity) -> None:
        super().__init__((None, 0))
        self.stream = stream

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        """A page of known rows ends nothing: many rows may be changed at one time."""
        return self.has_more(response)

    @override
    def has_more(self, response: requests.Response) -> bool:
        """Whether there may be more: the service may send fewer rows than it was asked for."""
        return bool(self.stream.rows_of(response))

    @override
    def get_next(self, response: requests.Response) -> Place:
        """The next place."""
        rows = self.stream.rows_of(response)
        changed, skip = self.current_value
        last = rows[-1].get(CHANGED) if self.stream.replication_key else None
        if last is not None and last != changed:
            return last, 0
        return changed, skip + len(rows)


class TapMarketSharp(SourceTap):
    """Singer tap for MarketSharp."""

    name = "tap-marketsharp"
    source = "MarketSharp"
    config_jsonschema: ClassVar[dict[str, Any]] = settings.schema(
        base_url="https://api4.marketsharpm.com/WcfDataService.svc",
        required=("company_id", "api_key", "secret_key"),
        own={
            "company_id": {"type": "string", "minLength": 1, "description": "Company ID."},
            "api_key": settings.secret("API key."),
            "secret_key": settings.secret("Secret key, in base64."),
            "entities": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The entities to read, such as `Leads` and `Appointments`; by "
                "default all that the service has.",
            },
        },
    )

    @override
    def discover_streams(self) -> list[Any]:
        """A stream for each entity set.

        Raises:
            RefusedError: The settings name one that the service does not have.
        """
        found = {str(row["name"]): row for row in Metadata(self).request_records(None)}
        asked = self.config.get("entities") or list(found)
        if unknown := [name for name in asked if name not in found]:
            raise RefusedError(
                f"MarketSharp does not have all of the setting `entities`: {', '.join(unknown)}. "
                f"It has {', '.join(sorted(found))}."
            )
        return [Entity(self, found[name]) for name in asked]
