"""`meltano run` mirrors a portal: first all of it, then what changed, tenant by tenant."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
from harness.comparison import differences, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.meltano import Project
    from hubspot_simulator import Portal, Simulator

REFRESH = {"TAP_HUBSPOT_DEALS_ASSOCIATION_REFRESH_HOURS": 0}


def write_everything(portal: Portal) -> None:
    """One of each change that people make, on deals of a generated portal."""
    ids = portal.ids("deals")
    contacts = portal.ids("contacts")
    portal.create("deals", {"dealname": "Fresh \N{PARTY POPPER}", "amount": "0.10"})
    portal.change("deals", ids[0], {"amount": "12345678901234567890.123456789"})
    portal.change("deals", ids[1], {"dealname": "tab\there, line\nbreak, back\\slash, \\N"})
    portal.archive("deals", ids[2])
    survivor = portal.merge("deals", ids[3], ids[4])
    portal.merge("deals", survivor, ids[5])
    portal.link("deals", ids[6], "contacts", contacts[-1])
    portal.change("deals", ids[6], {"dealname": "linked"})


def test_runs_mirror_everything_and_then_only_what_changed(
    hubspot: Simulator, make_project: Callable[..., Project], database_url: str
) -> None:
    project, portal = make_project(hubspot.portal(), "first"), hubspot.portal()
    run = project.run()
    assert run.code == 0, run.text
    assert differences(database_url, portal, tenant="first") == []
    [summary] = [line["summary"] for line in run.log if "summary" in line]
    assert summary["records"]["deals"] == len(portal.ids())
    assert summary["not_compared"] == {}

    before = snapshot(database_url)
    run = project.run()
    assert run.code == 0, run.text
    assert run.counted("deals") == 0
    assert snapshot(database_url) == before

    portal.change("deals", portal.ids("deals")[7], {"amount": "7"})
    run = project.run()
    assert run.code == 0, run.text
    assert run.counted("deals") == 1
    assert differences(database_url, portal, tenant="first") == []

    portal.behaviour.batch_resolves_merged = True
    write_everything(portal)
    run = project.run(TAP_HUBSPOT_DEALS_LOOKBACK_MINUTES=1)
    assert run.code == 0, run.text
    assert differences(database_url, portal, tenant="first") == []


def test_two_tenants_share_tables_and_a_refresh_of_one_leaves_the_other_alone(
    hubspot: Simulator, make_project: Callable[..., Project], database_url: str
) -> None:
    projects = [
        make_project(portal, tenant)
        for portal, tenant in zip(hubspot.portals, ("first", "second"), strict=True)
    ]
    for project in projects:
        run = project.run()
        assert run.code == 0, run.text
    types = [
        {d.name: d.type for d in p.records("deals").definitions.all() if not d.hubspot_defined}
        for p in hubspot.portals
    ]
    assert any(types[0][name] != types[1].get(name) for name in types[0])
    for portal, tenant in zip(hubspot.portals, ("first", "second"), strict=True):
        assert differences(database_url, portal, tenant=tenant) == []

    # Links and deletions that touched no deal.
    portal = hubspot.portal()
    ids, companies = portal.ids("deals"), portal.ids("companies")
    link = next(iter(portal.true_links("deals", "contacts")))
    portal.unlink("deals", link.from_id, "contacts", link.to_id)
    portal.link("deals", ids[10], "companies", companies[-1])
    portal.delete("deals", ids[11])
    portal.archive("deals", ids[12])
    portal.restore("deals", ids[12])
    run = projects[0].run(**REFRESH)
    assert run.code == 0, run.text
    for one, tenant in zip(hubspot.portals, ("first", "second"), strict=True):
        assert differences(database_url, one, tenant=tenant) == []


def snapshot(url: str) -> list[dict[str, Any]]:
    """All deals with the transaction that wrote them."""
    with closing(psycopg2.connect(url)) as opened:
        rows = table(opened, "hubspot", "deals", "first")
        with opened.cursor() as cursor:
            cursor.execute("select xmin::text from hubspot.deals order by id")
            return [{"xmin": cursor.fetchall()}, *sorted(rows, key=lambda r: str(r["id"]))]
