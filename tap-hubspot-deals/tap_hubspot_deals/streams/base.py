"""What all streams of the tap share: the tenant, and how records, states and versions go out."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from hubspot_client.clock import iso
from hubspot_client.errors import HubSpotError, MissingScopeError
from typing_extensions import override

from tap_hubspot_deals.ending import StateError
from tap_hubspot_deals.reading.packing import pack_text, unpack_text
from tap_hubspot_deals.sdk import SingerStream
from tap_hubspot_deals.streams.records import AUTOMATIC, PRESENT, REMOVAL, removed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hubspot_client.client import Client

    from tap_hubspot_deals.sdk import SingerTap
    from tap_hubspot_deals.settings import Settings
    from tap_hubspot_deals.streams.records import Identity
    from tap_hubspot_deals.streams.writer import MessageWriter

OLD_DIGEST = 16
"""Characters of what earlier versions kept in place of the keys."""


REFUSED = {403, 404}
"""Answers that say that a token, or an account, has not got something."""


@dataclass(frozen=True)
class Account:
    """What the streams of one run share.

    Args:
        tap: The tap that they belong to.
        client: The conversation with HubSpot.
        settings: The settings of no object type.
        identity: Whose records these are.
        writer: Where messages go.
    """

    tap: SingerTap
    client: Client
    settings: Settings
    identity: Identity
    writer: MessageWriter


class TenantStream(SingerStream):
    """A stream whose records and keys begin with the tenant.

    Args:
        account: The account that is read.
        name: The stream's name.
        key: The fields that identify a record within the tenant.
        properties: The fields' JSON schemas, the identity's left out.
    """

    def __init__(
        self, account: Account, name: str, *, key: Sequence[str], properties: dict[str, Any]
    ) -> None:
        self.hubspot = account.client
        self.settings = account.settings
        self.writer = account.writer
        self.identity = account.identity
        self.emitted = 0
        super().__init__(account.tap, schema=account.identity.schema(properties), name=name)
        self.primary_keys = (*account.identity.keys, *key)

    @property
    @override
    def automatic(self) -> set[str]:
        fields = self.schema["properties"].keys()
        automatic: set[str] = super().automatic | (AUTOMATIC & fields)
        return automatic

    @property
    @override
    def annotations(self) -> dict[str, str]:
        return self.identity.annotations

    def write_records(
        self,
        records: Sequence[Any],
        *,
        version: int | None,
        time: str,
        common: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Write RECORD messages, the short way where nothing is deselected, mapped or flattened.

        Args:
            records: Dictionaries or structs that conform to the stream's schema.
            version: The table version, when versions are used.
            time: When they were extracted, ISO 8601.
            common: Fields that all of them have besides.
        """
        self.emitted += len(records)
        if self.is_plain:
            self.writer.write_records(self.name, records, common=common, version=version, time=time)
            self.records_written()
        else:
            for each in records:
                self.write_mapped(_whole(each, common), version=version)

    def put_state(self) -> None:
        """Write the state."""
        self.writer.write_message(self.state_message())

    def activate_version(self, version: int) -> None:
        """Say that rows of an older version are gone."""
        if self.settings.activate_versions:
            self.write_version(version)


def _whole(record: dict[str, Any] | msgspec.Struct, common: Mapping[str, Any]) -> dict[str, Any]:
    own = msgspec.structs.asdict(record) if isinstance(record, msgspec.Struct) else record
    return {**common, **own}


class FedStream(TenantStream):
    """A stream of which another one writes all records.

    `whole` says whether one stream alone writes here, and may read all that is asked for: only then
    what a full read does not bring again is gone.
    """

    whole = False

    @override
    def read_and_write(self, *, write: bool) -> Iterator[dict[str, Any]]:
        """Nothing of its own."""
        return iter(())


class MetadataStream(TenantStream):
    """A small stream that is read whole at every run.

    Its table version stays while no record has gone, so that unchanged rows are not written again.
    Records that have gone since the last run go out once more, as removed.

    `is_extra` says whether a run is good without it: where HubSpot refuses it, the log says so.
    """

    is_extra = False

    def __init__(
        self, account: Account, name: str, *, key: str, properties: dict[str, Any]
    ) -> None:
        self._found: list[dict[str, Any]] | None = None
        self._mirrors = account.settings.scan_id is None
        more = REMOVAL if self._mirrors else {}
        super().__init__(account, name, key=(key,), properties={**properties, **more})

    @abc.abstractmethod
    def read(self) -> Iterable[dict[str, Any]]:
        """All records, the identity's fields left out."""

    @override
    def prepare(self) -> None:
        """Read everything: it is little, and what the token may not read is told before a write."""
        if self._found is None:
            try:
                self._found = list(self.read())
            except HubSpotError as exc:
                skips = isinstance(exc, MissingScopeError) and self.settings.skip_missing_scopes
                if not skips and not (self.is_extra and exc.status in REFUSED):
                    raise
                self.logger.warning("Skipped: %s", exc)
                self.selected = False

    @override
    def read_and_write(self, *, write: bool) -> Iterator[dict[str, Any]]:
        if self.selected:
            self.prepare()
        if not self.selected:
            return
        key = self.primary_keys[-1]
        state = self.get_context_state({"_tenant_id": self.identity.tenant_id})
        present = PRESENT if self._mirrors else {}
        with self.get_record_counter() as counter, self.get_sync_timer():
            found = [{**self.identity.fields, **r, **present} for r in self._found or ()]
            records = found[: self.record_limit]
            keys = {record[key] for record in records}
            gone = self._gone(state, keys)
            if gone or "version" not in state:
                state["version"] = self.started_ms
            version = state["version"] if self.settings.activate_versions else None
            if write:
                now = iso(self.hubspot.clock.now())
                tombstones = [{**self.identity.fields, key: k, **removed(now)} for k in gone]
                self.write_records([*records, *tombstones], version=version, time=now)
            counter.increment(len(records))
            yield from records
        if write:
            self.activate_version(state["version"])
            if self._mirrors:
                state["keys"] = pack_text(sorted(keys))
            self.put_state()

    def _gone(self, state: dict[str, Any], keys: set[str]) -> list[str]:
        """The keys of the last run's records that are not there any more."""
        if not self._mirrors or "keys" not in state:
            return []
        try:
            return sorted(set(unpack_text(state["keys"])) - keys)
        except ValueError:
            if len(str(state["keys"])) == OLD_DIGEST:
                return []
            fault = f"The state's `keys` of {self.name} are damaged. Run without state."
            raise StateError("State validation failed", errors=[fault]) from None
