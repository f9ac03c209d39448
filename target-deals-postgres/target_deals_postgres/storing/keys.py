"""How the keys of rejected records compare with those of rows, whose texts may differ."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Key = tuple[str | None, ...]


def parts(key: str) -> Key:
    """A key of the list, as it compares with that of a row."""
    try:
        values = json.loads(key, parse_float=str, parse_int=str).values()
    except (ValueError, AttributeError):
        return (key,)
    texts = [one if isinstance(one, str | None) else json.dumps(one) for one in values]
    return plain(texts)


def plain(texts: Iterable[str | None]) -> Key:
    """The key of a row, as it compares with those of the list."""
    return tuple(None if one is None else _number(one) for one in texts)


def _number(text: str) -> str:
    try:
        return str(Decimal(text).normalize())  # 1.0 is 1
    except InvalidOperation:
        return text.casefold()  # a UUID
