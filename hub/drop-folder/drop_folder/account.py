"""What a mapping asks of the HubSpot account: checked before the first row, made by `setup`."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from hubspot_client.access import Access
from hubspot_client.client import Client, Nothing
from hubspot_client.errors import HubSpotError
from hubspot_client.writing.lookup import look_up
from hubspot_client.writing.plan import Plan, Writable, definitions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drop_folder.mapping import Column, Deals, Mapping

TOKEN = "HUBSPOT_ACCESS_TOKEN"  # noqa: S105 - the name of the variable
GROUPS = {"contacts": "contactinformation", "deals": "dealinformation"}
KINDS = {
    "text": ("string", "text"),
    "email": ("string", "text"),
    "number": ("number", "number"),
    "date": ("date", "date"),
}
TAKEN = 409
NOBODY = "nobody@drop-folder.invalid"
"""An address that no contact has: asking for it shows whether contacts may be read."""

LOGGER = logging.getLogger("drop-folder")


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


class _Stage(msgspec.Struct):
    id: str


class _Pipeline(msgspec.Struct):
    id: str
    stages: list[_Stage]


class _Pipelines(msgspec.Struct):
    results: list[_Pipeline]


class Account:
    """The account that a mapping writes to.

    Args:
        mapping: The whole.
        client: The conversation.
    """

    def __init__(self, mapping: Mapping, client: Client) -> None:
        self._client = client
        self._wanted = wanted(mapping)
        self._key = mapping.contacts.key
        self._deals = mapping.deals
        self._known = {
            each: definitions(client, each, each)
            for each in dict.fromkeys(each.object_type for each in self._wanted)
        }

    def faults(self) -> list[str]:
        """What keeps the mapping from being written; empty when nothing does.

        Raises:
            HubSpotError: If HubSpot cannot be asked.
        """
        found = [fault for each in self._wanted for fault in self._faults_of(each)]
        if self._deals is not None:
            found += self._faults_of_stage(self._deals)
        if not found:
            look_up(
                self._client, Plan("contacts", self._known["contacts"], key=self._key), [NOBODY], ()
            )
        return found

    def _faults_of(self, each: Wanted) -> Iterator[str]:
        name = f"`{each.name}` of {each.object_type}"
        there = self._known[each.object_type].get(each.name)
        if there is None:
            yield f"{name} does not exist: make it, or let `drop-folder setup` do so"
            return
        if there.is_read_only:
            yield f"{name} is kept by HubSpot itself"
        if each.appends and not there.is_multi_select:
            yield f"{name} holds one text, so nothing can be appended: use checkboxes"
        if each.is_key and not (there.has_unique_value or each.name == "email"):
            yield f"{name} was made without unique values, so it cannot be the key"
        lacking = _lacking(each, there)
        if lacking:
            yield f"{name} has no option {', '.join(lacking)}"

    def _faults_of_stage(self, deals: Deals) -> Iterator[str]:
        answer = self._client.get(
            self._client.paths.pipelines("deals"),
            family="pipelines",
            what="the pipelines of deals",
            shape=_Pipelines,
        )
        known = {each.id: {stage.id for stage in each.stages} for each in answer.results}
        stages = (
            known.get(deals.pipeline, set()) if deals.pipeline else set().union(*known.values())
        )
        if deals.pipeline and deals.pipeline not in known:
            yield f"there is no pipeline `{deals.pipeline}`, only {', '.join(known)}"
        elif deals.dealstage not in stages:
            yield f"there is no stage `{deals.dealstage}`, only {', '.join(sorted(stages))}"

    def make_missing(self) -> list[str]:
        """Make the properties that are not there.

        Returns:
            Their names.

        Raises:
            HubSpotError: If HubSpot refuses; what was made before stays.
        """
        made = []
        for each in self._wanted:
            if each.name in self._known[each.object_type]:
                continue
            self._make(each)
            made.append(f"{each.object_type}.{each.name}")
        return made

    def _make(self, each: Wanted) -> None:
        kind, field_type = each.type
        body: dict[str, Any] = {
            "name": each.name,
            "label": each.label,
            "type": kind,
            "fieldType": field_type,
            "groupName": GROUPS[each.object_type],
            "hasUniqueValue": each.is_key,
        }
        if kind == "enumeration":
            body["options"] = [
                {"label": option, "value": option, "displayOrder": place, "hidden": False}
                for place, option in enumerate(each.options)
            ]
        try:
            self._client.post(
                self._client.paths.properties(each.object_type),
                body,
                family="properties",
                what=f"the property {each.name} of {each.object_type} (create)",
                shape=Nothing,
            )
        except HubSpotError as error:
            if error.status != TAKEN:  # made by a call that went unanswered
                raise

    def told(self) -> list[str]:
        """The properties of the account by label, for whoever writes a mapping."""
        return [
            f"{object_type}: {each.label or each.name} = {each.name} ({each.type})"
            for object_type, known in self._known.items()
            for each in sorted(known.values(), key=lambda each: each.label.casefold())
            if not each.is_read_only
        ]


def _lacking(each: Wanted, there: Writable) -> list[str]:
    offered = {str(option.get("value")) for option in there.options}
    return [option for option in each.options if offered and option not in offered]


@contextlib.contextmanager
def conversation(mapping: Mapping) -> Iterator[Client]:
    """A conversation with the mapping's HubSpot, by the token of the environment."""
    access = Access(
        access_token=os.environ.get(TOKEN),
        base_url=mapping.hubspot.base_url.rstrip("/"),
        api_version=mapping.hubspot.api_version,
        user_agent="drop-folder",
    )
    client = Client(access, LOGGER)
    try:
        yield client
    finally:
        client.close()
