"""From a JSON schema to typed columns: which PostgreSQL type holds which property without loss."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

TENANT = "_tenant_id"
SCOPE = (TENANT, "_scan_id")  # whose a row is
VERSION = "_sdc_table_version"
DELETED = "_sdc_deleted_at"  # when the source deleted it
LONGEST_IDENTIFIER = 63  # bytes, PostgreSQL's NAMEDATALEN - 1
SYSTEM_COLUMNS = frozenset({"", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
# What the target keeps itself; the version that a source's own column tells is another one's.
OWN_NAMES = frozenset(
    {
        *("_extra", "_sdc_table_version"),
        *("_rejected_records", "_loads", "_latest_loads", "_versions"),
    }
)
# Schemas that PostgreSQL keeps for itself.
SYSTEM_SCHEMAS = ("pg_", "information_schema")
BIGINT_RANGE = (-(2**63), 2**63 - 1)
STRUCTURES = frozenset({"object", "array"})
EVERYTHING = frozenset({"string", "integer", "number", "boolean", "object", "array"})


class Kind(StrEnum):
    """The column types that the target makes; the values are PostgreSQL's own names."""

    BIGINT = "bigint"
    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp with time zone"
    TIME = "time without time zone"
    UUID = "uuid"
    TEXT = "text"
    JSONB = "jsonb"


FORMATS = {
    "date": Kind.DATE,
    "date-time": Kind.TIMESTAMP,
    "time": Kind.TIME,
    "uuid": Kind.UUID,
    "singer.decimal": Kind.NUMERIC,
    "x-singer.decimal": Kind.NUMERIC,
}

HOLDS = {
    Kind.BIGINT: {Kind.BIGINT},
    Kind.NUMERIC: {Kind.NUMERIC, Kind.BIGINT},
    Kind.TIMESTAMP: {Kind.TIMESTAMP, Kind.DATE},
    Kind.TEXT: set(Kind) - {Kind.JSONB},
    Kind.JSONB: set(Kind),
}

WIDENINGS = {
    # what a table may have -> what it becomes, when a property needs that: the conversion
    ("smallint", Kind.BIGINT): "{}::bigint",
    ("integer", Kind.BIGINT): "{}::bigint",
    ("smallint", Kind.NUMERIC): "{}::numeric",
    ("integer", Kind.NUMERIC): "{}::numeric",
    ("bigint", Kind.NUMERIC): "{}::numeric",
    ("real", Kind.NUMERIC): "{}::numeric",
    ("double precision", Kind.NUMERIC): "{}::numeric",
    ("date", Kind.TIMESTAMP): "{}::timestamp AT TIME ZONE 'UTC'",
    ("timestamp without time zone", Kind.TIMESTAMP): "{} AT TIME ZONE 'UTC'",
    ("character varying", Kind.TEXT): "{}::text",
    ("character", Kind.TEXT): "{}::text",
    ("json", Kind.JSONB): "{}::jsonb",
}


# Widenings left undone when a view is in the way: a value that is too big is refused, not bent.
AS_IS = {("smallint", Kind.BIGINT), ("integer", Kind.BIGINT), ("character varying", Kind.TEXT)}
# What a property that changed its type adds to the name of its new column.
VARIANTS = {
    Kind.BIGINT: "integer",
    Kind.NUMERIC: "number",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "timestamp",
    Kind.TIME: "time",
    Kind.UUID: "uuid",
    Kind.TEXT: "text",
    Kind.JSONB: "json",
}


@dataclass(frozen=True)
class Field:
    """What a stream's schema says about one property.

    Attributes:
        name: the property's name in records.
        kind: the column type that holds all its values.
        accepts: the JSON types that its schema allows, `null` aside.
        comment: its title and description, for people who read the table.
    """

    name: str
    kind: Kind
    accepts: frozenset[str]
    comment: str = ""


@dataclass(frozen=True)
class Column:
    """Where a property goes: the column's name and the type that the table has there."""

    field: Field
    name: str
    kind: Kind


@dataclass(frozen=True)
class Former:
    """A column that held a property in an earlier type, whichever: it is emptied by new values."""

    field: Field
    name: str
    kind: str


def fields_of(schema: dict[str, Any]) -> list[Field]:
    """Read the properties of a stream's JSON schema, in its order.

    Args:
        schema: the `schema` of a SCHEMA message.
    """
    return [_field(name, spec, schema) for name, spec in schema["properties"].items()]


def holds(kind: Kind, wanted: Kind) -> bool:
    """Whether a column of type `kind` stores every value of type `wanted` without loss."""
    return wanted in HOLDS.get(kind, {kind})


