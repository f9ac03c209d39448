"""Several hard things at once: each is tested alone elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring, config_for, read, run
from hubspot_simulator import Portal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hubspot_simulator import Simulator, TrueRecord

    Serve = Callable[..., Simulator]

PIPELINE = "default"


def of_the_pipeline(records: dict[str, TrueRecord]) -> list[str]:
    """The ids of the deals that the filter lets through."""
    return [i for i, r in records.items() if r.properties["pipeline"] == PIPELINE]


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
@pytest.mark.parametrize("page_size", [1, 100])
def test_filtered_archived_merged_and_restored_deals_in_every_version(
    serve: Serve, version: str, page_size: int
) -> None:
    hubspot = serve(Portal.generate(200, archived=40, odd_values=True))
    mirroring = Mirroring(hubspot)
    portal = mirroring.portal
    settings: dict[str, Any] = {
        "pipeline": PIPELINE,
        "archived": True,
        "api_version": version,
        "page_size": page_size,
    }
    mirroring.run(**settings)
    first, second, binned, changed = of_the_pipeline(portal.truth().live)[:4]
    back = of_the_pipeline(portal.truth().archived)[0]
    survivor = portal.merge("deals", first, second)
    portal.archive("deals", binned)
    portal.restore("deals", back)
    portal.change("deals", changed, {"dealname": "NUL \0, \U0001f600, \ud7ff", "amount": "1e5"})
    hubspot.advance(2)
    mirroring.run(**settings)
    truth, deals = portal.truth(), mirroring.mirror.deals()
    assert sorted(mirroring.mirror.live()) == sorted(of_the_pipeline(truth.live))
    marked = [i for i, r in deals.items() if r.get("archived") and not r.get("merged_into")]
    assert sorted(marked) == sorted(of_the_pipeline(truth.archived))
    assert deals[first]["merged_into"] == deals[second]["merged_into"] == survivor
    assert deals[changed]["dealname"] == "NUL \0, \U0001f600, \ud7ff"
    assert deals[changed]["amount"] == 100_000


def test_an_oauth_token_that_ends_among_refusals_for_too_many_requests(serve: Serve) -> None:
    portal = Portal.generate(2500, custom_properties=0)
    portal.add_oauth_client()
    hubspot = serve(portal)
    hubspot.after(8, lambda: hubspot.advance(3600), endpoint="list")
    hubspot.fail("ten_secondly", every=5, retry_after=0.05)
    config = config_for(
        hubspot,
        client_id="client-1",
        client_secret="secret-1",
        refresh_token="refresh-1",
        properties=["dealname"],
    )
    del config["access_token"]
    mirroring = Mirroring(hubspot)
    mirroring.mirror.take(read(config))
    assert mirroring.differences(only=["dealname"]) == []


def test_1200_properties_and_links_in_pages_go_on_after_a_failure(
    serve: Serve, tmp_path: Path
) -> None:
    portal = Portal.generate(300, custom_properties=1200)
    portal.behaviour.association_page = 1
    hubspot = serve(portal)
    hubspot.fail("status", status=400, endpoint="batch_read", nth=3)
    mirroring = Mirroring(hubspot)
    output = mirroring.mirror.take(run(tmp_path, config_for(hubspot)))
    assert output.code == 1
    hubspot.heal()
    again = mirroring.run()
    assert mirroring.differences() == []
    assert not set(output.ids()) & set(again.ids())


@pytest.mark.parametrize("deals", [0, 1, 2])
def test_portals_with_hardly_a_deal_are_read_twice(serve: Serve, deals: int) -> None:
    mirroring = Mirroring(serve(Portal.generate(deals)))
    for _ in range(2):
        mirroring.run(page_size=1, archived=True, emit_activate_version_messages=True)
        assert mirroring.differences(all_archived=True) == []


def test_a_property_deleted_while_the_run_reads_empties_its_field(serve: Serve) -> None:
    hubspot = serve(Portal.generate(400))
    portal = hubspot.portals[0]
    hubspot.after(2, lambda: portal.archive_property("deals", "custom_1"), endpoint="list")
    mirroring = Mirroring(hubspot)
    mirroring.run(page_size=20)
    assert sorted(mirroring.mirror.live()) == sorted(portal.ids())
    mirroring.run()
    assert mirroring.differences() == []
