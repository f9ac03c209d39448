"""Histories of properties: every value that HubSpot still tells, fifty records a call.

HubSpot tells the newest 20 versions of a property, 45 of a contact's, and none of those before
(knowledge base, "property history"). Search and lists of a hundred do not give histories at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from hubspot_client.clock import parse_time
from hubspot_client.errors import ErrorBody, refuse_partial

from tap_hubspot_deals.reading.objects import MERGED_IDS, CrmObject, refuse_silence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hubspot_client.client import Client
    from hubspot_client.object_types import ObjectType

BATCH = 50
VERSIONS = 20
CONTACT_VERSIONS = 45


class Version(msgspec.Struct, rename="camel"):
    """One value of a property, and from when on it stood; a cleared one is an empty text."""

    timestamp: str
    value: str | None = None
    source_type: str | None = None
    source_id: str | None = None
    source_label: str | None = None
    updated_by_user_id: int | None = None

    @property
    def at(self) -> datetime:
        """When it was set."""
        return parse_time(self.timestamp)


class _WithHistory(CrmObject, rename="camel"):
    properties_with_history: dict[str, list[Version]] | None = None


class _Answer(msgspec.Struct):
    results: list[_WithHistory]
    errors: list[ErrorBody] = []


@dataclass
class History:
    """What one record's properties were.

    Args:
        versions: By property, the oldest version first.
        properties: The values that came in the same answer.
        limit: How many versions of one property HubSpot tells at the most.
    """

    versions: dict[str, list[Version]] = field(default_factory=dict)
    properties: dict[str, str | None] = field(default_factory=dict)
    limit: int = VERSIONS

    def is_cut(self, name: str, since: datetime | None) -> bool:
        """Whether versions may be missing before the oldest one of a property.

        Args:
            name: The property.
            since: Up to when its versions went out already; None: never.
        """
        versions = self.versions.get(name, [])
        if len(versions) < self.limit:
            return False
        return since is None or versions[0].at > since


def _oldest_first(told: list[Version]) -> list[Version]:
    """Versions by time; HubSpot gives the newest first, also among those of one millisecond."""
    ordered = list(reversed(told))
    ordered.sort(key=lambda version: version.at)
    return ordered


@dataclass(frozen=True)
class HistoryReader:
    """Reads histories of records of one type.

    Args:
        client: The conversation with HubSpot.
        object_type: Which records.
        properties: Whose histories.
        also: Properties whose values are wanted as they are at the same moment.
    """

    client: Client
    object_type: ObjectType
    properties: tuple[str, ...]
    also: tuple[str, ...] = ()

    def read(self, ids: Sequence[str], *, archived: bool) -> dict[str, History]:
        """The histories of at most 50 records by id; ids that HubSpot names as gone are left out.

        Raises:
            HubSpotError: If some of them are there but could not be read.
            InconsistentError: If the answer does not say what became of some of them.
        """
        what = f"{self.object_type.name} (histories)"
        answer = self.client.post(
            self.client.paths.batch_read(self.object_type.in_paths)
            + ("?archived=true" if archived else ""),
            {
                "inputs": [{"id": i} for i in ids],
                "properties": [*self.also, MERGED_IDS],
                "propertiesWithHistory": self.properties,
            },
            family="batch read",
            what=what,
            shape=_Answer,
        )
        refuse_partial(answer.errors, what=what)
        refuse_silence(ids, answer.results, answer.errors, what=what)
        return {found.id: self._history(found) for found in answer.results}

    def _history(self, found: _WithHistory) -> History:
        told = found.properties_with_history or {}
        versions = {name: _oldest_first(told[name]) for name in told if told[name]}
        contacts = self.object_type.name == "contacts"
        limit = CONTACT_VERSIONS if contacts else VERSIONS
        return History(versions, found.properties, limit)
