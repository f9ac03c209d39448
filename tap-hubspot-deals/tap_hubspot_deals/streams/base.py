"""What all streams of the tap share: the tenant, and how records, states and versions go out."""

from __future__ import annotations

import abc
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubspot_client.clock import iso
from typing_extensions import override

from tap_hubspot_deals.sdk import SingerStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hubspot_client.client import Client

    from tap_hubspot_deals.sdk import SingerTap
    from tap_hubspot_deals.settings import Settings
    from tap_hubspot_deals.streams.records import Identity
    from tap_hubspot_deals.streams.writer import MessageWriter


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
        self._writer = account.writer
        self.identity = account.identity
        self.emitted = 0
        super().__init__(account.tap, schema=account.identity.schema(properties), name=name)
        self.primary_keys = (*account.identity.keys, *key)

    @property
    @override
    def annotations(self) -> dict[str, str]:
        return self.identity.annotations

    def write_records(
        self, records: list[dict[str, Any]], *, version: int | None, time: str
    ) -> None:
        """Write RECORD messages, the short way where nothing is deselected, mapped or flattened.

        Args:
            records: Records that conform to the stream's schema.
            version: The table version, when versions are used.
            time: When they were extracted, ISO 8601.
        """
        self.emitted += len(records)
        if self.is_plain:
            self._writer.write_records(self.name, records, version=version, time=time)
            self.records_written()
        else:
            self.write_mapped(records, version=version)

    def put_state(self) -> None:
        """Write the state."""
        self._writer.write_message(self.state_message())

    def activate_version(self, version: int) -> None:
        """Say that rows of an older version are gone."""
        if self.settings.activate_versions:
            self.write_version(version)


class MetadataStream(TenantStream):
    """A small stream that is read whole at every run.

    Its table version stays while no record has gone, so that unchanged rows are not written again.
    """

    @abc.abstractmethod
    def read(self) -> Iterable[dict[str, Any]]:
        """All records, the identity's fields left out."""

    @override
    def read_and_write(self, *, write: bool) -> Iterator[dict[str, Any]]:
        key = self.primary_keys[-1]
        state = self.get_context_state({"_tenant_id": self.identity.tenant_id})
        with self.get_record_counter() as counter, self.get_sync_timer():
            records = [{**self.identity.fields, **r} for r in self.read()][: self.record_limit]
            ids = sorted(record[key] for record in records)
            digest = hashlib.sha256("\0".join(ids).encode()).hexdigest()[:16]
            if state.get("keys") != digest:
                state["version"] = self.started_ms
            version = state["version"] if self.settings.activate_versions else None
            if write:
                self.write_records(records, version=version, time=iso(self.hubspot.clock.now()))
            counter.increment(len(records))
            yield from records
        if write:
            self.activate_version(state["version"])
            state["keys"] = digest
            self.put_state()
