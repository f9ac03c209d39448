"""How a table follows its stream: made, extended and widened, with no value lost.

Every visit holds an advisory lock of the table, so that two targets may come at once.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from psycopg2 import errors
from psycopg2.sql import SQL, Identifier, Literal

from target_deals_postgres.errors import DatabaseRefusedError
from target_deals_postgres.records.columns import (
    AS_IS,
    VARIANTS,
    Column,
    Field,
    Former,
    Kind,
    conversions,
    holds,
    identifier,
)
from target_deals_postgres.records.rows import EXTRA
from target_deals_postgres.records.values import storable
from target_deals_postgres.tables.altering import alter, names_of, rekey
from target_deals_postgres.tables.catalog import describe, lock
from target_deals_postgres.tables.comments import comment_of, label, property_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg2.extensions import cursor
    from psycopg2.sql import Composable

    from target_deals_postgres.tables.catalog import Table

logger = logging.getLogger("target-deals-postgres")

MOST_COLUMNS = 1500  # PostgreSQL's limit is 1,600, dropped ones included; some stay for the target


@dataclass(frozen=True)
class Places:
    """Where the properties of a stream go in its table."""

    table: Table
    columns: tuple[Column, ...]
    cleared: tuple[Former, ...]
    extra: bool


class Evolution:
    """One visit to a table, inside one transaction: it ends with a place for every property."""

    def __init__(
        self,
        cur: cursor,
        schema: str,
        stream: str,
        *,
        step_aside: Callable[[], None] | None = None,
    ) -> None:
        """Lock the table against other targets and read it.

        Args:
            cur: inside the transaction of the visit.
            schema: the table's schema.
            stream: the stream's name.
            step_aside: drops views of ours, which may use a column that changes its type.
        """
        self._cur = cur
        self._step_aside = step_aside
        lock(cur, f"{schema}.{identifier(stream)}")
        self.table = describe(cur, schema, stream)
        self._pending: list[Composable] = []
        self._comments: list[Composable] = []
        self._own: set[str] = set()
        self._stored: dict[str, dict[str, None]] = {}  # the columns whose comments name a property
        for name, comment in self.table.comments.items():
            self._note(name, comment)

    def fit(
        self,
        fields: Sequence[Field],
        keys: Sequence[str],
        *,
        comment: str = "",
        added: Sequence[tuple[str, Kind]] = (),
        extra: bool = False,
        keyed: bool = True,
        wider: frozenset[str] = frozenset(),
    ) -> Places:
        """Make the table hold a stream.

        Args:
            fields: the stream's properties.
            keys: its key properties.
            comment: the table's comment.
            added: columns that the target fills itself.
            extra: whether the records need the column for properties without one.
            keyed: whether the key becomes the primary key.
            wider: integer properties that need `numeric`, because a value was too big.

        Raises:
            DatabaseRefusedError: the table cannot be changed as needed.
        """
        fields = [
            replace(one, kind=Kind.NUMERIC)
            if one.name in wider and one.kind is Kind.BIGINT  # it may be something else by now
            else one
            for one in fields
        ]
        # Names that the properties take themselves: no other property's variant may use them.
        self._own = {identifier(one.name) for one in fields}
        # Keys first: they must have columns of their own, whatever the limit leaves to others.
        ordered = sorted(fields, key=lambda one: one.name not in keys)
        places: dict[str, Column] = {}
        cleared: list[Former] = []
        for name, kind in added:
            self._ensure(name, kind, "")
        for one in ordered:
            if column := self._place(one, is_key=one.name in keys):
                places[one.name] = column
                cleared += self._others(column)
        left_out = [one.name for one in fields if one.name not in places]
        if extra or left_out or not fields:  # a row needs a column
            self._ensure(EXTRA.name, EXTRA.kind, "Properties that have no column of their own")
        if left_out:
            logger.warning(
                "%s: no column left for %d properties; they go to %s",
                self.table,
                len(left_out),
                EXTRA.name,
            )
        self._finish([places[key].name for key in keys] if keyed else [], comment)
        columns = tuple(places[one.name] for one in fields if one.name in places)
        return Places(self.table, columns, tuple(cleared), EXTRA.name in self.table.types)

    def _place(self, one: Field, *, is_key: bool) -> Column | None:
        name = self._name(one)
        there = self.table.types.get(name)
        if there is None:
            return self._new(one, name, one.kind, is_key=is_key)
        if name not in self.table.generated:
            if there in set(Kind) and holds(Kind(there), one.kind):
                if self._keeps(name, Kind(there), one.kind):
                    self._describe_column(one, name)
                    return Column(one, name, Kind(there))
            elif (kind := self._widened(one, name, there, is_key=is_key)) is not None:
                return Column(one, name, kind)
        if is_key:
            raise DatabaseRefusedError(
                f"the key column {name} of {self.table} has type {there} and cannot become "
                f"{one.kind}, because a view, rule or policy uses it: drop that first"
            )
        return self._variant(one, name, there)

    def _keeps(self, name: str, there: Kind, wanted: Kind) -> bool:
        # numeric(12,2) would round a number; an integer it stores or refuses.
        if name not in self.table.rounding or wanted is Kind.BIGINT:
            return True
        return self._retype(name, there, "{}")

    def _widened(self, one: Field, name: str, there: str, *, is_key: bool) -> Kind | None:
        # The type that the column has in the end; None when it cannot hold the property.
        found = conversions(there, one.kind)
        for kind, conversion in found.items():
            if self._retype(name, kind, conversion) or (there, kind) in AS_IS:
                return kind
        if is_key and not found:
            kind = Kind.JSONB if Kind.JSONB in {there, one.kind} else Kind.TEXT
            if self._retype(name, kind, "to_jsonb({})" if kind is Kind.JSONB else "{}::text"):
                return kind
        return None

    def _variant(self, one: Field, name: str, there: str) -> Column | None:
        for column in self._stored.get(label(one.name), ()):
            if column != name and self.table.types[column] == one.kind:
                return Column(one, column, one.kind)
        # A column without a comment of ours may be another property's, or someone's own.
        taken = self._own | self.table.types.keys()
        wished = f"{one.name}__{VARIANTS[one.kind]}"
        names = (wished if at == 1 else f"{wished}_{at}" for at in itertools.count(1))
        variant = next(free for one_name in names if (free := identifier(one_name)) not in taken)
        logger.warning(
            "%s.%s has type %s, which cannot hold the %s that the stream sends now: see %s",
            self.table,
            name,
            there,
            one.kind,
            variant,
        )
        return self._new(one, variant, one.kind, is_key=False)

    def _name(self, one: Field) -> str:
        name = identifier(one.name)
        said = property_in(self.table.comments.get(name, ""))
        if said not in {None, label(one.name)}:
            return identifier(one.name, always_hash=True)  # it is the variant of another property
        return name

    def _others(self, used: Column) -> list[Former]:
        # Columns that held the property in another type: a new value ends the old one there.
        names = {self._name(used.field): None, **self._stored.get(label(used.field.name), {})}
        return [
            Former(used.field, name, self.table.types[name])
            for name in names
            if name in self.table.types and name not in {used.name, *self.table.generated}
        ]

    def _new(self, one: Field, name: str, kind: Kind, *, is_key: bool) -> Column | None:
        if self.table.used >= MOST_COLUMNS and not is_key:
            return None
        self._ensure(name, kind, "")
        self._describe_column(one, name)
        return Column(one, name, kind)

    def _ensure(self, name: str, kind: Kind, comment: str) -> None:
        if name not in self.table.types:
            self.table.types[name] = kind
            self.table.used += 1
            self._pending.append(
                SQL("{}" if not self.table.exists else "ADD COLUMN IF NOT EXISTS {}").format(
                    SQL("{} {}").format(Identifier(name), SQL(kind))
                )
            )
            if comment:
                self._comment_column(name, comment)

    def _describe_column(self, one: Field, name: str) -> None:
        if comment := comment_of(one, name):
            self._comment_column(name, comment)

    def _comment_column(self, name: str, comment: str) -> None:
        if self.table.owned and self.table.comments.get(name, "") != comment:
            self.table.comments[name] = comment
            self._note(name, comment)
            self._comments.append(
                SQL("COMMENT ON COLUMN {}.{} IS {}").format(
                    self.table.sql, Identifier(name), Literal(comment)
                )
            )

    def _note(self, name: str, comment: str) -> None:
        if (said := property_in(comment)) is not None:
            self._stored.setdefault(said, {})[name] = None

    def _retype(self, name: str, kind: Kind, conversion: str) -> bool:
        # A view that uses the column is in the way. Ours is made again; with others we give way.
        statement = SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {} USING " + conversion).format(
            self.table.sql, Identifier(name), SQL(kind), Identifier(name)
        )
        self._cur.execute("SAVEPOINT retype")
        try:
            try:
                self._cur.execute(statement)
            except (errors.FeatureNotSupported, errors.DependentObjectsStillExist):
                self._cur.execute("ROLLBACK TO SAVEPOINT retype")
                if self._step_aside is None:
                    return False
                self._step_aside()
                self._cur.execute(statement)
        except (errors.FeatureNotSupported, errors.DependentObjectsStillExist):
            self._cur.execute("ROLLBACK TO SAVEPOINT retype")
            return False
        logger.info("%s.%s is %s now, was %s", self.table, name, kind, self.table.types[name])
        self.table.types[name] = kind
        return True

    def _finish(self, key: list[str], comment: str) -> None:
        table = self.table
        if not table.exists:
            parts = list(self._pending)
            if key:
                parts.append(SQL("PRIMARY KEY ({})").format(names_of(key)))
            self._cur.execute(SQL("CREATE TABLE {} ({})").format(table.sql, SQL(", ").join(parts)))
            table.exists = True
            table.key = tuple(key)
        else:
            alter(self._cur, table, self._pending)
            if key and set(key) != set(table.key):
                rekey(self._cur, table, key)
            loose = sorted(table.required - set(table.key))
            if loose:
                logger.warning("%s: NOT NULL goes from %s", table, ", ".join(loose))
            free = [SQL("ALTER COLUMN {} DROP NOT NULL").format(Identifier(n)) for n in loose]
            alter(self._cur, table, free)
        for statement in self._comments:
            self._cur.execute(statement)
        comment = storable(comment or f"Stream {table.stream}", Kind.TEXT)
        if table.owned and table.comment != comment:
            self._cur.execute(SQL("COMMENT ON TABLE {} IS {}").format(table.sql, Literal(comment)))
