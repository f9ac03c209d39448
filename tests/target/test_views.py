"""`current_associations`: the links that HubSpot has now, for people who do not know `read_at`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.database import connect

if TYPE_CHECKING:
    from target.conftest import Loader

pytestmark = pytest.mark.every_version
MOMENT = {"type": ["string", "null"], "format": "date-time"}
DEALS = {
    "_tenant_id": "string",
    "id": "string",
    "read_at": MOMENT,
    "archived": "boolean",
    "merged_into": "string",
}
LINKS = dict.fromkeys(
    ("_tenant_id", "from_object_type", "from_id", "to_object_type", "to_id"), "string"
) | {"type_id": "integer", "read_at": MOMENT}
LINK_KEYS = ["_tenant_id", "from_object_type", "from_id", "to_object_type", "to_id", "type_id"]
FIRST, SECOND = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def deal(id_: str, at: str = FIRST, **more: Any) -> dict[str, Any]:
    return {
        "_tenant_id": "a",
        "id": id_,
        "read_at": at,
        "archived": False,
        "merged_into": None,
        **more,
    }


def link(id_: str, to: str, at: str = FIRST, kind: str = "deals") -> dict[str, Any]:
    return {
        "_tenant_id": "a",
        "from_object_type": kind,
        "from_id": id_,
        "to_object_type": "contacts",
        "to_id": to,
        "type_id": 3,
        "read_at": at,
    }


def load(pg: Loader, deals: list[Any], links: list[Any], **more: Any) -> None:
    pg.load(
        pg.schema("associations", LINKS, LINK_KEYS),
        pg.schema("deals", {**DEALS, **more}, ["_tenant_id", "id"]),
        pg.records("deals", *deals),
        pg.records("associations", *links),
    )


def current(pg: Loader) -> list[Any]:
    return pg.rows("SELECT from_id, to_id FROM hubspot.current_associations ORDER BY 1, 2")


def test_a_link_is_current_while_its_deal_has_it(pg: Loader) -> None:
    load(
        pg,
        [deal("1"), deal("2"), deal("3", archived=True), deal("4", merged_into="1")],
        [
            link("1", "x"),
            link("1", "y"),
            link("2", "x"),
            link("3", "x"),
            link("4", "x"),
            link("9", "x"),
        ],
    )
    assert current(pg) == [("1", "x"), ("1", "y"), ("2", "x")]
    load(pg, [deal("1", SECOND), deal("2", SECOND)], [link("1", "y", SECOND)])
    assert current(pg) == [("1", "y")]
    assert pg.rows("SELECT count(*) FROM hubspot.associations") == [(6,)]


def test_deleted_deals_have_no_links(pg: Loader) -> None:
    load(pg, [deal("1"), deal("2")], [link("1", "x"), link("2", "x")])
    pg.load(
        pg.schema("deals", DEALS, ["_tenant_id", "id"]),
        pg.records("deals", deal("2"), version=1),
        pg.activate("deals", 1),
        pg.schema("associations", LINKS, LINK_KEYS),
    )
    assert current(pg) == [("2", "x")]


def test_other_object_types_join_when_they_come(pg: Loader) -> None:
    load(pg, [deal("1")], [link("1", "x"), link("7", "z", kind="companies")])
    assert current(pg) == [("1", "x")]
    pg.load(
        pg.schema(
            "companies",
            {"_tenant_id": "string", "id": "string", "read_at": MOMENT},
            ["_tenant_id", "id"],
        ),
        pg.records("companies", {"_tenant_id": "a", "id": "7", "read_at": FIRST}),
    )
    assert current(pg) == [("1", "x"), ("7", "z")]


def test_each_type_of_parent_says_which_of_its_links_are_current(pg: Loader) -> None:
    contacts = {name: DEALS[name] for name in ("_tenant_id", "id", "read_at", "archived")}

    def load_all(parents: dict[str, list[Any]], links: list[Any]) -> None:
        pg.load(
            pg.schema("associations", LINKS, LINK_KEYS),
            pg.schema("deals", DEALS, ["_tenant_id", "id"]),
            pg.schema("contacts", contacts, ["_tenant_id", "id"]),
            *(pg.records(name, *records) for name, records in parents.items()),
            pg.records("associations", *links),
        )

    def contact(id_: str, at: str = FIRST, **more: Any) -> dict[str, Any]:
        return {"_tenant_id": "a", "id": id_, "read_at": at, **more}

    both = [link(id_, "x", kind=kind) for kind in ("deals", "contacts") for id_ in "123"]
    load_all(
        {
            "deals": [deal(id_) for id_ in "123"] + [deal("1", _tenant_id="b")],
            "contacts": [contact(id_) for id_ in "123"],
        },
        [*both, {**both[0], "_tenant_id": "b", "to_id": "of b"}],
    )
    kinds = "SELECT _tenant_id, from_object_type, from_id FROM hubspot.current_associations"
    all_of_a = {("a", kind, id_) for kind in ("deals", "contacts") for id_ in "123"}
    assert set(pg.rows(kinds)) == all_of_a | {("b", "deals", "1")}

    # Deal 1 lost its link, contact 2 too; contact 3 was archived, and deal 3 changed and kept it.
    load_all(
        {
            "deals": [deal("1", SECOND), deal("3", SECOND)],
            "contacts": [contact("2", SECOND), contact("3", SECOND, archived=True)],
        },
        [link("3", "x", SECOND)],
    )
    assert set(pg.rows(kinds)) == {
        ("a", "deals", "2"),
        ("a", "deals", "3"),
        ("a", "contacts", "1"),
        ("b", "deals", "1"),
    }
    # It comes back from the recycle bin with the same link.
    load_all({"contacts": [contact("3", "2026-01-03T00:00:00Z", archived=False)]}, [])
    assert ("a", "contacts", "3") not in pg.rows(kinds)
    load_all({}, [link("3", "x", "2026-01-03T00:00:00Z", kind="contacts")])
    assert ("a", "contacts", "3") in pg.rows(kinds)


def test_the_view_and_its_grants_survive_changes_of_the_tables(pg: Loader) -> None:
    load(pg, [deal("1")], [link("1", "x")])
    pg.rows("GRANT SELECT ON hubspot.current_associations TO pg_monitor")
    load(pg, [deal("1")], [link("1", "x")], new="string")
    wider = {**LINKS, "label": "string", "type_id": {"type": ["number", "null"]}}
    pg.load(
        pg.schema("associations", wider, LINK_KEYS),
        pg.records("associations", link("1", "y") | {"label": "boss", "type_id": 4.5}),
    )
    assert pg.rows("SELECT to_id, label, type_id FROM hubspot.current_associations ORDER BY 1") == [
        ("x", None, 3),
        ("y", "boss", 4.5),
    ]
    assert pg.rows(
        "SELECT has_table_privilege('pg_monitor', 'hubspot.current_associations', 'SELECT')"
    ) == [(True,)]


def test_a_view_that_people_built_upon_it_is_left_alone(pg: Loader) -> None:
    load(pg, [deal("1")], [link("1", "x")])
    pg.rows("CREATE VIEW hubspot.mine AS SELECT to_id, type_id FROM hubspot.current_associations")
    wider = {**LINKS, "type_id": {"type": ["number", "null"]}}
    pg.load(
        pg.schema("associations", wider, [*LINK_KEYS[:-1]]),
        pg.records("associations", link("1", "x")),
    )
    assert pg.rows("SELECT to_id FROM hubspot.mine") == [("x",)]


def test_the_view_uses_the_rights_of_its_reader(pg: Loader) -> None:
    load(pg, [deal("1")], [link("1", "x")])
    assert pg.rows("SELECT reloptions FROM pg_class WHERE relname = 'current_associations'") == [
        (["security_invoker=true"],)
    ]


def test_links_are_found_from_their_other_end(pg: Loader) -> None:
    load(pg, [deal("1")], [link("1", "x")])
    [(definition,)] = pg.rows("SELECT indexdef FROM pg_indexes WHERE indexname = 'associations_to'")
    assert definition.endswith("(_tenant_id, to_object_type, to_id)")


def test_a_reader_of_the_view_blocks_no_run_and_no_other_reader(pg: Loader) -> None:
    load(pg, [deal("1")], [link("1", "x")])
    with connect(pg.url) as reader, reader.cursor() as cursor:
        reader.autocommit = False
        cursor.execute("SELECT count(*) FROM hubspot.current_associations")
        load(pg, [deal("1", SECOND)], [link("1", "y", SECOND)])  # without this it waits for good
        assert current(pg) == [("1", "y")]


def test_the_view_is_made_only_where_it_is_wanted(pg: Loader) -> None:
    messages = [
        pg.schema("associations", LINKS, LINK_KEYS),
        pg.schema("deals", DEALS, ["_tenant_id", "id"]),
    ]
    pg.load(*messages, current_associations=False)
    relations = "SELECT relname FROM pg_class WHERE relname IN ('current_associations', "
    relations += "'associations_to') ORDER BY 1"
    assert pg.rows(relations) == []
    pg.load(*messages)
    assert pg.rows(relations) == [("associations_to",), ("current_associations",)]
    wider = {**LINKS, "type_id": {"type": ["number", "null"]}}
    pg.load(pg.schema("associations", wider, LINK_KEYS[:-1]), current_associations=False)
    assert pg.types("associations")["type_id__number"] == "numeric"  # the view is not ours now
