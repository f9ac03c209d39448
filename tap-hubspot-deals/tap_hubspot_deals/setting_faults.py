"""What can be wrong with settings of the right type, as sentences that name them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hubspot_client.clock import parse_time
from hubspot_client.paths import DATED, LEGACY

from tap_hubspot_deals.object_settings import faults_of, items_of
from tap_hubspot_deals.settings import MAX_DELAY_MS, MAX_PAGE_SIZE, end_of, start_of

if TYPE_CHECKING:
    from collections.abc import Mapping


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
        *_form_faults(config),
        *(f for item in items_of(config) for f in (*_date_faults(item), *_name_faults(item))),
    ]


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


def _form_faults(config: Mapping[str, Any]) -> list[str]:
    if config.get("flatten_custom_properties") and config.get("nest_properties"):
        return ["`flatten_custom_properties` and `nest_properties` contradict each other: set one."]
    return []


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
            start_of(config.get("start_date") or None),
            end_of(config.get("end_date") or None),
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
