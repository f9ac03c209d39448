"""Every source with a tap of its own: its copy, what its tap must be told, and what it holds.

What it holds is told by the copy alone, as sets of keys, so that tables can be compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from crm_taps.sources.arrivy import TapArrivy
from crm_taps.sources.callrail import TapCallRail
from crm_taps.sources.five9 import TapFive9
from crm_taps.sources.leadconduit import TapLeadConduit
from crm_taps.sources.marketsharp import TapMarketSharp
from crm_taps.sources.salespro import TapSalesPro
from crm_taps.sources.salesrabbit import TapSalesRabbit

from harness.vendors.arrivy import Arrivy
from harness.vendors.athena import TABLES, Athena
from harness.vendors.callrail import ENVELOPES, CallRail, kept_since
from harness.vendors.five9 import Five9
from harness.vendors.leadconduit import BEGIN, LeadConduit
from harness.vendors.marketsharp import MarketSharp
from harness.vendors.salesrabbit import SalesRabbit

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_taps.tap import SourceTap

    from harness.vendors.server import Vendor

Keys = dict[str, set[tuple[str, ...]]]
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Source:
    """A source.

    Attributes:
        name: As in meltano.yml: `callrail`.
        tap: Its tap.
        make: A copy with so many records in its largest stream.
        config: What the tap must be told to read a copy.
        holds: The keys of each stream's records, those from a moment on where it is read by time.
        middle: A moment before which about half of a copy's records are.
        listed: A part of the path of the requests that have pages.
        api: Which of its APIs, where it has several; the first is the one that `make hub` shows.
    """

    name: str
    tap: type[SourceTap]
    make: Callable[[int], Any]
    config: Callable[[Any], dict[str, Any]]
    holds: Callable[[Any, datetime], Keys]
    middle: Callable[[Any], datetime]
    listed: str
    api: str = ""

    def settings(self, vendor: Vendor) -> dict[str, Any]:
        """The tap's settings by the names of their environment variables, for Meltano."""
        prefix = f"TAP_{self.name.upper()}_"
        config = {"tenant_id": "acme", **self.config(vendor)}
        return {f"{prefix}{name.upper()}": value for name, value in config.items()}


def _callrail(size: int) -> CallRail:
    vendor = CallRail()
    vendor.add_account("ACCone", calls=size)
    vendor.add_account("ACCtwo", calls=3, zone="Asia/Kathmandu")
    return vendor


def _callrail_holds(vendor: CallRail, since: datetime) -> Keys:
    found: Keys = {"accounts": {(name,) for name in vendor.accounts}}
    kept = max(since, kept_since(datetime.now(UTC)) + timedelta(days=3))
    for (account, kind), rows in vendor.lists.items():
        dated = ENVELOPES[kind][1]
        found.setdefault(kind.replace("-", "_"), set()).update(
            (account, str(row["id"]))
            for row in rows
            if dated is None or datetime.fromisoformat(row[dated]) >= kept
        )
    return found


def _rabbit_holds(vendor: SalesRabbit, since: datetime) -> Keys:
    return {
        "leads": {
            (str(lead["id"]),)
            for lead in vendor.leads
            if datetime.fromisoformat(lead["dateModified"]) >= since
        },
        "lead_status_histories": {
            (lead, str(at), event["name"])
            for lead, events in vendor.histories.items()
            for event in events
            if (at := datetime.fromisoformat(event["statusUpdated"])) >= since
        },
        "users": {(str(user["id"]),) for user in vendor.users},
    }


def _arrivy_holds(vendor: Arrivy, since: datetime) -> Keys:
    tasks = {
        (str(task["id"]),)
        for task in vendor.tasks
        if not task["start_datetime"] or datetime.fromisoformat(task["start_datetime"]) >= since
    }
    found: Keys = {"tasks": set(tasks)}
    for name, rows in vendor.lists.items():
        found[name] = {(str(row["id"]),) for row in rows}
    return found


def _conduit_holds(vendor: LeadConduit, since: datetime) -> Keys:
    return {"leads": {(i,) for i in vendor.leads() if int(i[:8], 16) >= since.timestamp()}}


