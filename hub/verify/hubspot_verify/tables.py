"""What the tables of one tenant have: rows by id, their links, and which of them are current."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg2.sql import SQL, Composed, Identifier, Literal

from hubspot_verify.errors import TableError
from hubspot_verify.values import from_column, loads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from psycopg2.extensions import cursor

STORES = re.compile(r"\[property: (.*)\]$", re.DOTALL)
"""What the target writes into the comment of a column that has not its property's name."""

EXTRA = "_extra"
"""The target's column for properties that have none of their own."""

MARKS = ("archived", "merged_into", "removed_at", "_sdc_deleted_at")
"""Columns that say that a row is not a live record."""

AT_ONCE = 5000
"""Rows that a scan fetches together."""

Kinds = dict[str, str]
LinksOf = dict[str, dict[tuple[Any, ...], "LinkRow"]]


@dataclass
class Row:
    """One row.

    Args:
        values: Its fields, by the names that records have; those without a column are missing.
        marked: Whether it says that the record is archived, merged or gone.
        read_at: When it was read.
        copies: How many rows have its key.
    """

    values: dict[str, Any]
    marked: bool
    read_at: str | None
    copies: int = 1


@dataclass
class LinkRow:
    """One row of a link: its label, when it was read, and whether it says that it is gone."""

    label: str | None
    read_at: str | None
    removed: bool
    copies: int = 1


class Table:
    """One table, as far as one tenant's rows go.

    Args:
        cur: Of a session in UTC.
        schema: The table's schema.
        name: Its name.
        scope: Columns that say whose a row is, with their values.

    Raises:
        TableError: If it is not there.
    """

    def __init__(self, cur: cursor, schema: str, name: str, scope: Mapping[str, str]) -> None:
        self._cur = cur
        self.name = Identifier(schema, name)
        cur.execute(
            """
            SELECT a.attname, format_type(a.atttypid, a.atttypmod),
                coalesce(col_description(c.oid, a.attnum), '')
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE n.nspname = %s AND c.relname = %s ORDER BY a.attnum
            """,
            (schema, name),
        )
        found = cur.fetchall()
        self.types = {column: column_type for column, column_type, _ in found}
        if lacking := {*scope, "read_at"} - self.types.keys():
            what = f"has no column {min(lacking)}" if found else "is not there"
            raise TableError(
                f"The table {schema}.{name} {what}. Run tap and target first, or name the schema "
                "where their tables are (`default_target_schema` of the target's settings)."
            )
        self._places: dict[str, list[str]] = {}
        for column, _, comment in found:
            stored = STORES.search(comment)
            self._places.setdefault(stored[1] if stored else column, []).append(column)
        self._scope = SQL(" AND ").join(
            SQL("t.{} = {}").format(Identifier(column), Literal(value))
            for column, value in scope.items()
        )

    def rows(self, ids: Sequence[str], kinds: Kinds) -> dict[str, Row]:
        """Rows by id.

        Args:
            ids: The ids to look for.
            kinds: The fields to give, with what their values are.
        """
        marks = [mark for mark in MARKS if mark in self.types]
        columns = [c for name in kinds for c in self._places.get(name, ())]
        rest = EXTRA in self.types and any(name not in self._places for name in kinds)
        wanted = list(
            dict.fromkeys(["id", "read_at", *marks, *columns, *([EXTRA] if rest else [])])
        )
        self._cur.execute(
            SQL("SELECT {} FROM {} t WHERE {} AND t.id = ANY(%s)").format(
                SQL(", ").join(SQL("t.{}::text").format(Identifier(c)) for c in wanted),
                self.name,
                self._scope,
            ),
            (list(ids),),
        )
        found: dict[str, Row] = {}
        for told in self._cur.fetchall():
            row = dict(zip(wanted, told, strict=True))
            if row["id"] in found:
                found[row["id"]].copies += 1
                continue
            extra = loads(row[EXTRA]) if rest and row[EXTRA] else {}
            values = {
                name: self._value(row, name, kind, extra)
                for name, kind in kinds.items()
                if name in self._places or EXTRA in self.types
            }
            marked = any(row[mark] not in {None, "false"} for mark in marks)
            found[row["id"]] = Row(values, marked, row["read_at"])
        return found

    def _value(self, row: dict[str, Any], name: str, kind: str, extra: dict[str, Any]) -> Any:
        for column in self._places.get(name, ()):
            if row[column] is not None:  # a value stands in one of a property's columns
                return from_column(kind, row[column], self.types[column])
        return extra.get(name)

    def scan(self) -> Iterator[tuple[str, bool, bool, str | None]]:
        """All rows: id, whether archived, whether taken away, and what it was merged into."""
        told = {mark for mark in MARKS if mark in self.types}
        archived = SQL("coalesce(t.archived, false)" if "archived" in told else "false")
        gone = [SQL("t.{} IS NOT NULL").format(Identifier(m)) for m in MARKS[2:] if m in told]
        merged = SQL("t.merged_into" if "merged_into" in told else "NULL::text")
        yield from self._walk(
            SQL("SELECT t.id, {}, {}, {} FROM {} t WHERE {}").format(
                archived, SQL(" OR ").join(gone or [SQL("false")]), merged, self.name, self._scope
            )
        )

    def links(self, from_type: str, ids: Sequence[str]) -> LinksOf:
        """The links of some records, by id and `(to object type, to id, category, type id)`."""
        gone = [SQL("t.{} IS NOT NULL").format(Identifier(m)) for m in MARKS[2:] if m in self.types]
        self._cur.execute(
            SQL(
                "SELECT t.from_id, t.to_object_type, t.to_id, t.category, t.type_id, t.label, "
                "t.read_at::text, {} FROM {} t "
                "WHERE {} AND t.from_object_type = %s AND t.from_id = ANY(%s)"
            ).format(SQL(" OR ").join(gone or [SQL("false")]), self.name, self._scope),
            (from_type, list(ids)),
        )
        found: LinksOf = {}
        for from_id, to_type, to_id, category, type_id, label, read_at, removed in self._cur:
            of_record = found.setdefault(from_id, {})
            key = (to_type, to_id, category, int(type_id))
            if key in of_record:
                of_record[key].copies += 1
            else:
                of_record[key] = LinkRow(label, read_at, removed)
        return found

    def _walk(self, query: Composed) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, some thousand at a time."""
        cur = self._cur.connection.cursor()
        with cur:
            cur.execute(SQL("DECLARE verify_scan NO SCROLL CURSOR WITH HOLD FOR {}").format(query))
            rows = [()]
            while rows:
                cur.execute(SQL("FETCH {} FROM verify_scan").format(Literal(AT_ONCE)))
                rows = cur.fetchall()
                yield from rows
            cur.execute("CLOSE verify_scan")
