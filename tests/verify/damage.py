"""What may happen to the rows of a mirror: each way changes one and says what is to be named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg2.extras import RealDictCursor
from psycopg2.sql import SQL, Identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from random import Random

    from .conftest import Named, World

TYPES = ("deals", "contacts")
LIVE = "archived IS NOT TRUE AND merged_into IS NULL AND removed_at IS NULL"
APART = {"_tenant_id", "id", "read_at", "associations", "custom_properties", "archived"}
"""Columns that are damaged in a way of their own, or say nothing of HubSpot."""

OTHERWISE = {
    "text": "coalesce({0}, '') || 'x'",
    "numeric": "coalesce({0}, 0) + 0.01",
    "bigint": "coalesce({0}, 0) + 1",
    "boolean": "NOT coalesce({0}, false)",
    "date": "coalesce({0}, date '2026-01-31') + 1",
    "timestamp with time zone": "coalesce({0}, '2026-01-31') + interval '1 ms'",
    "jsonb": "CASE WHEN jsonb_typeof({0}) = 'array' THEN {0} || '[\"x\"]' "
    'ELSE \'{{"damage": "x"}}\' END',
}
"""Another value of each type of column."""


class Damage:
    """Damages in one transaction, on a record each.

    Args:
        world: The mirror.
        rng: What follows from a seed.
        spared: Records that changed in HubSpot since the last run, by type and id.
    """

    def __init__(self, world: World, rng: Random, spared: Collection[tuple[str, str]] = ()) -> None:
        self.world = world
        self.rng = rng
        self.touched = set(spared)
        self.expected: set[Named] = set()
        self.type = "deals"

    def ask(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a query, or none."""
        with self.world.db.cursor(cursor_factory=RealDictCursor) as cur:
            cur.execute(query, values)
            return [dict(row) for row in cur.fetchall()] if cur.description else []

    def columns(self) -> dict[str, str]:
        """The types of the table's columns, by their names."""
        rows = self.ask(
            "SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
            "WHERE attnum > 0 AND NOT attisdropped AND attrelid = %s::regclass ORDER BY attnum",
            f"hubspot.{self.type}",
        )
        return {row["attname"]: row["type"] for row in rows}

    def record(self, condition: str = LIVE) -> str | None:
        """The id of a record that was not damaged yet."""
        for name in self.rng.sample(TYPES, len(TYPES)):
            self.type = name
            rows = self.ask(f"SELECT id FROM hubspot.{self.type} WHERE {condition} ORDER BY id")
            free = [row["id"] for row in rows if (self.type, row["id"]) not in self.touched]
            if free:
                chosen: str = self.rng.choice(free)
                self.touched.add((self.type, chosen))
                return chosen
        return None

    def link(self) -> dict[str, Any] | None:
        """A current link of a record that was not damaged yet."""
        rows = self.ask(
            "SELECT * FROM hubspot.current_associations "
            "ORDER BY from_object_type, from_id, to_object_type, to_id, type_id"
        )
        free = [r for r in rows if (r["from_object_type"], r["from_id"]) not in self.touched]
        chosen: dict[str, Any] = self.rng.choice(free)
        self.type = chosen["from_object_type"]
        self.touched.add((self.type, chosen["from_id"]))
        return chosen

    def name(self, kind: str, record_id: str, *properties: str) -> None:
        """Say what is to be named of a record."""
        self.expected.add((self.type, kind, record_id, properties))

    def name_link(self, kind: str, link: dict[str, Any]) -> None:
        """Say what is to be named of a link."""
        key = (link["to_object_type"], link["to_id"], link["category"], link["type_id"])
        pair = f"{link['from_object_type']}_{link['to_object_type']}"
        self.expected.add((pair, kind, link["from_id"], key))

    def set(self, record_id: str, column: str, value: str) -> None:
        """Give a column another value, by SQL."""
        with self.world.db.cursor() as cur:
            cur.execute(
                SQL("UPDATE hubspot.{} SET {} = {} WHERE id = %s").format(
                    Identifier(self.type), Identifier(column), SQL(value)
                ),
                (record_id,),
            )
            assert cur.rowcount == 1

    def change_link(self, link: dict[str, Any], change: str) -> None:
        """Carry out a statement on a link's row."""
        names = ("from_object_type", "from_id", "to_object_type", "to_id", "category", "type_id")
        where = " AND ".join(f"{name} = %s" for name in names)
        with self.world.db.cursor() as cur:
            cur.execute(f"{change} WHERE {where}", [link[name] for name in names])
            assert cur.rowcount == 1


def dropped(damage: Damage) -> None:
    if record_id := damage.record():
        damage.ask(f"DELETE FROM hubspot.{damage.type} WHERE id = %s", record_id)
        damage.name("missing", record_id)


def marker_dropped(damage: Damage) -> None:
    if record_id := damage.record("archived OR merged_into IS NOT NULL"):
        damage.ask(f"DELETE FROM hubspot.{damage.type} WHERE id = %s", record_id)
        damage.name("missing", record_id)


