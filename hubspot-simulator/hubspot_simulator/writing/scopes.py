"""What a token must be allowed to write, by object type."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubspot_simulator.call import Call
    from hubspot_simulator.object_types import ObjectType
    from hubspot_simulator.records import Records


def write_scopes(object_type: ObjectType) -> tuple[str, ...]:
    """Name the scopes of which one is needed; `tickets` is one for reading and writing."""
    return tuple(each.replace(".read", ".write") for each in object_type.scopes)


def schema_write_scopes(object_type: ObjectType) -> tuple[str, ...]:
    if object_type.name == "tickets":
        return ("crm.schemas.tickets.write", "tickets")
    return (f"crm.schemas.{'custom' if object_type.custom else object_type.name}.write",)


def writable_type(call: Call, name: str = "object_type") -> ObjectType:
    """Give the path's type, if the token may write its records."""
    object_type = call.object_type(name)
    call.credential.require(write_scopes(object_type))
    return object_type


def writable(call: Call) -> Records:
    return call.portal.records(writable_type(call).name)
