"""`meltano run` with the setting `history`, as docs/figures.md tells it, for two tenants."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

from harness.database import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.meltano import Project
    from hubspot_simulator import Portal, Simulator

HISTORY = {"TAP_HUBSPOT_DEALS_HISTORY": '["amount_in_home_currency", "hubspot_owner_id"]'}


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with connect(url) as db, db.cursor() as cur:
        cur.execute(query)
        return cur.fetchall()


def now(url: str, tenant: str) -> tuple[int, Decimal]:
    """How many deals there are now by the figures, and their amounts."""
    query = f"SELECT sum(deals), sum(amount) FROM hubspot.pipeline_on('{tenant}', now())"
    [(deals, amount)] = ask(url, query)
    return deals, amount


def truth(portal: Portal) -> tuple[int, Decimal]:
    live = portal.truth().live.values()
    amounts = [Decimal(deal.properties["amount_in_home_currency"] or 0) for deal in live]
    with localcontext(prec=500):  # some of HubSpot's numbers have fifty digits
        return len(live), sum(amounts, Decimal(0))


def test_figures_follow_the_runs_of_two_tenants(
    hubspot: Simulator, make_project: Callable[..., Project], database_url: str
) -> None:
    projects = {
        name: make_project(hubspot.portal(place), name, **HISTORY)
        for place, name in enumerate(("first", "second"))
    }
    for project in projects.values():
        run = project.run()
        assert run.code == 0, run.text
    subprocess.run(
        [sys.executable, "-m", "hubspot_figures.command", "install"],
        env={**os.environ, "DATABASE_URL": database_url},
        check=True,
    )
    portal = hubspot.portal()
    before = {name: now(database_url, name) for name in projects}
    deals = portal.ids()
    portal.change("deals", deals[0], {"amount_in_home_currency": "1000000.01"})
    portal.change("deals", deals[1], {"pipeline": "default", "dealstage": "closedwon"})
    portal.archive("deals", deals[2])
    portal.merge("deals", deals[3], deals[4])

    run = projects["first"].run(TAP_HUBSPOT_DEALS_LOOKBACK_MINUTES=1)

    assert run.code == 0, run.text
    assert now(database_url, "first") == truth(portal) != before["first"]
    assert now(database_url, "second") == truth(hubspot.portal(1)) == before["second"]
    for name in projects:
        assert ask(database_url, f"SELECT * FROM hubspot.stage_faults('{name}')") == []
