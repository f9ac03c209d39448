"""The tap's settings as Singer and Meltano see them: names, types, defaults, descriptions."""

from __future__ import annotations

from typing import Any

from singer_sdk import typing as th

from tap_hubspot_deals.object_settings import ITEM_SCHEMA
from tap_hubspot_deals.settings import MAX_PAGE_SIZE

CONFIG_SCHEMA: dict[str, Any] = th.PropertiesList(
    th.Property(
        "access_token",
        th.StringType,
        secret=True,
        title="Access token",
        description="Private app token or service key. Either this, or the three OAuth settings.",
    ),
    th.Property(
        "client_id",
        th.StringType,
        title="OAuth client ID",
        description="With `client_secret` and `refresh_token`, instead of `access_token`.",
    ),
    th.Property(
        "client_secret",
        th.StringType,
        secret=True,
        title="OAuth client secret",
        description="With `client_id` and `refresh_token`.",
    ),
    th.Property(
        "refresh_token",
        th.StringType,
        secret=True,
        title="OAuth refresh token",
        description="With `client_id` and `client_secret`.",
    ),
    th.Property(
        "tenant_id",
        th.StringType,
        required=True,
        title="Tenant",
        description="Whose HubSpot account this is; `_tenant_id` of every record and key.",
    ),
    th.Property(
        "organization_id",
        th.StringType,
        title="Organization",
        description="`_organization_id` of every record, when set.",
    ),
    th.Property(
        "scan_id",
        th.StringType,
        title="Scan",
        description="`_scan_id` of every record and key, when set: makes the run a snapshot.",
    ),
    th.Property(
        "objects",
        th.ArrayType(th.CustomType(ITEM_SCHEMA)),
        default=["deals"],
        title="Objects",
        description=(
            "Object types to read: names such as `contacts` or a custom object's, or objects with "
            "`name` and, for this type alone, `properties`, `associations`, `association_ids`, "
            "`pipeline`, `stage`, `start_date`, `end_date`, `archived`, `max_records`. The "
            "settings of these names below are those of `deals`."
        ),
    ),
    th.Property(
        "start_date",
        th.StringType,
        title="Created from",
        description="Only deals created at or after this ISO 8601 date or time (UTC).",
    ),
    th.Property(
        "end_date",
        th.StringType,
        title="Created until",
        description="Only deals created until then; a date without time includes that whole day.",
    ),
    th.Property(
        "pipeline",
        th.StringType,
        title="Pipeline",
        description="Only deals of the pipeline with this ID.",
    ),
    th.Property(
        "deal_stage",
        th.StringType,
        title="Deal stage",
        description="Only deals in the stage with this ID.",
    ),
    th.Property(
        "archived",
        th.BooleanType,
        default=False,
        title="Archived deals",
        description=(
            "Read all archived deals too. Without it, deals archived since the last run are still "
            "marked, so that a mirror stays true."
        ),
    ),
    th.Property(
        "properties",
        th.ArrayType(th.StringType),
        title="Properties",
        description="Names of the deal properties to read; all of them by default.",
    ),
    th.Property(
        "associations",
        th.ArrayType(th.StringType),
        default=["contacts", "companies"],
        title="Associations",
        description="Object types whose links to deals are read.",
    ),
    th.Property(
        "association_ids",
        th.ArrayType(th.StringType),
        title="Association IDs",
        description=(
            "Read the links of these deals only; with the stream `deals` deselected, nothing but "
            "these deals is read."
        ),
    ),
    th.Property(
        "associations_per_pair",
        th.BooleanType,
        default=False,
        title="Associations per pair",
        description=(
            "A stream `deals_contacts` for each pair of object types, instead of `associations`."
        ),
    ),
    th.Property(
        "max_records",
        th.IntegerType,
        title="Most records",
        description=(
            "Read at most so many deals, as a sample: the run then keeps no bookmark. "
            "No limit by default."
        ),
    ),
    th.Property(
        "on_missing_scope",
        th.StringType(allowed_values=["fail", "skip"]),
        default="fail",
        title="On a missing scope",
        description=(
            "What to do with an object type that the token may not read, when several are asked "
            "for: fail before anything is written, or skip it and say so."
        ),
    ),
    th.Property(
        "flatten_custom_properties",
        th.BooleanType,
        default=False,
        title="Flatten custom properties",
        description=(
            "One field per custom property instead of the object `custom_properties`: "
            "for tables of one tenant."
        ),
    ),
    th.Property(
        "nest_properties",
        th.BooleanType,
        default=False,
        title="Nest properties",
        description=(
            "HubSpot's own properties in one object `properties`, without the empty ones, instead "
            "of one field each: for tables of many tenants, and for any number of properties."
        ),
    ),
    th.Property(
        "include_raw",
        th.BooleanType,
        default=False,
        title="Include raw",
        description="Add HubSpot's own object to each deal, as `raw`.",
    ),
    th.Property(
        "page_size",
        th.IntegerType,
        default=MAX_PAGE_SIZE,
        title="Page size",
        description="Deals per request, 1 to 100.",
    ),
    th.Property(
        "request_delay_ms",
        th.IntegerType,
        default=0,
        title="Request delay",
        description="At least so many milliseconds between two requests, 0 to 60,000.",
    ),
    th.Property(
        "requests_per_10_seconds",
        th.IntegerType,
        title="Request budget",
        description=(
            "The share of the account's limit that this run may use, searches and associations "
            "included. By default nine tenths of the limit that HubSpot's answers name."
        ),
    ),
    th.Property(
        "lookback_minutes",
        th.IntegerType,
        default=15,
        title="Look-back",
        description=(
            "An incremental run reads again what changed so many minutes before its bookmark: "
            "HubSpot's search shows changes late."
        ),
    ),
    th.Property(
        "association_refresh_hours",
        th.IntegerType,
        default=24,
        title="Refresh",
        description=(
            "So many hours after the last full read, a run reads everything again, to see links "
            "that changed without their deal and deals deleted for good. 0: every run."
        ),
    ),
    th.Property(
        "api_version",
        th.StringType,
        default="2026-09",
        title="API version",
        description="`2026-09`, `2026-03`, or `v3` (with v4 associations).",
    ),
    th.Property(
        "base_url",
        th.StringType,
        default="https://api.hubapi.com",
        title="Base URL",
        description="Where HubSpot's API is; the simulator's address in tests.",
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        default=False,
        title="Activate versions",
        description=(
            "End each full read with ACTIVATE_VERSION, so that the target marks what is gone. Only "
            "for targets that limit this to one tenant, as target-deals-postgres does."
        ),
    ),
).to_dict()
