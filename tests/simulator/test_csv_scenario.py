"""The portal made of real opportunities."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hubspot_simulator import csv_portal

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "crm-sales-opportunities"


@pytest.mark.skipif(not DATA.is_dir(), reason="the sales opportunities are not beside the checkout")
def test_every_opportunity_becomes_a_deal() -> None:
    portal = csv_portal(DATA)
    with (DATA / "sales_pipeline.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["opportunity_id"]: row for row in csv.DictReader(file)}

    deals = portal.truth("deals").live
    companies = portal.truth("companies").live
    accounts = {
        link.from_id: companies[link.to_id].properties["name"]
        for link in portal.true_links("deals", "companies")
    }

    assert len(deals) == len(rows) == 8800
    assert (len(companies), len(portal.owners)) == (85, 35)
    for deal in deals.values():
        row = rows[str(deal.properties["opportunity_id"])]
        assert deal.properties["amount"] == (row["close_value"] or None)
        assert deal.properties["product_name"] == row["product"]
        assert accounts.get(deal.id, "") == row["account"]
        assert (deal.properties["hs_is_closed_won"] == "true") == (row["deal_stage"] == "Won")
        assert deal.created_at <= deal.updated_at


def test_a_small_folder_is_read_the_same_way(tmp_path: Path) -> None:
    files = {
        "accounts": "account,sector,year_established,revenue,employees,office_location,"
        "subsidiary_of\nAcme,tech,1996,1100.04,28,Kenya,\n",
        "products": "product,series,sales_price\nGTX,G,550\n",
        "sales_teams": "sales_agent,manager,regional_office\nAnna Snelling,Dustin,Central\n",
        "sales_pipeline": "opportunity_id,sales_agent,product,account,deal_stage,engage_date,"
        "close_date,close_value\n"
        "B,Anna Snelling,GTX,,Prospecting,,,\n"
        "A,Anna Snelling,GTX,Acme,Won,10/20/2016,3/1/2017,1054\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")

    portal = csv_portal(tmp_path)

    won, prospect = portal.truth().live.values()
    assert won.properties["closedate"] == "2017-03-01T00:00:00Z"
    assert won.properties["hubspot_owner_id"] == portal.owners[0].id
    assert prospect.properties["amount"] is None
    assert [(each.from_id, each.label) for each in portal.true_links("deals", "companies")]
    assert len(portal.ids("products")) == 1
