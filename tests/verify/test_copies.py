"""Copies of all settings, and of portals that change their ways, raise nothing."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from harness.database import drop_database, new_database
from harness.singer import select
from hubspot_simulator import Portal, Simulator
from tap_hubspot_deals.reading import holdings

from .conftest import World, load

if TYPE_CHECKING:
    from collections.abc import Iterator

COPIES: dict[str, dict[str, Any]] = {
    "archived": {"archived": True},
    "nested": {"nest_properties": True, "include_raw": True, "history": ["dealstage"]},
    "flat": {"flatten_custom_properties": True, "associations_per_pair": True},
    "filtered": {"pipeline": "default", "properties": ["dealname", "amount", "tier"]},
    "custom": {
        "objects": [
            {"name": "deals", "associations": ["zipcodes"]},
            {"name": "zipcodes", "associations": ["deals"]},
        ]
    },
}
"""Each is a tenant's, in tables that all share."""


@pytest.fixture(scope="module")
def copies(postgres_server: str) -> Iterator[dict[str, World]]:
    """Copies after two runs, between which the portal changed."""
    portal = Portal.generate(
        60, odd_values=True, archived=4, seed=9, custom_objects=["zipcodes"], counts={"zipcodes": 9}
    )
    portal.add_property("deals", "tier", "string")
    for deal, zipcode in zip(portal.ids("deals"), portal.ids("zipcodes"), strict=False):
        portal.link("deals", deal, "zipcodes", zipcode)
    url = new_database(postgres_server)
    with Simulator([portal]) as hubspot, closing(psycopg2.connect(url)) as db:
        found = {
            name: World(hubspot, url, db, settings, tenant=name)
            for name, settings in COPIES.items()
        }
        first = [copy.read() for copy in found.values()]
        change(portal)
        second = [copy.read() for copy in found.values()]
        load(url, b"".join([*first, *second]))
        yield found
    drop_database(postgres_server, url)


def change(portal: Portal) -> None:
    """What happens between two runs."""
    ids = portal.ids("deals")
    portal.merge("deals", ids[0], ids[1])
    portal.archive("deals", ids[2])
    portal.restore("deals", portal.ids("deals", archived=True)[0])
    portal.delete("deals", ids[3])
    portal.change("deals", ids[4], {"amount": "0.1000", "tier": "gold"})
    portal.change("deals", ids[5], {"pipeline": "74513908"})
    portal.retype_property("deals", "custom_1", "string")
    portal.add_property("deals", "later", "number")
    portal.change("deals", ids[6], {"later": "12.50"})


@pytest.mark.parametrize("name", COPIES)
def test_a_healthy_copy_of_any_settings_raises_nothing(copies: dict[str, World], name: str) -> None:
    copy = copies[name]
    assert copy.named() == set()
    before = copy.verify()
    assert all(each.digest_hubspot == each.digest_tables for each in before.values())

    with copy.db.cursor() as cur:  # and of a damaged one, what is damaged
        cur.execute(
            "UPDATE hubspot.deals SET created_at = now() WHERE (_tenant_id, id) IN "
            "(SELECT _tenant_id, min(id) FROM hubspot.deals WHERE _tenant_id = %s AND removed_at "
            "IS NULL AND merged_into IS NULL AND archived IS NOT TRUE GROUP BY 1) RETURNING id",
            (name,),
        )
        [(damaged,)] = cur.fetchall()
    assert copy.named() == {("deals", "altered", damaged, ("created_at",))}
    copy.db.rollback()


def test_a_property_that_came_since_the_last_run_is_no_difference(
    copies: dict[str, World],
) -> None:
    portal = copies["archived"].portal
    portal.add_property("deals", "latest", "number")
    portal.change("deals", portal.ids("deals")[7], {"latest": "1"}, touch=False)
    vars(copies["archived"]).pop("tap")

    assert copies["archived"].named() == set()
    copies["archived"].db.rollback()


@pytest.mark.parametrize("name", ["archived", "nested"])
def test_what_is_deselected_is_not_compared(copies: dict[str, World], name: str) -> None:
    copy = copies[name]
    copy.catalog = copy.tap.catalog_dict
    inside = "properties" if name == "nested" else ""
    for each in ("amount", "custom_properties.custom_2"):
        select(
            copy.catalog,
            "deals",
            f"{inside}.{each}".strip(".") if each == "amount" else each,
            selected=False,
        )
    vars(copy).pop("tap")
    found = copy.named()
    copy.db.rollback()
    copy.catalog = None
    vars(copy).pop("tap")

    assert found == set()


def test_links_that_are_too_many_for_the_state_are_judged_by_their_record(
    copies: dict[str, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copies["archived"]
    monkeypatch.setattr(holdings, "LINK_LIMIT", 3)
    copy.state["bookmarks"]["deals"]["partitions"][0].pop("full_read_at")
    copy.run()
    copy.portal.link(
        "deals", copy.portal.ids("deals")[9], "contacts", copy.portal.ids("contacts")[0]
    )
    with copy.db.cursor() as cur:
        cur.execute(
            "DELETE FROM hubspot.associations WHERE ctid IN (SELECT max(a.ctid) FROM "
            "hubspot.current_associations c JOIN hubspot.associations a USING (_tenant_id, "
            "from_object_type, from_id, to_object_type, to_id, category, type_id) "
            "WHERE _tenant_id = 'archived' AND to_object_type = 'companies') RETURNING from_id"
        )
        [(damaged,)] = cur.fetchall()
    found = copy.named()
    copy.db.rollback()

    assert {each[:3] for each in found} == {("deals_companies", "missing", damaged)}
