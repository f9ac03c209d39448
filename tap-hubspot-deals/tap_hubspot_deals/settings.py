"""The tap's settings as the rest of it uses them: final types, defaults filled in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hubspot_client.access import API_VERSION, BASE_URL, Access
from hubspot_client.clock import milliseconds, parse_time

from tap_hubspot_deals.object_settings import (
    ObjectSettings,
    items_of,
    object_settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

DATE_ONLY = re.compile(r"^\d{4}-\d{2}-\d{2}$")
MAX_PAGE_SIZE = 100
MAX_DELAY_MS = 60_000
DAY_MS = 24 * 60 * 60 * 1000


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
    access: Access
    filters: Filters
    archived: bool
    properties: tuple[str, ...] | None
    associations: tuple[str, ...]
    association_ids: tuple[str, ...]
    associations_per_pair: bool
    max_records: int | None
    skip_missing_scopes: bool
    flatten_custom_properties: bool
    nest_properties: bool
    include_raw: bool
    page_size: int
    lookback: timedelta
    refresh_after: timedelta
    activate_versions: bool


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
        access=_access(config),
        filters=Filters(),
        archived=False,
        properties=None,
        associations=(),
        association_ids=(),
        associations_per_pair=bool(config.get("associations_per_pair")),
        max_records=None,
        skip_missing_scopes=config.get("on_missing_scope") == "skip",
        flatten_custom_properties=bool(config.get("flatten_custom_properties")),
        nest_properties=bool(config.get("nest_properties")),
        include_raw=bool(config.get("include_raw")),
        page_size=config.get("page_size", MAX_PAGE_SIZE),
        lookback=timedelta(minutes=config.get("lookback_minutes", 15)),
        refresh_after=timedelta(hours=config.get("association_refresh_hours", 24)),
        activate_versions=bool(config.get("emit_activate_version_messages")),
    )


def _access(config: Mapping[str, Any]) -> Access:
    secrets = ("access_token", "client_id", "client_secret", "refresh_token")
    return Access(
        **{name: config.get(name) or None for name in secrets},
        base_url=(config.get("base_url") or BASE_URL).rstrip("/"),
        api_version=config.get("api_version") or API_VERSION,
        requests_per_10_seconds=config.get("requests_per_10_seconds"),
        request_delay=timedelta(milliseconds=config.get("request_delay_ms") or 0),
        user_agent="tap-hubspot-deals",
    )


def parse_objects(config: Mapping[str, Any]) -> list[ObjectSettings]:
    """The object types to read, each with its own settings."""
    settings = parse(config)
    return [object_settings(settings, item, _filters_of(item)) for item in items_of(config)]


def _filters_of(item: Mapping[str, Any]) -> Filters:
    return Filters(
        pipeline=item.get("pipeline") or None,
        deal_stage=item.get("stage") or None,
        created_from=start_of(item.get("start_date") or None),
        created_until=end_of(item.get("end_date") or None),
    )


def start_of(text: str | None) -> int | None:
    """The first millisecond included."""
    return None if text is None else milliseconds(parse_time(text))


def end_of(text: str | None) -> int | None:
    """The last millisecond included: of the day for a date, of the instant for a time."""
    if text is None:
        return None
    if DATE_ONLY.match(text):
        return milliseconds(parse_time(text)) + DAY_MS - 1
    return milliseconds(parse_time(text))
