"""The form that settings must have: each in the environment, and secrets wherever they stand."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BOOLEANS = {"true", "1", "yes", "on", "false", "0", "no", "off"}


def malformed(schemas: Mapping[str, Mapping[str, Any]], prefix: str) -> Iterator[str]:
    """A sentence for each variable that has the wrong form.

    Args:
        schemas: The settings' JSON schemas by name.
        prefix: What the variables' names begin with.
    """
    for name, schema in schemas.items():
        variable = prefix + name.upper()
        text = os.environ.get(variable)
        if text is not None and (wanted := _lacking(text, schema)):
            yield f"`{name}` (from {variable}) is {text!r}, which is no {wanted}."


def refuse_odd_secrets(schemas: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuse secrets that are no text, which the SDK's own sentence would show.

    Args:
        schemas: The JSON schemas of all settings, by name.
        config: The settings.

    Raises:
        ConfigValidationError: If there is one; the message names the setting alone.
    """
    secrets = [name for name, schema in schemas.items() if schema.get("writeOnly")]
    wrong = [each for each in secrets if not isinstance(config.get(each), str | None)]
    if wrong:
        errors = [f"{name} must be a text." for name in wrong]
        raise ConfigValidationError("Config validation failed", errors=errors)


def _lacking(text: str, schema: Mapping[str, Any]) -> str:
    """What a setting's text should be and is not; empty where all is well."""
    types = schema.get("type") or ()
    if "integer" in types and not text.strip().lstrip("+-").isdecimal():
        return "whole number"
    if "boolean" in types and text.strip().lower() not in BOOLEANS:
        return "true or false"
    is_list = "array" in types and schema.get("items", {}).get("type") != "string"
    opens = "[" if is_list else "{"
    if (is_list or "object" in types) and not text.lstrip().startswith(opens):
        return 'JSON list such as ["deals"]' if is_list else "JSON object"
    return ""
