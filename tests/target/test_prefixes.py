"""Streams with a prefix: one schema per prefix, where that is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from target_deals_postgres.errors import DatabaseError, InputError

if TYPE_CHECKING:
    from target.conftest import Loader

PROPERTIES = {"id": "integer", "v": "string"}


def test_a_prefix_is_a_schema_where_that_is_set(pg: Loader) -> None:
    streams = ["public-users", "shop-order-lines", "plain", "-x", "y-"]
    messages = [
        [pg.schema(name, PROPERTIES, ["id"]), *pg.records(name, {"id": 1, "v": name}, version=1)]
        for name in streams
    ]
    pg.load(*messages, *(pg.activate(name, 1) for name in streams), schema_from_stream_name=True)
    places = ["public.users", 'shop."order-lines"', "hubspot.plain", 'hubspot."-x"', 'hubspot."y-"']
    for name, place in zip(streams, places, strict=True):
        assert pg.rows(f"SELECT v FROM {place}") == [(name,)]

    changed = pg.records("public-users", {"id": 1, "v": "new"}, {"id": None})
    pg.load(messages[0][0], changed, schema_from_stream_name=True, max_rejected_records=-1)
    assert pg.rows("SELECT v FROM public.users") == [("new",)]
    assert pg.rows("SELECT stream FROM hubspot._rejected_records") == [("public-users",)]
    assert pg.rows("SELECT DISTINCT stream FROM hubspot._loads WHERE stream = 'public-users'")

    pg.load(messages[0])
    assert pg.rows('SELECT v FROM hubspot."public-users"') == [("public-users",)]


def test_each_schema_has_its_view_of_links(pg: Loader) -> None:
    moment = {"type": "string", "format": "date-time"}
    link = dict.fromkeys(("from_object_type", "from_id", "to_object_type", "to_id"), "string")
    for prefix in ("one", "two"):
        pg.load(
            pg.schema(f"{prefix}-deals", {"id": "string", "read_at": moment}, ["id"]),
            pg.schema(f"{prefix}-associations", link | {"read_at": moment}, list(link)),
            schema_from_stream_name=True,
        )
        assert pg.rows(f"SELECT count(*) FROM {prefix}.current_associations") == [(0,)]


def test_two_streams_with_one_place_are_refused(pg: Loader) -> None:
    users, prefixed = (pg.schema(name, PROPERTIES, ["id"]) for name in ("users", "app-users"))
    with pytest.raises(InputError, match=r"users and app-users would share the table app\.users"):
        pg.load(users, prefixed, default_target_schema="app", schema_from_stream_name=True)


@pytest.mark.parametrize("prefix", ["pg_x", "pg_catalog", "information_schema"])
def test_a_prefix_that_can_be_no_schema_is_a_sentence(pg: Loader, prefix: str) -> None:
    with pytest.raises(DatabaseError, match=rf"{prefix} \(of stream {prefix}-users\) is none"):
        pg.load(pg.schema(f"{prefix}-users", PROPERTIES, ["id"]), schema_from_stream_name=True)