def doubled_under_another_id(damage: Damage) -> None:
    if record_id := damage.record():
        other = damage.rng.choice([str(10**12 + int(record_id)), f"copy-{record_id}"])
        columns = [name for name in damage.columns() if name != "id"]
        names = ", ".join(f'"{name}"' for name in columns)
        damage.ask(
            f"INSERT INTO hubspot.{damage.type} (id, {names}) "
            f"SELECT %s, {names} FROM hubspot.{damage.type} WHERE id = %s",
            other,
            record_id,
        )
        damage.touched.add((damage.type, other))
        damage.name("extra", other)


def altered(damage: Damage) -> None:
    if record_id := damage.record():
        columns = damage.columns()
        free = [c for c in columns if c not in APART and not c.startswith("_sdc_")]
        name = damage.rng.choice(sorted(free))
        damage.set(record_id, name, OTHERWISE[columns[name]].format(f'"{name}"'))
        damage.name("altered", record_id, name)


def emptied(damage: Damage) -> None:
    if record_id := damage.record(f"{LIVE} AND created_at IS NOT NULL"):
        name = damage.rng.choice(["created_at", "updated_at", "hs_object_id"])
        damage.set(record_id, name, "NULL")
        damage.name("altered", record_id, name)


def custom_altered(damage: Damage) -> None:
    if record_id := damage.record():
        name = f"custom_{damage.rng.randint(1, 9)}"
        value = f"custom_properties || jsonb_build_object('{name}', 'damage'::text)"
        damage.set(record_id, "custom_properties", value)
        damage.name("altered", record_id, name)


def made_stale(damage: Damage) -> None:
    old = f"{LIVE} AND updated_at < now() - interval '1 hour'"
    if record_id := damage.record(old):
        modified = "lastmodifieddate" if damage.type == "contacts" else "hs_lastmodifieddate"
        for name in ("updated_at", modified):
            damage.set(record_id, name, f"{name} - interval '1 day'")
        names = [n for n in damage.columns() if n in {"updated_at", modified}]
        damage.name("stale", record_id, *names)


def marked_as_archived(damage: Damage) -> None:
    if record_id := damage.record():
        damage.set(record_id, "archived", "true")
        damage.name("altered", record_id, "archived")


def marked_as_live(damage: Damage) -> None:
    if record_id := damage.record("archived AND merged_into IS NULL AND removed_at IS NULL"):
        damage.set(record_id, "archived", "false")
        damage.name("altered", record_id, "archived")


def archived_one_altered(damage: Damage) -> None:
    if record_id := damage.record("archived AND merged_into IS NULL AND removed_at IS NULL"):
        damage.set(record_id, "amount", "coalesce(amount, 0) + 1")
        damage.name("altered", record_id, "amount")


def unmerged(damage: Damage) -> None:
    if record_id := damage.record("merged_into IS NOT NULL"):
        damage.set(record_id, "merged_into", "NULL")
        damage.name("altered", record_id, "merged_into")


def brought_back(damage: Damage) -> None:
    if record_id := damage.record("removed_at IS NOT NULL"):
        damage.set(record_id, "removed_at", "NULL")
        damage.set(record_id, "_sdc_deleted_at", "NULL")
        damage.name("extra", record_id)


def links_of_a_record_altered(damage: Damage) -> None:
    if record_id := damage.record(f"{LIVE} AND associations->'companies'->0 IS NOT NULL"):
        damage.set(record_id, "associations", "associations #- '{companies,0}'")
        damage.name("altered", record_id, "associations")


def unlinked(damage: Damage) -> None:
    if link := damage.link():
        damage.change_link(link, "DELETE FROM hubspot.associations")
        damage.name_link("missing", link)


def link_taken_away(damage: Damage) -> None:
    if link := damage.link():
        column = damage.rng.choice(["removed_at", "_sdc_deleted_at"])
        damage.change_link(link, f"UPDATE hubspot.associations SET {column} = now()")
        damage.name_link("missing", link)


def link_relabelled(damage: Damage) -> None:
    if link := damage.link():
        damage.change_link(link, "UPDATE hubspot.associations SET label = 'damage'")
        damage.name_link("altered", link)


def link_moved(damage: Damage) -> None:
    if link := damage.link():
        moved = {**link, "to_id": str(10**12 + int(link["to_id"]))}
        damage.change_link(link, f"UPDATE hubspot.associations SET to_id = '{moved['to_id']}'")
        damage.name_link("missing", link)
        damage.name_link("extra", moved)


DAMAGES: list[Callable[[Damage], None]] = [
    dropped,
    marker_dropped,
    doubled_under_another_id,
    altered,
    emptied,
    custom_altered,
    made_stale,
    marked_as_archived,
    marked_as_live,
    archived_one_altered,
    unmerged,
    brought_back,
    links_of_a_record_altered,
    unlinked,
    link_taken_away,
    link_relabelled,
    link_moved,
]
