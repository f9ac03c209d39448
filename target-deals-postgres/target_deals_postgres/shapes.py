"""The shape of a stream: what its SCHEMA says, and what its records need besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from target_deals_postgres.errors import InputError
from target_deals_postgres.records.columns import (
    DELETED,
    SCOPE,
    VERSION,
    Field,
    Kind,
    fields_of,
    identifier,
)
from target_deals_postgres.records.values import storable
from target_deals_postgres.tables.sdc_columns import METADATA

if TYPE_CHECKING:
    from target_deals_postgres.config import Settings


@dataclass(eq=False)
class Shape:
    """What is known of a stream's records.

    Attributes:
        name: the stream's name, and its table's.
        schema: its JSON schema.
        keys: its key properties.
        settings: the run's settings.
        versioned: whether its messages carry a version.
        extra: whether its records have properties without a column.
        wider: integer properties with a value beyond bigint.
        marks: whether its records say that they are deleted, whatever its schema says.
    """

    name: str
    schema: dict[str, Any]
    keys: tuple[str, ...]
    settings: Settings
    versioned: bool = False
    extra: bool = False
    wider: frozenset[str] = frozenset()
    marks: bool = False

    def __post_init__(self) -> None:
        """Read the schema.

        Raises:
            InputError: it makes no table.
        """
        if not isinstance(self.schema.get("properties"), dict):
            raise InputError(f"the SCHEMA of stream {self.name} has no properties")
        self.keys = tuple(dict.fromkeys(self.keys))  # a tap may name one twice
        self.fields: list[Field] = fields_of(self.schema)
        names = {one.name for one in self.fields}
        for key in self.keys:
            if key not in names:
                raise InputError(
                    f"the key property {key} of stream {self.name} is not in its SCHEMA"
                )
        self.overwritten = self.settings.overwrites(self.name)

    @property
    def keyed(self) -> bool:
        """Whether a row is found again by its key."""
        return bool(self.keys) and self.settings.load_method == "upsert"

    @property
    def place(self) -> tuple[str, str]:
        """The schema of its table, and the name that the table has there, before it is made fit."""
        schema, _, table = self.name.partition("-")
        if self.settings.schema_from_stream_name and schema and table:
            return identifier(schema), table
        return self.settings.default_target_schema, self.name

    @property
    def comment(self) -> str:
        """The table's comment."""
        parts = [str(self.schema[key]) for key in ("title", "description") if self.schema.get(key)]
        return ": ".join(parts)

    @property
    def scope(self) -> list[str]:
        """The properties that say whose a row is."""
        return [name for name in SCOPE if any(one.name == name for one in self.fields)]

    @property
    def announced(self) -> set[tuple[str | None, ...]]:
        """Whose rows a full read is about, as the schema says, even if it brought none."""
        names = [f"x-{name.strip('_').replace('_', '-')}" for name in self.scope]
        if not names or not all(isinstance(self.schema.get(name), str) for name in names):
            return set()
        return {tuple(storable(self.schema[name], Kind.TEXT) for name in names)}

    @property
    def added(self) -> list[tuple[str, Kind]]:
        """The columns that the target fills itself."""
        names = {one.name for one in self.all_fields}
        if self.settings.add_record_metadata:
            # What overwrites is of no version: it would change each row.
            wanted = {
                name: kind
                for name, kind in METADATA.items()
                if not (self.overwritten and name == VERSION)
            }
        elif self.versioned:
            wanted = {VERSION: METADATA[VERSION], DELETED: METADATA[DELETED]}
        else:
            wanted = {}
        return [(name, kind) for name, kind in wanted.items() if name not in names - {VERSION}]

    @property
    def all_fields(self) -> list[Field]:
        """The declared properties, and the one that says what is deleted where records have it."""
        if self.marks and all(one.name != DELETED for one in self.fields):
            return [*self.fields, Field(DELETED, Kind.TIMESTAMP, frozenset({"string"}))]
        return self.fields
