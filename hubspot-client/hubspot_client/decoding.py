"""Reading HubSpot's JSON: strictly first, and where that fails with numbers and booleans as text.

HubSpot documents ids and values of properties as texts. Some of its services send numbers and
booleans instead, which mean the same: 7 is "7", 12.50 is "12.50", true is "true". A null where no
null is documented is a field that is not there.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def decode(content: bytes | msgspec.Raw, shape: type[T]) -> T:
    """JSON as a shape.

    Raises:
        msgspec.ValidationError: If it has another shape.
        msgspec.DecodeError: If it is no JSON.
        UnicodeDecodeError: If it is no text.
    """
    try:
        return msgspec.json.decode(content, type=shape)
    except msgspec.ValidationError as strict:
        loose = json.loads(bytes(content), parse_float=str, parse_int=str)
        try:
            return msgspec.convert(_as_text(loose), type=shape, strict=False)
        except msgspec.ValidationError:
            raise strict from None


def _as_text(value: Any, *, in_properties: bool = False) -> Any:
    """The same with booleans among properties as text, and without nulls elsewhere."""
    if isinstance(value, dict):
        return {
            k: _as_text(v, in_properties=in_properties or k == "properties")
            for k, v in value.items()
            if v is not None or in_properties
        }
    if isinstance(value, list):
        return [_as_text(each) for each in value]
    if in_properties and isinstance(value, bool):
        return "true" if value else "false"
    return value
