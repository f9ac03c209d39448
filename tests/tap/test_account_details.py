"""The account itself, above all its time zone: days are those of its people."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from harness.meltano import ROOT
from harness.singer import TENANT, Mirroring, config_for, discover, read, select
from hubspot_simulator import Portal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]

STREAM = "account_details"


def statement() -> str:
    """The one that the tap's page shows."""
    page = (ROOT / "tap-hubspot-deals/README.md").read_text()
    (found,) = re.findall(r"^```sql\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return str(found)


CLOSED = [
    ("Europe/Berlin", "2026-06-30T22:30:00.000Z", "2026-07-01"),
    ("Europe/Lisbon", "2026-12-31T23:30:00.000Z", "2026-12-31"),
    ("US/Eastern", "2026-07-01T03:59:59.999Z", "2026-06-30"),
    ("Asia/Calcutta", "2026-06-30T18:30:00.000Z", "2026-07-01"),
]


def test_a_deals_close_date_is_a_day_of_its_account(
    serve: Serve, database_url: str, tmp_path: Path
) -> None:
    messages, expected = b"", {}
    for zone, closed, day in CLOSED:
        portal = Portal.generate(3, custom_properties=0, time_zone=zone)
        deal = portal.create("deals", {"closedate": closed})
        asked = {"properties": ["closedate"], "associations": [], "tenant_id": zone}
        messages += read(config_for(serve(portal), **asked)).content
        expected[zone, deal] = day
    config = tmp_path / "target.json"
    config.write_text(json.dumps({"database_url": database_url}))
    command = [sys.executable, "-m", "target_deals_postgres", "--config", str(config)]
    subprocess.run(command, input=messages, check=True, capture_output=True)

    with closing(psycopg2.connect(database_url)) as db, db.cursor() as cur:
        cur.execute(f"SET search_path = hubspot; {statement()}")
        days = {(tenant, deal): str(day) for tenant, deal, day in cur}

    assert len(days) == 4 * len(CLOSED)
    assert expected.items() <= days.items()


def test_the_account_tells_what_it_is(hubspot: Simulator) -> None:
    portal = hubspot.portal()
    (record,) = read(config_for(hubspot)).records(STREAM)

    assert record == {
        "_tenant_id": TENANT,
        "id": str(portal.portal_id),
        "account_type": "STANDARD",
        "time_zone": "US/Eastern",
        "company_currency": "USD",
        "additional_currencies": ["EUR"],
        "ui_domain": "app.hubspot.com",
        "data_hosting_location": "na1",
        "removed_at": None,
        "_sdc_deleted_at": None,
    }


def test_a_time_zone_that_changes_is_told_by_the_next_run(mirroring: Mirroring) -> None:
    mirroring.run()
    mirroring.portal.time_zone = "Europe/Lisbon"
    mirroring.run()

    (row,) = mirroring.mirror.rows(STREAM)
    assert row["time_zone"] == "Europe/Lisbon"


@pytest.mark.parametrize("status", [403, 404])
def test_a_run_is_good_without_the_account(
    hubspot: Simulator, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    hubspot.fail("status", status=status, endpoint="account", every=1)
    with caplog.at_level(logging.WARNING):
        output = read(config_for(hubspot))

    assert len(output.ids()) == 250
    assert not output.records(STREAM)
    assert "Skipped: " in caplog.text
    assert STREAM.replace("_", " ") in caplog.text


def test_a_deselected_account_costs_no_request(hubspot: Simulator) -> None:
    settings: dict[str, Any] = config_for(hubspot)
    catalog = discover(settings)
    select(catalog, STREAM, selected=False)
    hubspot.requests.clear()
    read(settings, catalog=catalog)

    assert hubspot.requests.count(endpoint="account") == 0
