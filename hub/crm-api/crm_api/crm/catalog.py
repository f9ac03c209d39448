"""Knows the account's own words - pipelines, stages, properties - and keeps them for minutes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from hubspot_client.errors import HubSpotError, TransientError
from hubspot_client.writing.plan import Writable, definitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.crm.talk import Talk

KEY = "crm_api_key"
"""The unique property by which a deal or ticket is found again after an unclear time-out."""

KEPT_SECONDS = 300.0
_NEWS_SECONDS = 10.0
Kind = Literal["deals", "tickets"]


class Stage(msgspec.Struct, rename="camel"):
    """A stage of a pipeline."""

    id: str
    label: str = ""
    display_order: int = 0
    archived: bool = False


class Pipeline(msgspec.Struct, rename="camel"):
    """A pipeline with its stages."""

    id: str
    label: str = ""
    display_order: int = 0
    stages: list[Stage] = []
    archived: bool = False

    def stage_ids(self) -> list[str]:
        """Return the stages that a record may be in, in their order."""
        live = [each for each in self.stages if not each.archived]
        return [each.id for each in sorted(live, key=lambda each: each.display_order)]


class _Pipelines(msgspec.Struct):
    results: list[Pipeline]


@dataclass
class _Copy:
    value: Any = None
    read_at: float = float("-inf")
    tried_at: float = float("-inf")


class Catalog:
    """Copies of what seldom changes; the last good one serves while HubSpot is away."""

    def __init__(self) -> None:
        self._copies: dict[tuple[str, str], _Copy] = {}
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def pipelines(self, talk: Talk, kind: Kind, *, fresh: bool = False) -> list[Pipeline]:
        """Return the pipelines of an object type, in the account's order.

        Args:
            talk: With HubSpot.
            kind: Of records.
            fresh: Whether a copy of more than ten seconds is too old: something was not in it.
        """

        def read() -> list[Pipeline]:
            answer = talk.get(talk.paths.pipelines(kind), what=f"{kind} pipelines",
                              shape=_Pipelines)  # fmt: skip
            live = [each for each in answer.results if not each.archived]
            return sorted(live, key=lambda each: each.display_order)

        found: list[Pipeline] = self._kept(("pipelines", kind), read, fresh=fresh)
        return found

    def properties(self, talk: Talk, kind: str) -> dict[str, Writable]:
        """Return the property definitions of an object type."""

        def read() -> dict[str, Writable]:
            path = kind
            return talk.twice(lambda: definitions(talk.client, path, kind))

        found: dict[str, Writable] = self._kept(("properties", kind), read)
        return found

    def has_key(self, talk: Talk, kind: Kind) -> bool:
        """Tell whether records can be found by our own key."""
        definition = self.properties(talk, kind).get(KEY)
        return definition is not None and definition.has_unique_value

    def _kept(self, name: tuple[str, str], read: Callable[[], Any], *, fresh: bool = False) -> Any:
        with self._lock:
            copy = self._copies.setdefault(name, _Copy())
            lock = self._locks.setdefault(name, threading.Lock())
        oldest = _NEWS_SECONDS if fresh else KEPT_SECONDS
        with lock:  # one reads, those behind it find the copy
            now = time.monotonic()
            if now - copy.read_at < oldest:
                return copy.value
            if copy.value is not None and now - copy.tried_at < _NEWS_SECONDS:
                return copy.value
            copy.tried_at = now
            try:
                copy.value = read()
            except HubSpotError as failure:
                if copy.value is None or not isinstance(failure, TransientError):
                    raise
            else:
                copy.read_at = now
            return copy.value
