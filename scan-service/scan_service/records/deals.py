"""Knows in SQL what a deal is worth, and whether it is won or closed; of unpacked records `d`."""

from __future__ import annotations

from psycopg import sql

from scan_service.records.projection import text

HOME, OWN, CURRENCY = (
    text("amount_in_home_currency"), text("amount"), text("deal_currency_code")
)  # fmt: skip
# Amounts of several currencies are never added up: a deal that names a currency, but that HubSpot
# has not converted, has none here.
MONEY = sql.SQL("coalesce({}::numeric, case when {} is null then {}::numeric end)").format(
    HOME, CURRENCY, OWN
)
WON = sql.SQL("coalesce({}::boolean, false)").format(text("hs_is_closed_won"))
CLOSED = sql.SQL("({} or coalesce({}::boolean, false))").format(WON, text("hs_is_closed"))
