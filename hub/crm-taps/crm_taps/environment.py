"""The form that settings must have in the environment."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import ConfigValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BOOLEANS = {"true", "1", "yes", "on", "false", "0", "no", "off"}


def refuse_malformed(schemas: Mapping[str, Any], prefix: str) -> None:
    """Refuse variables of the wrong form: the SDK would stumble, or take them for false.

    Args:
        schemas: The JSON schemas of all settings, by name.
        prefix: What the variables' names begin with.

    Raises:
        ConfigValidationError: If there is one; the message names all of them.
    """
    if errors := list(_malformed(schemas, prefix)):
        raise ConfigValidationError("Config validation failed", errors=errors)


def _malformed(schemas: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, schema in schemas.items():
        variable = prefix + name.upper()
        text = os.environ.get(variable)
        if text is not None and (wanted := _lacking(text, schema)):
            # Of JSON nothing is shown: what a stream map is told may be a secret.
            shown = "" if text.lstrip()[:1] in {"{", "["} else f" {text!r}, which is"
            yield f"`{name}` (from {variable}) is{shown} no {wanted}."


def _lacking(text: str, schema: Mapping[str, Any]) -> str:
    """What a setting's text should be and is not; empty where all is well."""
    types = schema.get("type") or ()
    if "integer" in types and _read(int, text) is None:
        return "whole number"
    if "boolean" in types and text.strip().lower() not in BOOLEANS:
        return "true or false"
    is_list = "array" in types and schema.get("items", {}).get("type") != "string"
    if is_list and not isinstance(_read(json.loads, text), list):
        return 'JSON list such as ["deals"]'
    if "object" in types and not isinstance(_read(json.loads, text), dict):
        return "JSON object"
    return ""


def _read(kind: Callable[[str], Any], text: str) -> Any:
    try:
        return kind(text)
    except (RecursionError, ValueError):
        return None
