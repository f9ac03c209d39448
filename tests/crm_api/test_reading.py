"""Lists: few calls, all records, and the same from HubSpot as from the tables of a run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from crm_api.crm.warehouse import Warehouse
from crm_api.db import PLACE
from crm_api.ledger.migrations import migrate
from crm_api.settings import Settings
from harness.crm_account import TENANT, filled, mirror
from hubspot_simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from crm_api.crm.listing import Page
    from harness.crm_api import Server, User


def pages(user: User, limit: int) -> list[dict[str, Any]]:
    """All contacts, page by page."""
    found: list[dict[str, Any]] = []
    query = f"limit={limit}"
    while query:
        data = user.get(f"/api/new-crm-objects?{query}").json()["data"]["data"]
        assert len(data["contacts"]) <= limit
        found += data["contacts"]
        query = f"limit={limit}&cursor={data['next_after']}" if data["next_after"] else ""
    return found


def flat(contact: dict[str, Any]) -> dict[str, Any]:
    """A contact with its deals and tickets by path, so that a difference is short to read."""
    found = {name: value for name, value in contact.items() if name != "deals"}
    for deal in contact["deals"]:
        found |= {f"{deal['id']}.{name}": value for name, value in deal.items()}
        for ticket in deal["tickets"]:
            path = f"{deal['id']}.{ticket['id']}"
            found |= {f"{path}.{name}": value for name, value in ticket.items()}
    return {**found, "deals": [deal["id"] for deal in contact["deals"]]}


def test_a_page_takes_as_few_calls_as_hubspots_batches_allow(
    serve: Callable[..., Server],
) -> None:
    with Simulator([filled(100, 300, 600)], latency_ms=0) as hubspot:
        user = serve(hubspot.url).join("zz@example.com")
        hubspot.requests.clear()
        (full, calls) = user.contacts("limit=100"), hubspot.requests.counts("endpoint")
        hubspot.requests.clear()
        user.contacts("limit=10")
        few = hubspot.requests.counts("endpoint")

    assert len(full) == 100
    assert sum(len(each["deals"]) for each in full) == 300
    assert sum(len(deal["tickets"]) for each in full for deal in each["deals"]) == 600
    # One call for each deal and ticket would be 901: HubSpot reads a hundred records a call.
    assert calls == {"list": 1, "batch_read": 3 + 6, "associations": 1}
    assert few == {"list": 1, "batch_read": 2, "associations": 1}


def test_a_contact_with_more_deals_than_a_list_names_has_them_all(
    serve: Callable[..., Server],
) -> None:
    portal = filled(1, 130, 5)
    portal.behaviour.association_page = 40
    with Simulator([portal], latency_ms=0) as hubspot:
        user = serve(hubspot.url).join("zz@example.com")
        first = user.contacts("limit=1")[0]

    assert [each["id"] for each in first["deals"]] == sorted(portal.ids("deals"), key=int)


def test_records_that_a_batch_passes_over_are_asked_for_again(
    serve: Callable[..., Server],
) -> None:
    portal = filled(3, 20, 0)
    with Simulator([portal], latency_ms=0) as hubspot:
        user = serve(hubspot.url).join("zz@example.com")
        portal.behaviour.batch_forgets_every = 7
        answer = user.get("/api/new-crm-objects")
        portal.behaviour.batch_forgets_every = 0
        again = user.contacts()

    assert answer.status_code in {200, 503}
    if answer.status_code == 200:
        assert answer.json()["data"]["data"]["contacts"] == again


def test_the_tables_of_a_run_give_the_same_as_hubspot_in_one_statement(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    portal = filled(23, 40, 60)
    ids = portal.ids("deals")
    portal.change("deals", ids[0], {"amount": "12.50", "closedate": "2025-12-31T00:00:00Z"})
    portal.change("deals", ids[1], {"amount": None, "dealname": "Müller \N{PARTY POPPER}"})
    portal.link("deals", ids[0], "contacts", portal.ids("contacts")[5], label=None)
    for kind in ("contacts", "deals", "tickets"):
        portal.archive(kind, portal.ids(kind)[7])
    with Simulator([portal], latency_ms=0) as hubspot:
        server = serve(hubspot.url, tenant_id=TENANT, warehouse_schema="hubspot")
        user = server.join("zz@example.com")
        server.settings["reads"] = "warehouse"
        server.start()
        missing = user.get("/api/new-crm-objects")
        mirror(server.database_url, hubspot, tmp_path)
        # Made after the run: only our own tables have them.
        deal_id = user.deal(amount="7.25")
        ticket_id = user.ticket(deal_id)
        late = server.join("later@example.com")

        tables = pages(user, 7)
        hubspot.requests.clear()
        answer = user.get("/api/new-crm-objects?limit=100")
        asked = hubspot.requests.count()
        server.processes[-1].terminate()
        server.settings["reads"] = "hubspot"
        server.start()
        live = pages(user, 7)

    assert missing.status_code == 503
    assert "meltano run hubspot-all" in missing.json()["error"]
    assert answer.headers["X-Data-As-Of"].endswith("Z")
    assert asked == 0
    own = {user.contact_id, late.contact_id}
    theirs = [each for each in live if each["id"] not in own]
    ours = [each for each in tables if each["id"] not in own]
    for each, other in zip(ours, theirs, strict=True):
        assert flat(each) == flat(other)
    shown = {each["id"]: each for each in tables}
    assert shown.keys() == {each["id"] for each in live}
    (deal,) = shown[user.contact_id]["deals"]
    assert (deal["id"], deal["amount"]) == (deal_id, "7.25")
    assert [each["id"] for each in deal["tickets"]] == [ticket_id]
    assert deal["tickets"][0]["category"] == "general_inquiry"


def test_a_page_from_the_tables_is_one_statement(database_url: str, tmp_path: Path) -> None:
    with Simulator([filled(10, 10, 10)], latency_ms=0) as hubspot:
        mirror(database_url, hubspot, tmp_path)
    settings = Settings.load(
        database_url=database_url, secret_keys="x", hubspot_access_token="x", tenant_id=TENANT
    )
    heard: list[str] = []

    async def read() -> Page:
        await migrate(settings.database_url)
        async with PLACE.pool(settings.database_url, size=1) as pool:
            async with pool.connection() as connection:
                # The server tells the client of every statement that it carries out.
                await connection.execute("set log_statement = 'all'")
                await connection.execute("set client_min_messages = 'log'")
                connection.add_notice_handler(lambda told: heard.append(told.message_primary or ""))
            heard.clear()
            found, _ = await Warehouse(settings, pool).read(limit=100, cursor=None, only=None)
            return found

    page = asyncio.run(read())

    statements = [each for each in heard if "contacts" in each or "select" in each.lower()]
    assert len(page.contacts) == 10
    assert len(statements) == 1, statements
