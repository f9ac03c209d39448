"""The properties that a mapping writes: their types, options and keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drop_folder.columns import Column
    from drop_folder.mapping import Mapping

KINDS = {
    "text": ("string", "text"),
    "email": ("string", "text"),
    "phone": ("string", "phonenumber"),
    "number": ("number", "number"),
    "date": ("date", "date"),
}


@dataclass(frozen=True)
class Wanted:
    """A property that the mapping writes.

    Args:
        object_type: Whose.
        name: HubSpot's.
        label: For people.
        type: HubSpot's, with its field type.
        options: That it has to offer.
        appends: Whether options are added to those that are there.
        is_key: Whether records are found by it.
    """

    object_type: str
    name: str
    label: str
    type: tuple[str, str]
    options: tuple[str, ...] = ()
    appends: bool = False
    is_key: bool = False


def wanted(mapping: Mapping) -> list[Wanted]:
    """Every property that a mapping writes."""
    contacts, deals = mapping.contacts, mapping.deals
    found = [
        _wanted("contacts", name, column, column.type, is_key=name == contacts.key)
        for name, column in contacts.columns.items()
    ]
    if deals is None:
        return found
    label = (deals.value.names or [deals.key])[0]
    found.append(Wanted("deals", deals.key, label, KINDS["text"], is_key=True))
    found.append(Wanted("deals", "dealstage", "", KINDS["text"]))
    if deals.pipeline:
        found.append(Wanted("deals", "pipeline", "", KINDS["text"]))
    for name, column in deals.columns.items():
        kind = contacts.columns[column.source].type if column.source in contacts.columns else None
        found.append(_wanted("deals", name, column, kind or column.type))
    return found


def _wanted(
    object_type: str, name: str, column: Column, kind: str, *, is_key: bool = False
) -> Wanted:
    fixed = [column.default] if column.default and "{" not in column.default else []
    options = tuple(dict.fromkeys([*column.options, *fixed]))
    is_list = column.append or bool(column.options)
    return Wanted(
        object_type,
        name,
        column.label or (column.names or [name])[0],
        ("enumeration", "checkbox" if column.append else "select") if is_list else KINDS[kind],
        options if is_list else (),
        column.append,
        is_key,
    )
