"""The settings that every source has, and what is wrong with a config."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jsonschema import Draft7Validator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema import ValidationError

TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}
SECRET = {"type": "string", "minLength": 1, "secret": True}

LIMITS: dict[str, dict[str, Any]] = {
    "start_date": {
        "type": "string",
        "format": "date-time",
        "description": "Only what happened at or after this ISO 8601 date or time (UTC), "
        "in streams that are read by time.",
    },
    "max_records": {
        "type": "integer",
        "minimum": 1,
        "description": "Read at most so many records of each stream, as a sample: the run "
        "then keeps no bookmark. No limit by default.",
    },
}
"""What every source can do, by its tap or by `map-limits` behind it."""


def secret(description: str) -> dict[str, Any]:
    """A setting that no log may show."""
    return {**SECRET, "description": description}


def schema(
    *, base_url: str | None, own: Mapping[str, dict[str, Any]], required: tuple[str, ...]
) -> dict[str, Any]:
    """The JSON schema of a source's settings.

    Args:
        base_url: Where its API is; None where it has no address of its own.
        own: The settings that only this source has.
        required: Those of them that must be there.
    """
    address = {
        "base_url": {
            "type": "string",
            "pattern": "^https?://[^/]",
            "default": base_url,
            "description": "Where the API is.",
        }
    }
    return {
        "type": "object",
        "required": ["tenant_id", *required],
        "properties": {
            "tenant_id": {
                "type": "string",
                "pattern": r"^[^\x00]*[^\s\x00][^\x00]*$",
                "description": "Whose account this is; `_tenant_id` of every record and key.",
            },
            **own,
            **LIMITS,
            "time_zone": {
                "type": "string",
                "default": "UTC",
                "description": "The time zone of times that the source sends without one.",
            },
            **(address if base_url else {}),
            "requests_per_minute": {
                "type": "integer",
                "minimum": 1,
                "description": "At most so many requests in a minute, instead of the limit that "
                "the documentation names.",
            },
            "max_tries": {
                "type": "integer",
                "minimum": 1,
                "maximum": 20,
                "default": 8,
                "description": "How often a request is tried that the source limits or fails.",
            },
            "retry_wait_seconds": {
                "type": "number",
                "minimum": 0,
                "maximum": 600,
                "default": 2,
                "description": "The wait before the second try, where the source names none; it "
                "doubles with each try, to five minutes.",
            },
            "timeout_seconds": {
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 120,
                "description": "How long an answer may take.",
            },
            "emit_activate_version_messages": {
                "type": "boolean",
                "default": False,
                "description": "End each full read of a stream with ACTIVATE_VERSION, so that the "
                "target marks what is gone. Only for targets that limit this to one tenant, as "
                "target-deals-postgres does.",
            },
        },
    }


def faults(config: Mapping[str, Any], config_schema: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a config, in sentences that name settings and show no value."""
    for error in Draft7Validator(config_schema).iter_errors(config):
        yield from _sentences(error, config)
    for name in ("start_date", "end_date"):
        if isinstance(text := config.get(name), str) and moment(text) is None:
            yield f"The setting `{name}` is no ISO 8601 date or time such as 2026-01-31."
    if isinstance(zone := config.get("time_zone"), str) and time_zone(zone) is None:
        yield "The setting `time_zone` is no time zone's name such as America/New_York."


def _sentences(error: ValidationError, config: Mapping[str, Any]) -> Iterator[str]:
    wanted: Any = error.validator_value
    name = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "required":
        there = error.instance if isinstance(error.instance, dict) else config
        for missing in wanted:
            if missing not in there and f"'{missing}' is" in error.message:
                yield f"The setting `{'.'.join(filter(None, (name, missing)))}` is missing."
    elif error.validator == "type":
        kinds = [wanted] if isinstance(wanted, str) else wanted
        told = " or ".join(TYPES[kind] for kind in kinds if kind != "null")
        yield f"The setting `{name}` must be {told}."
    elif error.validator in {"pattern", "minLength", "anyOf", "oneOf"}:
        yield f"The setting `{name}` is empty or has not the form that its description tells."
    elif error.validator == "enum":
        yield f"The setting `{name}` must be one of {', '.join(wanted)}."
    elif error.validator == "additionalProperties":
        yield f"The setting `{name}` has a part that is not known."
    else:
        yield f"The setting `{name}` is out of range ({error.validator}: {wanted})."


def moment(text: str) -> datetime | None:
    """A date or time as the settings have it, in UTC where it names no zone."""
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def time_zone(name: str) -> ZoneInfo | None:
    """The zone of a name such as America/New_York."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
