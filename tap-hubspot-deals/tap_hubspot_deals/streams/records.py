"""From HubSpot's objects to Singer records: fields, types, the tenant, and what did not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hubspot_client.properties import Converter, Definition

    from tap_hubspot_deals.reading.links import Links
    from tap_hubspot_deals.reading.objects import CrmObject
    from tap_hubspot_deals.settings import Settings

TEXT = {"type": ["string", "null"]}
KEY_TEXT = {"type": "string"}
TIME = {"type": ["string", "null"], "format": "date-time"}


OBJECTS = {
    "properties": "HubSpot's own properties",
    "custom_properties": "The account's own properties",
}
"""Fields that hold properties which are no fields of their own."""


REMOVAL = {
    "removed_at": {**TIME, "title": "When it was seen that this is not there any more"},
    "_sdc_deleted_at": {**TIME, "title": "The same, as targets of the Singer SDK call it"},
}
PRESENT: dict[str, Any] = dict.fromkeys(REMOVAL)
"""What says that a record is there, also where it had been removed."""

AUTOMATIC = frozenset({"archived", "archived_at", "merged_into", "read_at", *REMOVAL})
"""Fields that go out whatever a catalog selects: without them a mirror would not be true."""


def removed(at: str) -> dict[str, Any]:
    """What says that a record is not there any more.

    Args:
        at: When that was seen, ISO 8601.
    """
    return dict.fromkeys(REMOVAL, at)


class Identity:
    """The fields that say whose record it is.

    Args:
        settings: Holds the tenant and, when set, the scan and the organization.
    """

    def __init__(self, settings: Settings) -> None:
        self.tenant_id = settings.tenant_id
        self.fields: dict[str, Any] = {"_tenant_id": settings.tenant_id}
        self.keys: tuple[str, ...] = ("_tenant_id",)
        if settings.scan_id:
            self.fields["_scan_id"] = settings.scan_id
            self.keys = ("_tenant_id", "_scan_id")
        if settings.organization_id:
            self.fields["_organization_id"] = settings.organization_id

    @property
    def annotations(self) -> dict[str, str]:
        """Tells a target, in the schema, whose rows the run may clear even where it sends none."""
        return {f"x-{n.strip('_').replace('_', '-')}": self.fields[n] for n in self.keys}

    def schema(self, properties: dict[str, Any]) -> dict[str, Any]:
        """A stream's schema, with the identity's fields in front of its own."""
        return {
            "type": "object",
            **self.annotations,
            "properties": {**dict.fromkeys(self.fields, KEY_TEXT), **properties},
        }


class RecordFields:
    """The fields of one object type's records, compiled from its property definitions.

    Args:
        definitions: The properties that the settings ask for.
        settings: Decide about custom properties and `raw`.
        identity: Whose records these are.
    """

    def __init__(
        self, definitions: Sequence[Definition], settings: Settings, identity: Identity
    ) -> None:
        self._identity = identity.fields
        # A snapshot is read once: nothing is taken away from it.
        self._mirrors = settings.scan_id is None
        self._include_raw = settings.include_raw
        self._nested = settings.nest_properties
        self.own = sorted(self._own_schema())
        own = {*self.own, *identity.fields}
        flat = settings.flatten_custom_properties
        in_record = [d for d in definitions if (d.is_of_every_account or flat) and not self._nested]
        self._fields = _field_names([d.name for d in in_record], own)
        self._definitions = {d.name: d for d in definitions}
        self.calculated = frozenset(d.name for d in definitions if d.calculated)
        self._unasked: tuple[str, ...] = ()
        self._cut_raw = False
        self.unparsed: dict[str, int] = {}
        self._compile(definitions)

    def _compile(self, definitions: Sequence[Definition]) -> None:
        self._expected = dict.fromkeys(d.name for d in definitions)
        self._custom = [n for n in self._expected if self._field_of(n) == "custom_properties"]
        self._renamed = {n: self._fields[n] for n in self._expected if self._fields.get(n, n) != n}
        self._converters: list[tuple[str, Converter]] = [
            (d.name, converter) for d in definitions if (converter := d.converter())
        ]

    def select(self, mask: Mapping[tuple[str, ...], bool], also: Iterable[str]) -> list[Definition]:
        """Make records of nothing but the selected fields.

        Args:
            mask: Whether a field is selected, by its breadcrumb in a catalog.
            also: Properties that come along but do not belong into records.

        Returns:
            The properties that the selected fields need, in the definitions' order.
        """
        chosen = [d for name, d in self._definitions.items() if mask[self._crumb(name)]]
        self._compile(chosen)
        self._cut_raw = len(chosen) < len(self._definitions)
        self._unasked = tuple(name for name in also if name not in self._expected)
        return chosen

    def _crumb(self, name: str) -> tuple[str, ...]:
        field, *inner = self.place_of(name)
        return ("properties", field, *(("properties", *inner) if inner else ()))

    @property
    def left_out(self) -> list[str]:
        """The properties that are deselected: rows keep what they had of them."""
        return [name for name in self._definitions if name not in self._expected]

    def place_of(self, name: str) -> tuple[str, ...]:
        """The field where a property's value stands, and its name there where that is an object."""
        return (self._field_of(name), *(() if name in self._fields else (name,)))

    def _field_of(self, name: str) -> str:
        """The field where a property's value stands, or the object that holds it."""
        if name in self._fields:
            return self._fields[name]
        if self._nested and self._definitions[name].hubspot_defined:
            return "properties"
        return "custom_properties"

    def schema(self) -> dict[str, Any]:
        """The JSON schema of the fields, the identity's left out."""
        own = self._own_schema()
        properties = {
            field: self._definitions[name].json_schema() for name, field in self._fields.items()
        }
        for field, title in OBJECTS.items():
            names = [n for n in self._definitions if self._field_of(n) == field]
            if names:
                own[field] = {
                    "type": ["object", "null"],
                    "title": title,
                    "properties": {n: self._definitions[n].json_schema() for n in names},
                }
        return {**own, **properties}

    def record(
        self, found: CrmObject, links: Links | None, read_at: str, raw: msgspec.Raw | None
    ) -> dict[str, Any]:
        """One record.

        Args:
            found: HubSpot's object. Its `properties` are taken apart and must not be used again.
            links: The complete current links by object type; None where they were not read.
            read_at: When deal and links were read.
            raw: The object's own JSON, with `include_raw`.
        """
        values: dict[str, Any] = found.properties
        for name in self._unasked:
            values.pop(name, None)
        if values.keys() != self._expected.keys():
            values = {name: values.get(name) for name in self._expected}
        unparsed = self._convert(values)
        custom = {name: values.pop(name) for name in self._custom}
        if self._nested:  # most properties are empty in most records
            custom = {n: value for n, value in custom.items() if value is not None}
            values = {"properties": {n: value for n, value in values.items() if value is not None}}
        if self._custom:
            values["custom_properties"] = custom
        for name, field in self._renamed.items():
            values[field] = values.pop(name)
        values.update(self._identity)
        values["id"] = found.id
        values["created_at"] = found.created_at
        values["updated_at"] = found.updated_at
        values["archived"] = found.archived
        values["archived_at"] = found.archived_at
        if not found.archived:
            # HubSpot may list merged records as archived; their marks must stay then.
            values["merged_into"] = None
        if self._mirrors:
            values |= PRESENT
        values["read_at"] = read_at
        values["unparsed_properties"] = unparsed
        if links is not None:
            values["associations"] = links
        if raw is not None:
            values["raw"] = self._selected_of(raw) if self._cut_raw else raw
        return values

    def _selected_of(self, raw: msgspec.Raw) -> dict[str, Any]:
        """HubSpot's own object without the properties that are deselected or were not asked for."""
        found: dict[str, Any] = msgspec.json.decode(raw)
        properties = found.get("properties") or {}
        found["properties"] = {n: v for n, v in properties.items() if n in self._expected}
        return found

    def tombstone(self, record_id: str, read_at: str) -> dict[str, Any]:
        """The record that says: this one is not there any more, or not asked for any more."""
        return {**self._identity, "id": record_id, "read_at": read_at, **removed(read_at)}

    def merged_marker(self, old_id: str, survivor: CrmObject, read_at: str) -> dict[str, Any]:
        """The record that says: this deal is gone, that one took its place."""
        return {
            **self._identity,
            "id": old_id,
            "updated_at": survivor.updated_at,
            "merged_into": survivor.id,
            "read_at": read_at,
            **(PRESENT if self._mirrors else {}),
        }

    def _convert(self, values: dict[str, Any]) -> dict[str, str] | None:
        """Type the values in place; texts that do not fit come back under their names."""
        unparsed: dict[str, str] | None = None
        for name, convert in self._converters:
            text = values[name]
            if not text:  # "" is how HubSpot writes a value that was cleared
                values[name] = None
                continue
            try:
                values[name] = convert(text)
            except ValueError:
                values[name] = None
                unparsed = unparsed or {}
                unparsed[name] = text
                self.unparsed[name] = self.unparsed.get(name, 0) + 1
        return unparsed

    def _own_schema(self) -> dict[str, Any]:
        """The fields that a record has besides its properties."""
        schema: dict[str, Any] = {
            "id": {**KEY_TEXT, "title": "Record ID"},
            "created_at": {**TIME, "title": "Created"},
            "updated_at": {**TIME, "title": "Last changed"},
            "archived": {"type": ["boolean", "null"], "title": "Archived"},
            "archived_at": {**TIME, "title": "Archived at"},
            "merged_into": {**TEXT, "title": "Merged into the record with this ID"},
            "read_at": {**TIME, "title": "When record and links were read"},
            **(REMOVAL if self._mirrors else {}),
            "unparsed_properties": {
                "type": ["object", "null"],
                "title": "Texts that do not fit their property's type",
                "additionalProperties": {"type": "string"},
            },
            "associations": {
                "type": ["object", "null"],
                "title": "Current links by object type",
                "additionalProperties": {"type": "array"},
            },
        }
        if self._include_raw:
            schema["raw"] = {"type": ["object", "null"], "title": "HubSpot's own object"}
        return schema


def _field_names(names: list[str], own: set[str]) -> dict[str, str]:
    """Each property's field: its own name, or one with a prefix where the record needs that name.

    Names that begin with `_` belong to tenants and targets. A prefixed name gives way to the
    property that really has it.
    """
    reserved = {*own, "custom_properties", *(n for n in names if n.startswith("_"))}
    fields = {name: name for name in names if name not in reserved}
    taken = reserved | set(fields)
    for name in names:
        if name in reserved:
            field = f"property_{name}"
            while field in taken:
                field = f"property_{field}"
            taken.add(field)
            fields[name] = field
    return {name: fields[name] for name in names}
