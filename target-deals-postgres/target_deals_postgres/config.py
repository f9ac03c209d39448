"""What a run was given: the values of the settings, checked together."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from psycopg2.extensions import make_dsn
from singer_sdk.exceptions import ConfigValidationError

from target_deals_postgres.records.columns import LONGEST_IDENTIFIER, SYSTEM_SCHEMAS
from target_deals_postgres.settings import PARTS, SCHEMA, URL

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Settings:
    """The settings of one run, checked.

    Attributes:
        database_url: for libpq; None for the embedded PostgreSQL.
        said_by: which settings say where the database is, for people.
        mapped: whether stream maps or flattening change records.
    """

    database_url: str | None
    said_by: str
    default_target_schema: str
    schema_from_stream_name: bool
    load_method: str
    overwrite: list[str]
    hard_delete: bool
    process_activate_version_messages: bool
    add_record_metadata: bool
    row_level_security: bool
    current_associations: bool
    readers: list[str]
    validate_records: bool
    lenient_values: bool
    max_rejected_records: int
    loads: bool
    rejected_records_days: int | None
    replay_rejected_records: bool
    dry_run: bool
    lock_timeout_seconds: float
    batch_size_rows: int
    batch_size_mb: int
    batch_seconds: float
    mapped: bool
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def overwrites(self, stream: str) -> bool:
        """Whether a run's records of a stream take the place of those that are there."""
        return any(fnmatchcase(stream, pattern) for pattern in self.overwrite)


def settings_of(config: Mapping[str, Any]) -> Settings:
    """Read the settings.

    Args:
        config: what the SDK has checked against SCHEMA, with defaults filled in.

    Raises:
        ConfigValidationError: a value makes no sense; the message names the setting.
    """
    if len(config["default_target_schema"].encode()) > LONGEST_IDENTIFIER:
        raise _refusal(f"default_target_schema: more than {LONGEST_IDENTIFIER} bytes, in UTF-8")
    if config["default_target_schema"].startswith(SYSTEM_SCHEMAS):
        raise _refusal(
            "default_target_schema: PostgreSQL keeps pg_… and information_schema for itself"
        )
    mapped = bool(config.get("stream_maps") or config.get("flattening_enabled"))
    if mapped and config["replay_rejected_records"]:
        raise _refusal(
            "replay_rejected_records: rejected records are listed as they were mapped or as they "
            "came, so that they cannot be tried again with stream_maps or flattening_enabled"
        )
    url, said_by = _connection_of(config)
    names = set(Settings.__dataclass_fields__) - {"started", "mapped", "database_url", "said_by"}
    given: dict[str, Any] = {name: config.get(name) for name in names}
    every = config["overwrite"] is True or config["load_method"] == "overwrite"
    given["overwrite"] = ["*"] if every else config["overwrite"] or []
    if config["load_method"] == "overwrite":
        given["load_method"] = "upsert"
    return Settings(**given, database_url=url, said_by=said_by, mapped=mapped)


def _connection_of(config: Mapping[str, Any]) -> tuple[str | None, str]:
    # The URL, or the parts as one string of libpq's, and who said so; what is empty is not set.
    given = {name: str(config.get(name) or "").strip() for name in (URL, *PARTS)}
    given["password"] = str(config.get("password") or "")
    parts = {name: given[name] for name in PARTS if given[name]}
    if url := given[URL]:
        if parts:
            raise _refusal(f"database_url and {', '.join(parts)}: set one or the other")
        return url, URL
    missing = [name for name in ("host", "dbname") if not given[name]]
    if parts and missing:
        raise _refusal(f"{', '.join(parts)}: {' and '.join(missing)} must be set too")
    return (make_dsn(**parts), ", ".join(parts)) if parts else (None, URL)


def _refusal(sentence: str) -> ConfigValidationError:
    return ConfigValidationError(sentence, errors=[sentence], schema=SCHEMA)
