"""Settings from the environment: what form the text of each must have."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

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
