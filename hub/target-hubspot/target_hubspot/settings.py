"""The settings: what may be set, what is meant when it is not, and what each one does."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from hubspot_client.access import API_VERSION, BASE_URL, Access
from hubspot_client.paths import DATED, LEGACY
from singer_sdk import typing as th
from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

MODES = ("upsert", "update", "create")
ADDRESS = re.compile(r"https?://[^/\s]+(/.*)?")

SCHEMA: dict[str, Any] = th.PropertiesList(
    th.Property(
        "access_token",
        th.StringType(nullable=False),
        secret=True,
        title="Access token",
        description="Private app token or service key of the HubSpot account.",
    ),
    th.Property(
        "client_id",
        th.StringType(nullable=False),
        title="OAuth client ID",
        description="Instead of an access token.",
    ),
    th.Property(
        "client_secret",
        th.StringType(nullable=False),
        secret=True,
        title="OAuth client secret",
        description="With client_id and refresh_token.",
    ),
    th.Property(
        "refresh_token",
        th.StringType(nullable=False),
        secret=True,
        title="OAuth refresh token",
        description="With client_id and client_secret.",
    ),
    th.Property(
        "streams",
        th.ObjectType(additional_properties=True, nullable=False),
        default={},
        title="Streams",
        description="How a stream is written, by its name: object (HubSpot's type), key (a unique "
        "property), columns (field to property), sync_mode, only_newer (property: an older record "
        "fills what is empty, and overwrites nothing). Unnamed streams are called as their object "
        "type and hold its properties.",
    ),
    th.Property(
        "sync_mode",
        th.StringType(nullable=False, allowed_values=list(MODES)),
        default="upsert",
        title="Sync mode",
        description="upsert: change what is there, make what is not. update: only what is there. "
        "create: only what is not.",
    ),
    th.Property(
        "dry_run",
        th.BooleanType(nullable=False),
        default=False,
        title="Dry run",
        description="Read HubSpot and count what would be done; write nothing, and no STATE.",
    ),
    th.Property(
        "compare",
        th.BooleanType(nullable=False),
        default=True,
        title="Compare",
        description="Read what HubSpot has and write only what differs; one call more per hundred "
        "records.",
    ),
    th.Property(
        "null_handling",
        th.StringType(nullable=False, allowed_values=["keep", "clear"]),
        default="keep",
        title="Null handling",
        description="What an empty value does: keep what HubSpot has, or clear it.",
    ),
    th.Property(
        "unknown_properties",
        th.StringType(nullable=False, allowed_values=["fail", "drop"]),
        default="fail",
        title="Unknown properties",
        description="Fields that the account lacks, or keeps itself: fail before the first write, "
        "or leave them out.",
    ),
    th.Property(
        "deletes",
        th.StringType(nullable=False, allowed_values=["ignore", "archive"]),
        default="ignore",
        title="Deletes",
        description="Records with _sdc_deleted_at: leave HubSpot's as it is, or archive it.",
    ),
    th.Property(
        "lifecycle_backwards",
        th.StringType(nullable=False, allowed_values=["keep", "reset"]),
        default="keep",
        title="Lifecycle backwards",
        description="HubSpot keeps a later lifecycle stage: let it, or clear it first.",
    ),
    th.Property(
        "max_rejected_records",
        th.IntegerType(nullable=False, minimum=-1),
        default=0,
        title="Most rejected records",
        description="More rejected records and links than this fail the run at its end; -1: never.",
    ),
    th.Property(
        "rejected_path",
        th.StringType(nullable=False),
        title="Rejected records",
        description="File to which rejected records are added, one JSON object a line. Unset: they "
        "are counted and logged, and the STATE does not move past them.",
    ),
    th.Property(
        "rejected_with_record",
        th.BooleanType(nullable=False),
        default=True,
        title="Rejected with record",
        description="Whether that file holds the records themselves.",
    ),
    th.Property(
        "report_path",
        th.StringType(nullable=False),
        title="Report",
        description="File for the sums of the run, as JSON.",
    ),
    th.Property(
        "batch_size",
        th.IntegerType(nullable=False, minimum=1, maximum=100),
        default=100,
        title="Batch size",
        description="Records a call.",
    ),
    th.Property(
        "requests_per_10_seconds",
        th.IntegerType(nullable=False, minimum=1),
        title="Request budget",
        description="This run's share of the account's limit; unset: learned from the answers.",
    ),
    th.Property(
        "api_version",
        th.StringType(nullable=False),
        default=API_VERSION,
        title="API version",
        description="2026-09, 2026-03 or v3. 2026-09 holds to the account's rules for properties.",
    ),
    th.Property(
        "base_url",
        th.StringType(nullable=False),
        default=BASE_URL,
        title="Base URL",
        description="Where HubSpot's API is.",
    ),
).to_dict()


@dataclass(frozen=True)
class StreamSettings:
    """How one stream is written; what is None follows from the stream itself."""

    object: str | None = None
    key: str | None = None
    columns: Mapping[str, str] | None = None
    sync_mode: Literal["upsert", "update", "create"] | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    only_newer: str | None = None


@dataclass(frozen=True)
class Settings:
    """The settings of one run, checked."""

    access: Access
    streams: Mapping[str, StreamSettings]
    sync_mode: Literal["upsert", "update", "create"]
    dry_run: bool
    compare: bool
    clears: bool
    unknown_properties: Literal["fail", "drop"]
    archives: bool
    resets_lifecycle: bool
    max_rejected_records: int
    rejected_path: str | None
    rejected_with_record: bool
    report_path: str | None
    batch_size: int


def settings_of(config: Mapping[str, Any]) -> Settings:
    """Check what the schema cannot.

    Args:
        config: The settings, with defaults.

    Raises:
        ConfigValidationError: Naming every setting that makes no sense.
    """
    streams, faults = _streams(config.get("streams") or {})
    faults = [*_access_faults(config), *faults]
    if faults:
        raise ConfigValidationError("A setting makes no sense.", errors=faults)
    return Settings(
        access=Access(
            access_token=config.get("access_token"),
            client_id=config.get("client_id"),
            client_secret=config.get("client_secret"),
            refresh_token=config.get("refresh_token"),
            base_url=str(config.get("base_url", BASE_URL)).rstrip("/"),
            api_version=config.get("api_version", API_VERSION),
            requests_per_10_seconds=config.get("requests_per_10_seconds"),
            user_agent="target-hubspot",
        ),
        streams=streams,
        sync_mode=config.get("sync_mode", "upsert"),
        dry_run=config.get("dry_run", False),
        compare=config.get("compare", True),
        clears=config.get("null_handling") == "clear",
        unknown_properties=config.get("unknown_properties", "fail"),
        archives=config.get("deletes") == "archive",
        resets_lifecycle=config.get("lifecycle_backwards") == "reset",
        max_rejected_records=config.get("max_rejected_records", 0),
        rejected_path=config.get("rejected_path"),
        rejected_with_record=config.get("rejected_with_record", True),
        report_path=config.get("report_path"),
        batch_size=config.get("batch_size", 100),
    )


def _access_faults(config: Mapping[str, Any]) -> list[str]:
    faults = []
    oauth = [name for name in ("client_id", "client_secret", "refresh_token") if config.get(name)]
    if not config.get("access_token") and len(oauth) < 3:  # noqa: PLR2004 - all three
        faults.append(
            "Set `access_token`, or `client_id`, `client_secret` and `refresh_token` together."
        )
    if config.get("access_token") and oauth:
        faults.append(f"Set either `access_token` or `{'`, `'.join(oauth)}`, not both.")
    version = str(config.get("api_version", API_VERSION))
    if version != LEGACY and not DATED.match(version):
        faults.append(f"`api_version` {version!r} is none: 2026-09, 2026-03 or v3.")
    if not ADDRESS.fullmatch(str(config.get("base_url", BASE_URL))):
        faults.append("`base_url` is no address that begins with https://.")
    return faults


def _streams(given: Mapping[str, Any]) -> tuple[dict[str, StreamSettings], list[str]]:
    found: dict[str, StreamSettings] = {}
    faults = []
    for name, entry in given.items():
        if not isinstance(entry, dict):
            faults.append(f"`streams.{name}` is no object.")
            continue
        unknown = sorted(entry.keys() - StreamSettings.__dataclass_fields__.keys())
        faults += [f"`streams.{name}.{each}` is no setting of a stream." for each in unknown]
        for key in ("object", "key", "only_newer"):
            if not isinstance(entry.get(key, ""), str):
                faults.append(f"`streams.{name}.{key}` is no text.")
        for key in ("columns", "keys"):
            if not _is_texts(entry.get(key, {})):
                faults.append(f"`streams.{name}.{key}` does not lead from names to names.")
        mode = entry.get("sync_mode")
        if mode is not None and mode not in MODES:
            faults.append(f"`streams.{name}.sync_mode` is none of {', '.join(MODES)}.")
        if not faults:
            found[name] = StreamSettings(**cast("dict[str, Any]", entry))
    return found, faults


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(part, str) and part for pair in value.items() for part in pair
    )
