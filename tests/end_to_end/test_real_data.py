"""8,800 real CRM opportunities through HubSpot's API into PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from harness.comparison import differences
from harness.meltano import ROOT, Project
from hubspot_simulator import Simulator, csv_portal

if TYPE_CHECKING:
    from pathlib import Path

DATA = ROOT.parent / "shared" / "data" / "crm-sales-opportunities"


@pytest.mark.skipif(not DATA.exists(), reason=f"the opportunities are not in {DATA.parent}")
def test_real_opportunities_arrive_completely(tmp_path: Path, database_url: str) -> None:
    portal = csv_portal(DATA)
    with Simulator([portal]) as hubspot:
        run = Project(
            tmp_path,
            {
                "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": portal.token,
                "TAP_HUBSPOT_DEALS_TENANT_ID": "sales",
                "TAP_HUBSPOT_DEALS_BASE_URL": hubspot.url,
                "TARGET_DEALS_POSTGRES_DATABASE_URL": database_url,
            },
        ).run()

    assert run.code == 0, run.text
    assert run.counted("deals") == 8800
    assert differences(database_url, portal, tenant="sales") == []
