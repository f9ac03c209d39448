"""The comment of a column: what people read, and which property it stores if not its namesake."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from target_deals_postgres.records.columns import Kind
from target_deals_postgres.records.values import storable

if TYPE_CHECKING:
    from target_deals_postgres.records.columns import Field

_STORES = re.compile(r"\[property: (.*)\]$", re.DOTALL)


def comment_of(one: Field, column: str) -> str:
    """The comment of the column where a property goes."""
    comment = one.comment
    if column != one.name:
        comment = f"{comment} [property: {_label(one.name)}]".strip()
    return storable(comment, Kind.TEXT)


def stores(comment: str, name: str) -> bool | None:
    """Whether a column with this comment stores the property `name`; None when it does not say."""
    found = _STORES.search(comment)
    return found[1] == _label(name) if found else None


def _label(name: str) -> str:
    # Some characters cannot be in comments.
    return name if storable(name, Kind.TEXT) == name else json.dumps(name)
