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
        comment = f"{comment} [property: {label(one.name)}]".strip()
    return storable(comment, Kind.TEXT)


def property_in(comment: str) -> str | None:
    """The label of the property that a column with this comment stores; None: it does not say."""
    found = _STORES.search(comment)
    return found[1] if found else None


def label(name: str) -> str:
    """What stands for a property in comments, where some characters cannot be."""
    return name if storable(name, Kind.TEXT) == name else json.dumps(name)
