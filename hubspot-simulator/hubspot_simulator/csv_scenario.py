"""A portal made of the CRM sales opportunities: sales_pipeline.csv, accounts.csv and so on."""

from __future__ import annotations

import csv
from array import array
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hubspot_simulator.columns import Base, Chosen
from hubspot_simulator.credentials import TEST_TOKEN
from hubspot_simulator.generation import add_dates
from hubspot_simulator.instants import iso, milliseconds_of
from hubspot_simulator.owners import Owner
from hubspot_simulator.pipelines import Pipeline, deal_stage, stage_values
from hubspot_simulator.portal import Portal

if TYPE_CHECKING:
    from pathlib import Path

Row = dict[str, str]
STAGES = {
    "Prospecting": deal_stage("5401", "Prospecting", "0.2"),
    "Engaging": deal_stage("5402", "Engaging", "0.4"),
    "Won": deal_stage("closedwon", "Won", "1.0", closed=True),
    "Lost": deal_stage("closedlost", "Lost", "0.0", closed=True),
}
OPPORTUNITIES = Pipeline("default", "Opportunities", tuple(STAGES.values()))
DAY_MS = 86_400_000
FIRST_DEAL, FIRST_COMPANY, FIRST_PRODUCT, FIRST_OWNER = (
    22_000_000_000,
    7_200_000_000,
    1_300_000_000,
    91_000_000,
)
WITHOUT_DATE = datetime(2017, 12, 1, tzinfo=UTC)  # prospects have not been engaged yet


def _read(folder: Path, name: str) -> list[Row]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _day(text: str) -> datetime | None:
    return datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=UTC) if text else None


def csv_portal(folder: Path, *, token: str = TEST_TOKEN, portal_id: int = 146_008_800) -> Portal:
    """Map opportunities to deals, accounts to companies, sales agents to owners."""
    portal = Portal(token=token, portal_id=portal_id)
    portal.pipelines["deals"] = [OPPORTUNITIES]
    owners = _owners(portal, _read(folder, "sales_teams"))
    companies = _companies(portal, _read(folder, "accounts"))
    _products(portal, _read(folder, "products"))
    _deals(portal, _read(folder, "sales_pipeline"), owners, companies)
    return portal


def _owners(portal: Portal, rows: list[Row]) -> dict[str, str]:
    portal.owners = []
    for place, row in enumerate(rows):
        first_name, _, last_name = row["sales_agent"].partition(" ")
        owner = Owner(
            str(FIRST_OWNER + place),
            f"{first_name}.{last_name}@example.com".lower(),
            first_name,
            last_name,
            2000 + place,
            team=f"{row['regional_office']} ({row['manager']})",
        )
        portal.owners.append(owner)
    return {f"{each.first_name} {each.last_name}": each.id for each in portal.owners}


def _fill(
    portal: Portal,
    type_name: str,
    first_id: int,
    created: list[int],
    updated: list[int],
    columns: dict[str, list[str | None]],
) -> Base:
    base = Base(first_id, array("q", created), array("q", updated))
    for name, values in columns.items():
        base.add(Chosen(name, values))
    object_type = portal.types.types[type_name]
    add_dates(object_type, base)
    portal.fill(object_type, base)
    return base


def _companies(portal: Portal, rows: list[Row]) -> dict[str, int]:
    for name, kind in (
        ("sector", "string"),
        ("revenue_millions", "number"),
        ("subsidiary_of", "string"),
    ):
        portal.add_property("companies", name, kind)
    moment = milliseconds_of(datetime(2016, 1, 1, tzinfo=UTC))
    times = [moment + place * DAY_MS for place in range(len(rows))]
    columns: dict[str, list[str | None]] = {
        "name": [row["account"] for row in rows],
        "sector": [row["sector"] for row in rows],
        "founded_year": [row["year_established"] for row in rows],
        "revenue_millions": [row["revenue"] for row in rows],
        "numberofemployees": [row["employees"] for row in rows],
        "country": [row["office_location"] for row in rows],
        "subsidiary_of": [row["subsidiary_of"] or None for row in rows],
    }
    base = _fill(portal, "companies", FIRST_COMPANY, times, times, columns)
    return {row["account"]: base.id_at(place) for place, row in enumerate(rows)}


def _products(portal: Portal, rows: list[Row]) -> None:
    portal.add_property("products", "series", "string")
    moment = milliseconds_of(datetime(2016, 1, 1, tzinfo=UTC))
    times = [moment + place * DAY_MS for place in range(len(rows))]
    columns: dict[str, list[str | None]] = {
        "name": [row["product"] for row in rows],
        "series": [row["series"] for row in rows],
        "price": [row["sales_price"] for row in rows],
    }
    _fill(portal, "products", FIRST_PRODUCT, times, times, columns)


def _deals(
    portal: Portal, rows: list[Row], owners: dict[str, str], companies: dict[str, int]
) -> None:
    portal.add_property("deals", "opportunity_id", "string", has_unique_value=True)
    portal.add_property("deals", "engage_date", "date")
    products = tuple(dict.fromkeys(row["product"] for row in rows))
    portal.add_property("deals", "product_name", "enumeration", options=products)
    engaged = [_day(row["engage_date"]) for row in rows]
    # Record ids ascend with creation.
    order = sorted(range(len(rows)), key=lambda place: engaged[place] or WITHOUT_DATE)
    rows = [rows[place] for place in order]
    engaged = [engaged[place] for place in order]
    closed = [_day(row["close_date"]) for row in rows]
    # A day's deals were not made in one instant: spread them over the working day.
    created = [
        milliseconds_of((each or WITHOUT_DATE) + timedelta(hours=8, seconds=place % 28_800))
        for place, each in enumerate(engaged)
    ]
    created = sorted(created)
    updated = [
        max(made, milliseconds_of(each + timedelta(hours=17, milliseconds=place)) if each else made)
        for place, (made, each) in enumerate(zip(created, closed, strict=True))
    ]
    values = [stage_values(STAGES[row["deal_stage"]]) for row in rows]
    columns: dict[str, list[str | None]] = {
        "dealname": [f"{row['account'] or 'No account'} - {row['product']}" for row in rows],
        "amount": [row["close_value"] or None for row in rows],
        "amount_in_home_currency": [row["close_value"] or None for row in rows],
        "deal_currency_code": ["USD"] * len(rows),
        "pipeline": [OPPORTUNITIES.id] * len(rows),
        "dealstage": [STAGES[row["deal_stage"]].id for row in rows],
        "closedate": [iso(milliseconds_of(each)) if each else None for each in closed],
        "hubspot_owner_id": [owners.get(row["sales_agent"]) for row in rows],
        "opportunity_id": [row["opportunity_id"] for row in rows],
        "product_name": [row["product"] for row in rows],
        "engage_date": [each.date().isoformat() if each else None for each in engaged],
        **{name: [each[name] for each in values] for name in values[0]},
    }
    base = _fill(portal, "deals", FIRST_DEAL, created, updated, columns)
    for place, row in enumerate(rows):
        company = companies.get(row["account"])
        if company is not None:
            portal.link("deals", base.id_at(place), "companies", company)