def conversions(there: str, wanted: Kind) -> dict[Kind, str]:
    """What a column may become so that it holds a type, best first, and by which SQL.

    Args:
        there: the type that it has.
        wanted: the type of a property.
    """
    if there.endswith("[]") and wanted is Kind.JSONB:
        return {Kind.JSONB: "to_jsonb({})"}
    found = {kind: sql for (have, kind), sql in WIDENINGS.items() if have == there}
    kinds = [one for one in (wanted, *found) if one in found and holds(one, wanted)]
    return {kind: found[kind] for kind in kinds}


def identifier(name: str, *, always_hash: bool = False) -> str:
    """The name that PostgreSQL can hold for a stream or property.

    Names that are too long, empty or taken by PostgreSQL or the target end with a hash of the full
    name, so that every run finds the same one and no two clash.
    """
    clean = name.encode("utf-8", "replace").replace(b"\0", b"?")
    fits = clean.decode() == name and len(clean) <= LONGEST_IDENTIFIER
    if fits and name not in SYSTEM_COLUMNS | OWN_NAMES and not always_hash:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return clean[: LONGEST_IDENTIFIER - 9].decode("utf-8", "ignore") + "_" + digest


def _field(name: str, spec: Any, root: dict[str, Any]) -> Field:
    variants = list(_variants(spec, root, depth=0))
    types = {type_ for variant in variants for type_ in _types(variant)} - {"null"}
    if not types or not types <= EVERYTHING or any(not _types(variant) for variant in variants):
        types = set(EVERYTHING)
    text = spec if isinstance(spec, dict) else {}
    parts = [str(text[key]).strip() for key in ("title", "description") if text.get(key)]
    return Field(name, _kind(types, variants), frozenset(types), ": ".join(dict.fromkeys(parts)))


def _kind(types: set[str], variants: list[dict[str, Any]]) -> Kind:
    if types & STRUCTURES:
        return Kind.JSONB
    if types == {"boolean"}:
        return Kind.BOOLEAN
    if types == {"integer"}:
        return Kind.BIGINT if all(map(_fits_bigint, variants)) else Kind.NUMERIC
    if types <= {"integer", "number"}:
        return Kind.NUMERIC
    if types == {"string"}:
        return _string_kind([one.get("format") for one in variants if "string" in _types(one)])
    return Kind.TEXT


def _fits_bigint(variant: dict[str, Any]) -> bool:
    names = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    bounds = [variant[name] for name in names if isinstance(variant.get(name), int | Decimal)]
    return all(BIGINT_RANGE[0] <= bound <= BIGINT_RANGE[1] for bound in bounds)


def _string_kind(formats: list[Any]) -> Kind:
    kinds = {FORMATS.get(str(format_), Kind.TEXT) for format_ in formats}
    if kinds == {Kind.DATE, Kind.TIMESTAMP}:
        return Kind.TIMESTAMP
    return kinds.pop() if len(kinds) == 1 else Kind.TEXT


def _variants(spec: Any, root: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    # The alternatives of a schema: each with its own types, format and bounds.
    if not isinstance(spec, dict) or depth > 10:  # noqa: PLR2004 - a schema that refers to itself
        yield {}
        return
    if isinstance(reference := spec.get("$ref"), str):
        target: Any = root
        for step in reference.removeprefix("#").strip("/").split("/"):
            target = target.get(step) if isinstance(target, dict) else None
        yield from _variants(target, root, depth + 1)
        return
    own = {key: value for key, value in spec.items() if key not in {"anyOf", "oneOf", "allOf"}}
    for part in _parts(spec, "allOf"):
        for variant in _variants(part, root, depth + 1):
            own = {**variant, **own}
    alternatives = [*_parts(spec, "anyOf"), *_parts(spec, "oneOf")]
    for alternative in alternatives:
        for variant in _variants(alternative, root, depth + 1):
            yield {**own, **variant}
    if not alternatives:
        yield own


def _parts(spec: dict[str, Any], name: str) -> list[Any]:
    # Some taps write null where there are none; what is no list says nothing about types.
    parts = spec.get(name)
    return parts if isinstance(parts, list) else [] if parts is None else [None]


def _types(variant: dict[str, Any]) -> list[str]:
    given = variant.get("type")
    if given is not None:
        listed = given if isinstance(given, list) else [given]
        return [name if isinstance(name, str) else "unknown" for name in listed]
    values = variant.get("enum")
    if values is None and "const" in variant:
        values = [variant["const"]]
    if isinstance(values, list):
        names = {
            str: "string",
            bool: "boolean",
            int: "integer",
            float: "number",
            type(None): "null",
        }
        return [names.get(type(value), "object") for value in values]
    return ["object"] if "properties" in variant else []
