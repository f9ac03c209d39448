"""Property definitions: their shape on the wire and how a portal changes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hubspot_simulator.instants import iso

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFINED_MS = 1_577_836_800_000  # 2020-01-01, when this portal was set up
FIELD_TYPES = {
    "string": "text",
    "number": "number",
    "bool": "booleancheckbox",
    "date": "date",
    "datetime": "date",  # observed: datetime properties use fieldType "date"
    "enumeration": "select",
    "phone_number": "phonenumber",
    "json": "text",
    "object_coordinates": "text",
}


@dataclass(frozen=True)
class PropertyDefinition:
    """One property of one object type."""

    name: str
    type: str = "string"
    field_type: str = ""
    label: str = ""
    options: tuple[str, ...] = ()
    group: str = "information"
    hubspot_defined: bool = False
    calculated: bool = False
    read_only: bool = False
    external_options: bool = False
    referenced_object_type: str | None = None
    has_unique_value: bool = False
    data_sensitivity: str = "non_sensitive"
    archived_ms: int | None = None
    updated_ms: int = DEFINED_MS
    created_ms: int = DEFINED_MS

    @property
    def archived(self) -> bool:
        return self.archived_ms is not None

    @property
    def multiple(self) -> bool:
        return self.type == "enumeration" and self.field_type == "checkbox"

    def as_json(self, order: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "updatedAt": iso(self.updated_ms),
            "createdAt": iso(self.created_ms),
            "name": self.name,
            "label": self.label or self.name,
            "type": self.type,
            "fieldType": self.field_type or FIELD_TYPES[self.type],
            "description": "",
            "groupName": self.group,
            "options": [
                {"label": value.title(), "value": value, "displayOrder": place, "hidden": False}
                for place, value in enumerate(self.options)
            ],
            "displayOrder": order,
            "calculated": self.calculated,
            "externalOptions": self.external_options,
            "archived": self.archived,
            "hasUniqueValue": self.has_unique_value,
            "hidden": False,
            "hubspotDefined": self.hubspot_defined,
            "modificationMetadata": {
                "archivable": not self.hubspot_defined,
                "readOnlyDefinition": self.hubspot_defined,
                "readOnlyValue": self.read_only or self.calculated,
            },
            "formField": False,
            "dataSensitivity": self.data_sensitivity,
        }
        if self.referenced_object_type:
            body["referencedObjectType"] = self.referenced_object_type
        if self.archived_ms is not None:
            body["archivedAt"] = iso(self.archived_ms)
        return body


class Definitions:
    """The property definitions of one object type; `version` moves with every change."""

    def __init__(self, definitions: Iterable[PropertyDefinition]) -> None:
        self._by_name = {definition.name: definition for definition in definitions}
        self.version = 0

    def __contains__(self, name: str) -> bool:
        found = self._by_name.get(name)
        return found is not None and not found.archived

    def __getitem__(self, name: str) -> PropertyDefinition:
        return self._by_name[name]

    def get(self, name: str) -> PropertyDefinition | None:
        return self._by_name.get(name)

    def names(self) -> list[str]:
        return [definition.name for definition in self.all()]

    def all(self, *, archived: bool = False) -> list[PropertyDefinition]:
        return [each for each in self._by_name.values() if each.archived == archived]

    def put(self, definition: PropertyDefinition) -> None:
        self._by_name[definition.name] = definition
        self.version += 1

    def retype(self, name: str, new_type: str, *, field_type: str, at: int) -> None:
        self.put(replace(self._by_name[name], type=new_type, field_type=field_type, updated_ms=at))

    def archive(self, name: str, *, at: int) -> None:
        self.put(replace(self._by_name[name], archived_ms=at, updated_ms=at))
