"""The tap's settings: what there is, what is allowed, and what each one means to the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from singer_sdk import typing as th

from tap_hubspot_deals.clock import milliseconds, parse_time
from tap_hubspot_deals.object_settings import (
    ITEM_SCHEMA,
    ObjectSettings,
    faults_of,
    items_of,
    object_settings,
)
from tap_hubspot_deals.paths import DATED, LEGACY

if TYPE_CHECKING:
    from collections.abc import Mapping

DATE_ONLY = re.compile(r"^\d{4}-\d{2}-\d{2}$")
MAX_PAGE_SIZE = 100
MAX_DELAY_MS = 60_000
DAY_MS = 24 * 60 * 60 * 1000

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
            "The share of the account's limit that this run may use, associations included. "
            "By default nine tenths of the limit that HubSpot's answers name."
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


@dataclass(frozen=True)
class Filters:
    """Which deals are asked for. Dates are epoch milliseconds, both ends inclusive."""

    pipeline: str | None = None
    deal_stage: str | None = None
    created_from: int | None = None
    created_until: int | None = None

    def __bool__(self) -> bool:
        """Whether anything is filtered at all."""
        return self != Filters()


@dataclass(frozen=True)
class Settings:
    """The validated settings; every field has its final type and default."""

    tenant_id: str
    organization_id: str | None
    scan_id: str | None
    access_token: str | None
    client_id: str | None
    client_secret: str | None
    refresh_token: str | None
    filters: Filters
    archived: bool
    properties: tuple[str, ...] | None
    associations: tuple[str, ...]
    association_ids: tuple[str, ...]
    associations_per_pair: bool
    max_records: int | None
    skip_missing_scopes: bool
    flatten_custom_properties: bool
    include_raw: bool
    page_size: int
    request_delay: timedelta
    requests_per_10_seconds: int | None
    lookback: timedelta
    refresh_after: timedelta
    api_version: str
    base_url: str
    activate_versions: bool


def validate(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with a config that already has the right JSON types.

    Returns:
        One sentence per fault, each naming its setting; empty when all is well.
    """
    return [
        *_credential_faults(config),
        *_identity_faults(config),
        *faults_of(config),
        *_number_faults(config),
        *_address_faults(config),
        *(f for item in items_of(config) for f in (*_date_faults(item), *_name_faults(item))),
    ]


def parse(config: Mapping[str, Any]) -> Settings:
    """The settings of a config that `validate` found nothing wrong with.

    What differs between object types is empty here: see `parse_objects`.
    """

    def text(name: str) -> str | None:
        return config.get(name) or None

    return Settings(
        tenant_id=config["tenant_id"],
        organization_id=text("organization_id"),
        scan_id=text("scan_id"),
        access_token=text("access_token"),
        client_id=text("client_id"),
        client_secret=text("client_secret"),
        refresh_token=text("refresh_token"),
        filters=Filters(),
        archived=False,
        properties=None,
        associations=(),
        association_ids=(),
        associations_per_pair=bool(config.get("associations_per_pair")),
        max_records=None,
        skip_missing_scopes=config.get("on_missing_scope") == "skip",
        flatten_custom_properties=bool(config.get("flatten_custom_properties")),
        include_raw=bool(config.get("include_raw")),
        page_size=config.get("page_size", MAX_PAGE_SIZE),
        request_delay=timedelta(milliseconds=config.get("request_delay_ms") or 0),
        requests_per_10_seconds=config.get("requests_per_10_seconds"),
        lookback=timedelta(minutes=config.get("lookback_minutes", 15)),
        refresh_after=timedelta(hours=config.get("association_refresh_hours", 24)),
        api_version=config.get("api_version") or "2026-09",
        base_url=(config.get("base_url") or "https://api.hubapi.com").rstrip("/"),
        activate_versions=bool(config.get("emit_activate_version_messages")),
    )


def parse_objects(config: Mapping[str, Any]) -> list[ObjectSettings]:
    """The object types to read, each with its own settings."""
    settings = parse(config)
    return [object_settings(settings, item, _filters_of(item)) for item in items_of(config)]


