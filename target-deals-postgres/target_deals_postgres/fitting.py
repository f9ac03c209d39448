"""How a stream's table is made to hold what is known of the stream."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from target_deals_postgres.errors import DatabaseRefusedError
from target_deals_postgres.records.columns import DELETED, TENANT, Field, Kind, identifier
from target_deals_postgres.tables import catalog, evolution, replacement, security, versions
from target_deals_postgres.tables.hubspot_links import CurrentLinks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg2.extensions import cursor

    from target_deals_postgres.shapes import Shape
    from target_deals_postgres.tables.catalog import Table
    from target_deals_postgres.tables.evolution import Places
    from target_deals_postgres.tables.replacement import Replacement

logger = logging.getLogger("target-deals-postgres")


class Fitted(NamedTuple):
    """A table that holds its stream.

    Attributes:
        places: where each property goes.
        waiting: what is to overwrite the table's rows at the end of the run.
        versions_kept: whether versions of unchanged rows are noted beside them.
    """

    places: Places
    waiting: Replacement | None
    versions_kept: bool


def fit(cur: cursor, shape: Shape, before: Replacement | None) -> Fitted:
    """Make a stream's table hold its records.

    Args:
        cur: inside the caller's transaction; no row of the stream waits.
        shape: of its records; takes the key of the table where its SCHEMA names none.
        before: what is to overwrite the table's rows already.

    Raises:
        DatabaseRefusedError: the table cannot be changed as needed.
    """
    schema, name = shape.place
    said_by = "default_target_schema" if name == shape.name else f"of stream {shape.name}"
    catalog.ensure_schema(cur, schema, said_by)
    links = None
    if shape.settings.current_associations:
        links = CurrentLinks(cur, schema, shape.settings.readers)
    visit = evolution.Evolution(cur, schema, name, step_aside=links.step_aside if links else None)
    if not shape.keys and visit.table.key and shape.settings.load_method == "upsert":
        shape.keys = _keys_of(shape, visit.table)
    if visit.table.key and shape.settings.load_method == "append-only":
        raise DatabaseRefusedError(
            f"load_method append-only needs a table without a primary key, but "
            f"{visit.table} has one"
        )
    is_new = not visit.table.exists
    places = visit.fit(
        [_marker(one, visit.table.types) for one in shape.all_fields],
        shape.keys,
        comment=shape.comment,
        added=shape.added,
        extra=shape.extra,
        keyed=shape.keyed,
        wider=shape.wider,
    )
    table = places.table
    if is_new:
        security.let_read(cur, table.schema, table.name, shape.settings.readers)
    kept = shape.versioned and versions.prepare(
        cur, schema, secured=shape.settings.row_level_security
    )
    if shape.settings.row_level_security and TENANT in table.types:
        security.protect(cur, schema, table.name)
    if links and table.owned:
        links.follow(table.name, table.types)
    waiting = replacement.prepare(cur, table, before) if shape.overwritten else None
    return Fitted(places, waiting, kept)


def _keys_of(shape: Shape, table: Table) -> tuple[str, ...]:
    # Rows without a key would meet the table's own key one by one.
    names = {identifier(one.name): one.name for one in shape.fields}
    if not names.keys() >= set(table.key):
        raise DatabaseRefusedError(
            f"the stream {shape.name} has no key properties any more, and {table} has the "
            f"primary key ({', '.join(table.key)}), which the stream's SCHEMA does not have: "
            "drop the key, or rename the table"
        )
    logger.warning(
        "%s: the SCHEMA has no key properties; the primary key of %s counts (%s)",
        shape.name,
        table,
        ", ".join(table.key),
    )
    return tuple(names[column] for column in table.key)


def _marker(one: Field, types: Mapping[str, str]) -> Field:
    # Whatever the schema calls it, and whichever target made it: one column says what is deleted.
    if one.name != DELETED:
        return one
    is_text = types.get(DELETED) in {"text", "character varying"}
    return replace(one, kind=Kind.TEXT if is_text else Kind.TIMESTAMP)
