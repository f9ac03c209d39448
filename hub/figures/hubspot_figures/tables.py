"""The mirror's tables as the views need them: columns, property definitions, links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2.sql import SQL, Identifier, Literal

if TYPE_CHECKING:
    from psycopg2.extensions import cursor
    from psycopg2.sql import Composable

LINKS = "current_associations"
OBJECTS = ("custom_properties", "properties")
"""Columns that hold properties which have none of their own."""

TYPES = {"number": "numeric", "bool": "boolean", "date": "date", "datetime": "timestamptz"}
"""The types of values by HubSpot's of their property; all others are text."""

LONGEST = 63
"""Bytes of a name in PostgreSQL."""

Column = tuple[str, "Composable", str]
"""A column of a view: its name, what it is, and of which type."""


class Tables:
    """One tenant's tables in a schema.

    Args:
        cur: Looks at them.
        schema: Where they are.
        tenant: Whose rows.
    """

    def __init__(self, cur: cursor, schema: str, tenant: str) -> None:
        self._cur = cur
        self._schema = schema
        self.tenant = tenant
        cur.execute(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) "
            "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p', 'v') "
            "AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            (Identifier(schema).as_string(cur),),
        )
        self.columns: dict[str, dict[str, str]] = {}
        for table, column, kind in cur.fetchall():
            self.columns.setdefault(table, {})[column] = kind
        self._pairs = self._known_pairs()

    def __contains__(self, table: str) -> bool:
        return table in self.columns

    def rows(self, table: str) -> Composable:
        """`FROM` a table as `t`, the tenant's rows; conditions may follow."""
        return SQL("FROM {} t WHERE t._tenant_id = {}").format(
            Identifier(self._schema, table), Literal(self.tenant)
        )

    def value(self, table: str, name: str, kind: str = "text") -> Composable:
        """A property of a row as it stands in a column or in an object; NULL if it does in none."""
        columns = self.columns[table]
        if name in columns:
            column = SQL("t.{}").format(Identifier(name))
            if columns[name] != "jsonb":
                return column
            return SQL(
                "(SELECT string_agg(e, ';') FROM jsonb_array_elements_text("
                "CASE jsonb_typeof({0}) WHEN 'array' THEN {0} END) e)"
            ).format(column)
        objects = [each for each in OBJECTS if each in columns]
        if not objects:
            return SQL("NULL::{}").format(SQL(kind))
        found = [
            SQL(
                "CASE jsonb_typeof(t.{0} -> {1}) WHEN 'array' THEN (SELECT string_agg(e, ';') "
                "FROM jsonb_array_elements_text(t.{0} -> {1}) e) ELSE t.{0} ->> {1} END"
            ).format(Identifier(each), Literal(name))
            for each in objects
        ]
        return SQL("(coalesce({}))::{}").format(SQL(", ").join(found), SQL(kind))

    def properties(self, table: str, singular: str) -> list[Column]:
        """A column `property_<name>` for each property that the type has."""
        definitions = f"{singular}_properties"
        if definitions not in self:
            return []
        self._cur.execute(
            SQL("SELECT t.name, t.type {} AND t.removed_at IS NULL ORDER BY t.name").format(
                self.rows(definitions)
            )
        )
        found: dict[str, Column] = {}
        for name, kind in self._cur.fetchall():
            alias = f"property_{name}".lower()
            if len(alias.encode()) > LONGEST:
                continue
            own = self.columns[table].get(name)
            as_type = TYPES.get(kind, "text") if own is None else own
            as_type = "text" if as_type == "jsonb" else as_type
            found[alias] = (alias, self.value(table, name, as_type), as_type)
        return list(found.values())

    def links(self, from_type: str, to_type: str) -> Composable | None:
        """The current links of two types: from_id, to_id, category, type_id, read_at.

        They are taken the way they were read; None where they never were.
        """
        for start, end in ((from_type, to_type), (to_type, from_type)):
            if (start, end) not in self._pairs:
                continue
            ids = ("from_id", "to_id") if start == from_type else ("to_id", "from_id")
            chosen = SQL(
                "SELECT t.{} AS from_id, t.{} AS to_id, t.category, t.type_id, t.read_at"
            ).format(*map(Identifier, ids))
            pair = f"{start}_{end}"
            if pair in self:
                # Each pair has a table: a link is current when it was read with its record.
                return SQL(
                    "{} {} AND t.removed_at IS NULL AND EXISTS (SELECT FROM {} r WHERE "
                    "r._tenant_id = t._tenant_id AND r.id = t.from_id AND r.read_at = t.read_at)"
                ).format(chosen, self.rows(pair), Identifier(self._schema, start))
            return SQL("{} {} AND t.from_object_type = {} AND t.to_object_type = {}").format(
                chosen, self.rows(LINKS), Literal(start), Literal(end)
            )
        return None

    def _known_pairs(self) -> set[tuple[str, str]]:
        pairs = {
            (start, end)
            for start in self.columns
            for end in self.columns
            if {"from_id", "to_id"} <= self.columns.get(f"{start}_{end}", {}).keys()
        }
        if LINKS in self:
            self._cur.execute(
                SQL("SELECT DISTINCT t.from_object_type, t.to_object_type {}").format(
                    self.rows(LINKS)
                )
            )
            pairs.update(self._cur.fetchall())
        return pairs