def _filters_of(item: Mapping[str, Any]) -> Filters:
    return Filters(
        pipeline=item.get("pipeline") or None,
        deal_stage=item.get("stage") or None,
        created_from=_start_of(item.get("start_date") or None),
        created_until=_end_of(item.get("end_date") or None),
    )


def _start_of(text: str | None) -> int | None:
    return None if text is None else milliseconds(parse_time(text))


def _end_of(text: str | None) -> int | None:
    """The last millisecond included: of the day for a date, of the instant for a time."""
    if text is None:
        return None
    if DATE_ONLY.match(text):
        return milliseconds(parse_time(text)) + DAY_MS - 1
    return milliseconds(parse_time(text))


def _credential_faults(config: Mapping[str, Any]) -> list[str]:
    oauth = [n for n in ("client_id", "client_secret", "refresh_token") if config.get(n)]
    if config.get("access_token"):
        if any(c.isspace() for c in config["access_token"]):
            return ["`access_token` has a space or line break in it: copy it again from HubSpot."]
        if not (config["access_token"].isascii() and config["access_token"].isprintable()):
            return [
                "`access_token` holds characters that no token has: copy it again from HubSpot."
            ]
        return []
    if not oauth:
        text = (
            "`access_token` is missing: set it to a HubSpot private app token or service key "
            "(or set `client_id`, `client_secret` and `refresh_token`)."
        )
        return [text]
    missing = [n for n in ("client_id", "client_secret", "refresh_token") if n not in oauth]
    return [f"`{name}` is missing: OAuth needs all three of its settings." for name in missing]


def _identity_faults(config: Mapping[str, Any]) -> list[str]:
    faults = []
    if not str(config.get("tenant_id") or "").strip():
        faults.append("`tenant_id` is missing: name the tenant whose HubSpot account this is.")
    faults += [
        f"`{name}` must not hold a NUL character."
        for name in ("tenant_id", "organization_id", "scan_id")
        if "\0" in str(config.get(name) or "")
    ]
    return faults


def _date_faults(config: Mapping[str, Any]) -> list[str]:
    faults = []
    for name in ("start_date", "end_date"):
        text = config.get(name)
        if text in {None, ""}:
            continue
        try:
            parse_time(text)
        except ValueError:
            example = date(2025, 1, 31).isoformat()
            faults.append(f"`{name}` is no ISO 8601 date: {text!r}. Write it like {example}.")
    if not faults:
        start, end = (
            _start_of(config.get("start_date") or None),
            _end_of(config.get("end_date") or None),
        )
        if start is not None and end is not None and end < start:
            faults.append("`end_date` is before `start_date`.")
    return faults


def _number_faults(config: Mapping[str, Any]) -> list[str]:
    ranges = {
        "page_size": (1, MAX_PAGE_SIZE),
        "max_records": (1, 10**12),
        "request_delay_ms": (0, MAX_DELAY_MS),
        "requests_per_10_seconds": (1, 10_000),
        "lookback_minutes": (0, 7 * 24 * 60),
        "association_refresh_hours": (0, 10 * 365 * 24),
    }
    return [
        f"`{name}` must be from {low} to {high:,}, not {value}."
        for name, (low, high) in ranges.items()
        if (value := config.get(name)) is not None and not low <= value <= high
    ]


def _name_faults(config: Mapping[str, Any]) -> list[str]:
    faults = []
    for name in ("properties", "associations", "association_ids"):
        for item in config.get(name) or ():
            if not item.strip() or any(c.isspace() or c in ",/?&#\0" for c in item):
                faults.append(f"`{name}` holds {item!r}, which is no HubSpot name.")  # noqa: PERF401
    return faults


def _address_faults(config: Mapping[str, Any]) -> list[str]:
    faults = []
    version = config.get("api_version")
    if version and version != LEGACY and not DATED.match(version):
        faults.append(f"`api_version` must be `v3` or a date such as `2026-09`, not {version!r}.")
    address = config.get("base_url")
    if address:
        try:
            parts = urlsplit(address)
            whole = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            whole = False
        if not whole or any(c.isspace() for c in address):
            faults.append(f"`base_url` must be an http or https address, not {address!r}.")
        elif parts.username or parts.password or parts.query or parts.fragment:
            faults.append("`base_url` must end before any `?` or `#` and hold no user name.")
    return faults