def _sharp_holds(vendor: MarketSharp, since: datetime) -> Keys:
    naive = since.astimezone(UTC).replace(tzinfo=None)
    leads = vendor.tables["Leads"]
    return {
        "leads": {
            (str(row["id"]),) for row in leads if datetime.fromisoformat(row["lastUpdate"]) >= naive
        },
        "lead_sources": {(str(row["id"]),) for row in vendor.tables["LeadSources"]},
    }


def _athena_holds(vendor: Athena, since: datetime) -> Keys:
    streams = {"customer": "customers"}
    at = since.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
    return {
        streams.get(table, table): set(
            vendor.data.execute(f"select {key} from {table} where updated_at >= ?", (at,))
        )
        for table, key in TABLES.items()
    }


def _five9_holds(vendor: Five9, _since: datetime) -> Keys:
    return {
        "contacts": {(str(contact[0]),) for contact in vendor.contacts},
        "lists": {(name,) for name, _ in vendor.lists},
    }


SOURCES = (
    Source(
        "callrail",
        TapCallRail,
        _callrail,
        lambda v: {"base_url": v.url, "api_key": v.key},
        _callrail_holds,
        lambda v: datetime.now(UTC) - timedelta(hours=1.5 * len(v.lists["ACCone", "calls"])),
        "calls",
    ),
    Source(
        "salesrabbit",
        TapSalesRabbit,
        lambda size: SalesRabbit(leads=size),
        lambda v: {"base_url": v.url, "api_token": v.token},
        _rabbit_holds,
        lambda v: (v.now - timedelta(days=40, minutes=-len(v.leads) // 2)).replace(microsecond=0),
        "/leads",
    ),
    Source(
        "salesrabbit",
        TapSalesRabbit,
        lambda size: SalesRabbit(leads=size),
        lambda v: {"graphql_url": f"{v.url}/graphql", "api": "graphql", "api_token": v.token},
        lambda v, since: {k: _rabbit_holds(v, since)[k] for k in ("leads", "users")},
        lambda v: (v.now - timedelta(days=40, minutes=-len(v.leads) // 2)).replace(microsecond=0),
        "graphql",
        "graphql",
    ),
    Source(
        "arrivy",
        TapArrivy,
        lambda size: Arrivy(tasks=size),
        lambda v: {
            "base_url": v.url,
            "auth_key": v.key,
            "auth_token": v.token,
            "requests_per_minute": 6000,
        },
        _arrivy_holds,
        lambda v: datetime.now(UTC) - timedelta(days=len(v.tasks) // 2, hours=5),
        "tasks",
    ),
    Source(
        "leadconduit",
        TapLeadConduit,
        lambda size: LeadConduit(leads=size),
        lambda v: {"base_url": v.url, "api_key": v.key},
        _conduit_holds,
        lambda v: datetime.fromtimestamp(BEGIN + 360 * (len(v.events) // 4), UTC),
        "events",
    ),
    Source(
        "marketsharp",
        TapMarketSharp,
        lambda size: MarketSharp(leads=size),
        lambda v: {
            "base_url": v.url,
            "company_id": v.company,
            "api_key": v.key,
            "secret_key": v.secret,
        },
        _sharp_holds,
        lambda v: (v.begin + timedelta(minutes=len(v.tables["Leads"]) // 2)).replace(tzinfo=UTC),
        "Leads",
    ),
    Source(
        "salespro",
        TapSalesPro,
        lambda size: Athena(rows=size),
        lambda v: {
            "endpoint_url": v.url,
            "database": "salespro",
            "aws_access_key_id": v.key_id,
            "aws_secret_access_key": v.secret,
        },
        _athena_holds,
        lambda _v: datetime(2026, 1, 1, 4, 17, tzinfo=UTC),
        "",
    ),
    Source(
        "five9",
        TapFive9,
        lambda size: Five9(contacts=size),
        lambda v: {
            "base_url": f"{v.url}/wsadmin/v13/AdminWebService",
            "username": v.user,
            "password": v.password,
            "requests_per_minute": 6000,
        },
        _five9_holds,
        lambda _v: LONG_AGO,
        "AdminWebService",
    ),
)
