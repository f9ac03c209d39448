"""What a mapping asks of the HubSpot account: checked before the first row, made by `setup`."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

import msgspec
from hubspot_client.access import Access
from hubspot_client.client import Client, Nothing
from hubspot_client.errors import HubSpotError
from hubspot_client.writing.lookup import look_up
from hubspot_client.writing.plan import Plan, Writable, definitions

from drop_folder.booking import BadRowError
from drop_folder.tap import records_of, streams_of
from drop_folder.wanted import wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from drop_folder.mapping import Deals, Mapping
    from drop_folder.wanted import Wanted

TOKEN = "HUBSPOT_ACCESS_TOKEN"  # noqa: S105 - the name of the variable
GROUPS = {"contacts": "contactinformation", "deals": "dealinformation"}
STAGED = {"dealstage", "pipeline"}
"""Their options are pipelines and stages, which are no options of a property."""

TAKEN = 409
NOBODY = "nobody@drop-folder.invalid"
"""An address that no contact has: asking for it shows whether contacts may be read."""

LOGGER = logging.getLogger("drop-folder")


class _Stage(msgspec.Struct):
    id: str


class _Pipeline(msgspec.Struct):
    id: str
    stages: list[_Stage]


class _Pipelines(msgspec.Struct):
    results: list[_Pipeline]


class _Owner(msgspec.Struct):
    id: str


class _Owners(msgspec.Struct):
    results: list[_Owner]


class Account:
    """The account that a mapping writes to.

    Args:
        mapping: The whole.
        client: The conversation.

    Attributes:
        owners: The ids of the owners that the mapping names, by object type; once `faults` looked.
    """

    def __init__(self, mapping: Mapping, client: Client) -> None:
        self.owners: dict[str, str] = {}
        self._mapping = mapping
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

        Owners are looked up, too.

        Raises:
            HubSpotError: If HubSpot cannot be asked.
        """
        found = [fault for each in self._wanted for fault in self._faults_of(each)]
        if self._deals is not None:
            found += self._faults_of_stage(self._deals)
        for object_type, address in self._owners_asked().items():
            owner = self._owner(address)
            if owner is None:
                found.append(f"`{object_type}.owner` is no user of the account")
            else:
                self.owners[object_type] = owner
        if not found:
            look_up(
                self._client, Plan("contacts", self._known["contacts"], key=self._key), [NOBODY], ()
            )
        return found

    def _owners_asked(self) -> dict[str, str]:
        given = {"contacts": self._mapping.contacts.owner}
        given["deals"] = self._deals.owner if self._deals is not None else None
        return {object_type: address for object_type, address in given.items() if address}

    def _owner(self, address: str) -> str | None:
        """The id of the owner with an address, which is none of the user's."""
        answer = self._client.get(
            self._client.paths.owners(),
            family="owners",
            what="an owner by its address",
            shape=_Owners,
            email=address,
        )
        return answer.results[0].id if answer.results else None

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
            told = ", ".join(lacking)
            yield f"{name} has no option {told}: `drop-folder setup --options` adds it"

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

    def add_options(self, files: Sequence[Path]) -> list[str]:
        """Add the options that properties lack: those of the mapping, and those that files hold.

        Args:
            files: Files that can be read; rows that cannot be sent are passed over.

        Returns:
            The properties that were changed, with the number of options.

        Raises:
            BadFileError: If a file cannot be read.
            HubSpotError: If HubSpot refuses; what was added before stays.
        """
        asked = {(each.object_type, each.name): list(each.options) for each in self._wanted}
        for stream, record in self._records(files):
            for (object_type, name), options in asked.items():
                if object_type == stream:
                    options.extend(str(record.get(name) or "").split(";"))
        added = []
        for (object_type, name), options in asked.items():
            there = self._known[object_type].get(name)
            is_list = there is not None and there.type == "enumeration"
            if there is None or not is_list or there.external_options or name in STAGED:
                continue
            offered = {str(option.get("value")) for option in there.options}
            fresh = [each for each in dict.fromkeys(options) if each and each not in offered]
            if fresh:
                self._change_options(object_type, there, fresh)
                added.append(f"{object_type}.{name} ({len(fresh)})")
        return added

    def _records(self, files: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in files:
            site = self._mapping.site_of(path.name)
            for stream in streams_of(self._mapping):
                for record in records_of(self._mapping, path, stream, site=site):
                    if not isinstance(record, BadRowError):
                        yield stream, record

    def _change_options(self, object_type: str, there: Writable, fresh: list[str]) -> None:
        self._client.post(
            f"{self._client.paths.properties(object_type)}/{there.name}",
            {"options": [*there.options, *_options(fresh, first=len(there.options))]},
            family="properties",
            what=f"the options of {there.name} of {object_type} (update)",
            shape=Nothing,
            method="PATCH",
        )

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
            body["options"] = _options(each.options)
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


def _options(names: Sequence[str], *, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"label": name, "value": name, "displayOrder": place, "hidden": False}
        for place, name in enumerate(names, first)
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
