"""What is to be written to one object type, checked against the account before the first write."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hubspot_client.properties import Definition
from hubspot_client.writing.values import UnfitError, to_text, trimmed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hubspot_client.client import Client

Mode = Literal["upsert", "update", "create"]
RECORD_ID = "hs_object_id"
ID_NAMES = ("id", RECORD_ID)
ORDERED = {"date", "datetime", "number"}
"""Types of which one value can be newer than another."""


class PlanError(Exception):
    """What is to be written does not fit the account; everything that does not is named."""


class Writable(Definition):
    """A property definition with what it says about writing."""

    modification_metadata: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def is_read_only(self) -> bool:
        """Whether HubSpot keeps the value itself."""
        return self.calculated or bool(self.modification_metadata.get("readOnlyValue"))


class WritableDefinitions(msgspec.Struct):
    """The answer of the properties endpoint."""

    results: list[Writable]


def definitions(client: Client, path: str, name: str) -> dict[str, Writable]:
    """Read the property definitions of an object type.

    Args:
        client: The conversation.
        path: What HubSpot's paths call the type.
        name: What people call it.
    """
    answer = client.get(
        client.paths.properties(path),
        family="properties",
        what=f"the properties of {name}",
        shape=WritableDefinitions,
    )
    return {each.name: each for each in answer.results if not each.archived}


@dataclass
class Plan:
    """How the records of one object type are written.

    Args:
        object_type: What HubSpot's paths call it.
        definitions: Its properties by name.
        mode: `upsert`, `update` (only what is there) or `create` (only what is not).
        key: The unique property by which records are found; `hs_object_id` for their ids; None:
            every row makes a record.
        clears: Whether an empty value clears a property; else it leaves it alone.
        resets_lifecycle: Whether `lifecyclestage` may go backwards.
        newer: A property that says how new a row is: one that is older than what HubSpot has
            fills what is empty and adds options, and overwrites nothing.
        dropped: Names of properties that are not written.
    """

    object_type: str
    definitions: Mapping[str, Writable]
    mode: Mode = "upsert"
    key: str | None = None
    clears: bool = False
    resets_lifecycle: bool = False
    newer: str | None = None
    dropped: set[str] = field(default_factory=set)

    @property
    def by_id(self) -> bool:
        """Whether the key is the record's own id."""
        return self.key == RECORD_ID

    def check(self, names: Iterable[str], *, unknown: Literal["fail", "drop"] = "fail") -> None:
        """Check the key, and every property that is to be written.

        Args:
            names: The properties.
            unknown: Whether those that the account lacks, or keeps itself, refuse the plan or are
                left out.

        Raises:
            PlanError: Naming all that is unfit.
        """
        faults = [fault] if (fault := self._key_fault()) else []
        if self.newer is not None:
            newer = self.definitions.get(self.newer)
            if newer is None or newer.type not in ORDERED:
                faults.append(f"`{self.newer}` of {self.object_type} is no date and no number")
        for name in names:
            definition = self.definitions.get(name)
            if definition is not None and not definition.is_read_only:
                continue
            if name == self.key:
                continue
            if unknown == "drop":
                self.dropped.add(name)
            elif definition is None:
                faults.append(f"{self.object_type} have no property `{name}`")
            else:
                faults.append(f"`{name}` of {self.object_type} is kept by HubSpot itself")
        if faults:
            raise PlanError(f"This cannot be written to HubSpot: {'; '.join(faults)}.")

    def adds(self, name: str, text: str) -> bool:
        """Whether a text adds options to those that are there."""
        return text.startswith(";") and self.definitions[name].is_multi_select

    def _key_fault(self) -> str:
        if self.by_id:
            return "" if self.mode == "update" else "records are made without an id: use `update`"
        if self.key is None:
            return "" if self.mode == "create" else f"{self.object_type} need a key to be found by"
        definition = self.definitions.get(self.key)
        if definition is None:
            return f"{self.object_type} have no property `{self.key}`, which is to be the key"
        if definition.has_unique_value or (self.object_type == "contacts" and self.key == "email"):
            return ""
        return (
            f"`{self.key}` of {self.object_type} cannot be a key, since its values are not unique: "
            "name a property that was made with unique values (that cannot be changed later)"
        )

    def key_text(self, value: Any) -> str:
        """Give a key as HubSpot compares it: trimmed, composed, addresses in lower case.

        Raises:
            UnfitError: If it is empty, or fits no key.
        """
        if self.key is None:
            return ""
        if self.by_id:
            text = trimmed(str(value)) if isinstance(value, str | int) else ""
            if not text.isascii() or not text.isdecimal():
                raise UnfitError("INVALID_KEY", RECORD_ID)
            return text
        text = to_text(self.definitions[self.key], value)
        text = unicodedata.normalize("NFC", text)
        if self.key == "email":
            text = text.lower()
        if not text:
            raise UnfitError("MISSING_KEY", self.key)
        return text

    def texts(self, properties: Mapping[str, Any]) -> dict[str, str]:
        """Give the properties to be written; empty values only where they are to clear.

        Raises:
            UnfitError: At the first value that does not fit.
        """
        found = {}
        for name, value in properties.items():
            if name in self.dropped or name == self.key:
                continue
            text = to_text(self.definitions[name], value)
            if text or self.clears:
                found[name] = text
        return found
