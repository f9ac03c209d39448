"""One request as the endpoints see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from hubspot_simulator.errors import ApiError, invalid

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

    from hubspot_simulator.credentials import Credential
    from hubspot_simulator.object_types import ObjectType
    from hubspot_simulator.portal import Portal
    from hubspot_simulator.records import Records


@dataclass
class Call:
    """A request with its portal; `version` is v1, v3, v4 or a date like 2026-09."""

    portal: Portal
    credential: Credential
    version: str
    path: dict[str, Any]
    query: QueryParams
    raw_body: bytes = b""
    base_url: str = ""
    summary: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def body(self) -> dict[str, Any]:
        try:
            body = msgspec.json.decode(self.raw_body)
        except msgspec.DecodeError as error:
            raise invalid(f"Invalid input JSON: {error}") from None
        if not isinstance(body, dict):
            raise invalid("Invalid input JSON on line 1, column 1: expected an object")
        return body

    @cached_property
    def array(self) -> list[Any]:
        """Read a body that is an array."""
        try:
            return msgspec.json.decode(self.raw_body, type=list[Any])
        except msgspec.DecodeError as error:
            raise invalid(f"Invalid input JSON: {error}") from None

    @property
    def is_dated(self) -> bool:
        return not self.version.startswith("v")

    def object_type(self, name: str = "object_type") -> ObjectType:
        return self.portal.types.resolve(self.path[name])

    def readable(self, name: str = "object_type") -> Records:
        """Give the records of the path's type, if the token may read them."""
        object_type = self.object_type(name)
        self.credential.require(object_type.scopes)
        return self.portal.records(object_type.name)

    def require_sensitive(self, records: Records, names: list[str]) -> None:
        """Refuse sensitive properties without their scope (HubSpot docs: sensitive data)."""
        for name in names:
            definition = records.definitions.get(name)
            kind = "non_sensitive" if definition is None else definition.data_sensitivity
            if kind != "non_sensitive":
                self.credential.require((f"crm.objects.{records.type.name}.{kind}.read.v2",))

    def flag(self, name: str) -> bool:
        return self.query.get(name, "false").lower() == "true"

    def words(self, name: str) -> list[str]:
        """Read a list given comma-joined or repeated; both are accepted (HubSpot docs)."""
        joined = ",".join(self.query.getlist(name))
        return [word for word in (each.strip() for each in joined.split(",")) if word]

    def number(self, name: str, default: int) -> int:
        text = self.query.get(name)
        if text is None:
            return default
        if not text.lstrip("-").isdecimal():
            raise ApiError(400, f'"{text}" is not a valid {name}', category="VALIDATION_ERROR")
        return int(text)


def encode(body: Any) -> bytes:
    return msgspec.json.encode(body)
