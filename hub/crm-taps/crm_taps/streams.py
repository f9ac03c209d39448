"""A stream of any source: whose records they are, their types, and from when they are read."""

from __future__ import annotations

import abc
import logging
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import Stream
from typing_extensions import override

from crm_taps import stream_maps
from crm_taps.errors import InconsistentError, RefusedError, StateError
from crm_taps.values import OBJECT, TIME, MisfitError, utc_text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from datetime import datetime

    from singer_sdk import singerlib as singer

    from crm_taps.tap import SourceTap
    from crm_taps.values import Column

Row = dict[str, Any]
TENANT = "_tenant_id"
OTHER_FIELDS = "other_fields"
OWN = {TENANT, OTHER_FIELDS}
"""Columns that are ours: what a source calls so stands in `other_fields`."""


class SourceStream(Stream, abc.ABC):
    """What the streams of all sources have in common.

    Records have `_tenant_id`, the columns, and `other_fields`: an object with all that the source
    sent and no column takes, be it unknown or of another type than it should be.

    Each partition has a bookmark of its own, and the tenant is part of what names a partition: so
    tenants may share a state.

    Attributes:
        columns: The typed columns by name; `field_of` tells the source's names.
        keys: The columns that name a record within a tenant.
        lists_all: Whether a read from the very beginning has all that there is, though the stream
            has a bookmark: what it lacks is gone. Not where a source forgets, nor where pages may
            shift while they are read and a row that was passed over would not be read again.
        late_edits: How long before the bookmark a run reads again, for records that are changed
            later where the source cannot be asked for changes.
    """

    columns: ClassVar[Mapping[str, Column]]
    keys: ClassVar[tuple[str, ...]] = ("id",)
    lists_all: ClassVar[bool] = False
    late_edits: timedelta = timedelta()
    STATE_MSG_FREQUENCY = 500

    def __init__(self, tap: SourceTap, name: str | None = None) -> None:
        self.source_tap = tap
        if not self.keys or OWN.intersection(self.keys):
            raise RefusedError(
                f"{tap.source} names no usable key of {name or self.name}, so that its rows "
                "cannot be told apart; leave it out in the settings."
            )
        self._taken = {n: kind for n, kind in self.all_columns.items() if n not in OWN}
        properties = {TENANT: {"type": ["string"]}} | {
            column: kind.schema_of(required=column in self.keys)
            for column, kind in self._taken.items()
        }
        properties[OTHER_FIELDS] = OBJECT.schema_of(required=False)
        schema = {"type": "object", "properties": properties}
        super().__init__(tap, schema=schema, name=name)
        self.primary_keys = (TENANT, *self.keys)
        self._read_so_far = 0
        self._misfits: set[str] = set()
        self._last: dict[str, str] = {}

    @staticmethod
    def field_of(name: str) -> str:
        """The source's name of the field that a column takes."""
        return name

    @property
    def all_columns(self) -> Mapping[str, Column]:
        """The typed columns; for streams that know them only when they are made."""
        return self.columns

    @abc.abstractmethod
    def read(self, context: Mapping[str, Any] | None) -> Iterable[Row]:
        """The rows of one partition as the source sends them; dictionaries that may be changed.

        Raises:
            SourceError: They cannot be read.
        """

    @property
    @override
    def partitions(self) -> list[dict[str, Any]] | None:
        """What is read one after the other, each with a bookmark of its own."""
        return [{TENANT: self.source_tap.tenant_id}]

    @property
    @override
    def effective_schema(self) -> dict[str, Any]:
        """Today's schema, whatever an old catalog says."""
        return self.schema

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        """Never as the SDK does it, before the records: see `get_records`."""
        return False

    @cached_property
    def _activates(self) -> bool:
        # asked before the first record, which moves the bookmark
        if not self.config.get("emit_activate_version_messages") or self.config.get("max_records"):
            return False
        if self.replication_method == "FULL_TABLE":
            return True
        states = [self.get_context_state(each) for each in self.partitions or []]
        begins = not any("replication_key_value" in state for state in states)
        return self.lists_all and begins and self.source_tap.start_date is None

    @override
    def get_records(self, context: Mapping[str, Any] | None) -> Iterator[Row]:
        """The partition's rows; after the last partition of a full read, ACTIVATE_VERSION."""
        if self._activates:
            self._stream_version = self._initialized_at
        most = self.config.get("max_records")
        if context is not None:
            for row in self.read(context):
                if most is not None and self._read_so_far >= most:
                    break
                self._read_so_far += 1
                yield row
        if self._activates and (not self.partitions or context == self.partitions[-1]):
            self._write_activate_version_message(self._initialized_at)

    @override
    def _generate_schema_messages(self) -> Generator[singer.SchemaMessage, None, None]:
        """Say whose account this is, so that even an empty one clears its rows."""
        for message in super()._generate_schema_messages():
            message.schema["x-tenant-id"] = self.source_tap.tenant_id
            yield message

    @override
    def _process_record(self, *_: Any, **__: Any) -> None:
        """Nothing: no stream has others below it, for which the SDK would ask its map's filter."""

    @override
    def _generate_record_messages(self, record: Row) -> Generator[singer.RecordMessage, None, None]:
        with stream_maps.applied(self.name):
            yield from super()._generate_record_messages(record)

    @override
    def post_process(self, row: Row, context: Mapping[str, Any] | None = None) -> Row | None:
        """The record of a row."""
        record: Row = {TENANT: self.source_tap.tenant_id}
        zone = self.source_tap.time_zone
        for name, column in self._taken.items():
            field = self.field_of(name)
            value = row.pop(field, context.get(name) if context else None)
            try:
                record[name] = None if value is None else column.convert(value, zone)
            except MisfitError:
                self._tell_misfit(name)
                record[name], row[field] = None, value
        for key in self.keys:
            if record[key] is None:
                raise InconsistentError(
                    f"{self.source_tap.source} sent a record of {self.name} without a usable "
                    f"`{key}`, which is part of its key."
                )
        record[OTHER_FIELDS] = row or None
        return record

    def _tell_misfit(self, name: str) -> None:
        if name not in self._misfits:
            self._misfits.add(name)
            self.logger.warning(
                "%s: a value of `%s` is not of the type that it should be; it stands in `%s`. "
                "Further ones are not told.",
                self.name,
                name,
                OTHER_FIELDS,
            )

    def since(self, context: Mapping[str, Any] | None) -> datetime | None:
        """From when to read: the bookmark less `late_edits`, but never before `start_date`.

        Raises:
            StateError: The bookmark is no time.
        """
        try:
            bookmark = self.get_starting_timestamp(context)
        except ValueError:
            raise StateError(f"The bookmark of {self.name} in the state is no time.") from None
        start = self.source_tap.start_date
        if bookmark is None:
            return start
        if start is None:
            return bookmark - self.late_edits
        return max(bookmark - self.late_edits, start)

    def local(self, moment: datetime) -> str:
        """A moment as a source without zones writes it, in milliseconds.

        In an hour that comes twice, it is an hour earlier: what changed when the hour came again
        has times from its beginning on.
        """
        there = moment.astimezone(self.source_tap.time_zone)
        first, second = (there.replace(fold=fold).utcoffset() for fold in (0, 1))
        naive = there.replace(tzinfo=None)
        if first is not None and second is not None and first > second:
            naive -= first - second
        return naive.isoformat(timespec="milliseconds")

    def precedes(self, value: Any, moment: datetime | None) -> bool:
        """Whether a time as the source sends it is before a moment; what is no time never is."""
        if value is None or moment is None:
            return False
        try:
            at = TIME.convert(value, self.source_tap.time_zone)
        except MisfitError:
            return False
        return at is not None and at < utc_text(moment)

    @override
    def _increment_stream_state(
        self, latest_record: Row, *, context: Mapping[str, Any] | None = None
    ) -> None:
        """Move the bookmark forward; of a sample, and of records read again, not at all."""
        if self.config.get("max_records") or self.replication_method != "INCREMENTAL":
            return
        if latest_record[self.replication_key or ""] is None:
            return
        if self.is_sorted:
            place, value = str(context), str(latest_record[self.replication_key or ""])
            if value < self._last.get(place, ""):
                raise InconsistentError(
                    f"{self.source_tap.source} sent {self.name} out of the order that was asked "
                    f"for: {value} after {self._last[place]}."
                )
            self._last[place] = value
            known = self.get_context_state(context).get("replication_key_value")
            if known is not None and value < known:
                return
        else:  # else the SDK warns of this, without a name; the package's page tells it
            note = {"Note": "Progress is not resumable if interrupted."}
            self.get_context_state(context).setdefault("progress_markers", note)
        super()._increment_stream_state(latest_record, context=context)

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        """Log as the SDK does, but leave errors to the tap, which tells each end once."""
        quiet = logging.INFO if level >= logging.ERROR else level
        super().log(message, *args, level=quiet, **kwargs)
