"""From waiting records to settled ones: written in batches, linked, rejected ones put aside."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hubspot_client.client import Client
from hubspot_client.writing.outcomes import Outcome
from hubspot_client.writing.plan import RECORD_ID, PlanError
from hubspot_client.writing.records import IN_FLIGHT, RecordWriter
from hubspot_client.writing.values import UnfitError

from target_hubspot.batches import Batch, Loaded
from target_hubspot.errors import (
    OutcomeUnknownError,
    RejectedRecordsError,
    SettingsError,
    UnansweredError,
)
from target_hubspot.linking import End, Linker, wish_of_record, wishes_of
from target_hubspot.rejects import Rejects
from target_hubspot.report import Report
from target_hubspot.streams import DELETED, LINK_STREAM, LINKS, make_stream

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

    from target_hubspot.batches import Waiting
    from target_hubspot.settings import Settings
    from target_hubspot.streams import Stream

TOLD = 20
"""Rejections that the log names; the rest is in the file."""


class Delivery:
    """Brings the records of one run to HubSpot.

    While one thread finishes, another may add, cut and begin, and nothing else.

    Args:
        settings: Checked.
        logger: For people.
    """

    def __init__(self, settings: Settings, logger: logging.Logger) -> None:
        self.settings = settings
        self.report = Report()
        self.is_safe = True
        self._client = Client(settings.access, logger, in_flight=IN_FLIGHT)
        self._logger = logger
        self._rejects = Rejects(settings.rejected_path, with_record=settings.rejected_with_record)
        self._linker = Linker(self._client, dry_run=settings.dry_run)
        self._id = uuid.uuid4().hex[:12]
        self._loads = 0
        self._streams: dict[str, Loaded | None] = {}
        self._waiting: dict[str, list[Waiting]] = {}
        self._keyless_unknown = False

    @property
    def is_waiting(self) -> bool:
        """Whether links wait for records that have not come yet."""
        return bool(self._linker.waiting)

    def load(self, name: str, schema: dict[str, Any], keys: Sequence[str]) -> None:
        """Plan a stream.

        Raises:
            SettingsError: If it cannot be written; all that is wrong is named.
            HubSpotError: If the account cannot be read.
        """
        old = self._streams.get(name)
        if old is not None:
            old.writer.close()
        self._loads += 1
        self._streams[name] = self._load(name, schema, keys)
        self.report.sums(name)

    def add(self, name: str, line: int, record: dict[str, Any]) -> None:
        """Let a record wait."""
        self.report.read[name] += 1
        self._waiting.setdefault(name, []).append((line, record))

    def cut(self) -> Batch:
        """Take what waits, and make it ready."""
        batch, self._waiting = Batch(self._waiting), {}
        if len(batch.records) != 1:
            return batch
        ((name, waiting),) = batch.records.items()
        loaded = self._streams[name]
        if loaded is not None and not any(record.get(DELETED) for _, record in waiting):
            batch.loaded = loaded
            rows = [loaded.stream.row(record) for _, record in waiting]
            batch.keys = [key for key, _ in rows]
            batch.prepared = loaded.writer.prepare(rows)
        return batch

    def begin(self, batch: Batch) -> None:
        """Let the first calls go out, where they depend on nothing."""
        if batch.loaded is not None and batch.prepared is not None:
            batch.loaded.writer.begin(batch.prepared)

    def _load(self, name: str, schema: dict[str, Any], keys: Sequence[str]) -> Loaded | None:
        """Plan a stream; None for one of links."""
        chosen = self.settings.streams.get(name)
        if ((chosen.object if chosen else None) or name) == LINK_STREAM:
            return None
        try:
            stream = make_stream(self._client, self.settings, name, schema, keys)
        except PlanError as error:
            raise SettingsError(f"Stream {name}: {error}") from None
        writer = RecordWriter(
            self._client,
            stream.plan,
            run=f"{self._id}-{self._loads}",
            compare=self.settings.compare,
            dry_run=self.settings.dry_run,
            batch_size=self.settings.batch_size,
        )
        return Loaded(stream, writer)

    def _take_link(self, stream: str, line: int, record: dict[str, Any]) -> None:
        chosen = self.settings.streams.get(stream)
        try:
            wish = wish_of_record(stream, line, record, chosen.keys if chosen else {})
        except UnfitError as unfit:
            outcome = Outcome("rejected", code=unfit.code, property=unfit.property)
            self._settle(stream, line, None, outcome, record)
            return
        self._linker.add([wish])

    def finish(self, batch: Batch, *, last: bool = False) -> None:
        """See records written, then the links between them.

        Args:
            batch: What was begun.
            last: Whether no more records come.

        Raises:
            HubSpotError: If HubSpot cannot be worked with; the rest of the batch is not settled.
        """
        known: dict[End, str] = {}
        for name, waiting in batch.records.items():
            loaded = self._streams[name]
            if batch.loaded is not None and batch.prepared is not None:
                outcomes = batch.loaded.writer.finish(batch.prepared)
                self._take_outcomes(batch.loaded.stream, waiting, batch.keys, outcomes, known)
                continue
            if loaded is not None:
                self._write_in_turn(loaded, waiting, known)
                continue
            for line, record in waiting:
                self._take_link(name, line, record)
        for wish, outcome in self._linker.make(known, last=last):
            in_stream = self._streams.get(wish.stream) is None
            sums = self.report.sums(wish.stream) if in_stream else self.report.links
            sums.add([outcome])
            self._note(wish.stream, wish.line, wish.end.value, outcome, {"link": asdict(wish)})
        self._rejects.flush()

    def _write_in_turn(self, loaded: Loaded, waiting: list[Waiting], known: dict[End, str]) -> None:
        """Write and archive in their order: a record may be written, deleted and written again."""
        group: list[Waiting] = []
        for each in [*waiting, None]:
            is_gone = each is not None and bool(each[1].get(DELETED))
            was_gone = bool(group) and bool(group[0][1].get(DELETED))
            if group and (each is None or is_gone != was_gone):
                if was_gone:
                    self._archive(loaded, group)
                else:
                    rows = [loaded.stream.row(record) for _, record in group]
                    outcomes = loaded.writer.write(rows)
                    keys = [key for key, _ in rows]
                    self._take_outcomes(loaded.stream, group, keys, outcomes, known)
                group = []
            if each is not None:
                group.append(each)

    def _archive(self, loaded: Loaded, group: list[Waiting]) -> None:
        keys = [loaded.stream.row(record)[0] for _, record in group]
        if not self.settings.archives:
            outcomes = [Outcome("unchanged", code="deleted_at_source")] * len(group)
        else:
            outcomes = loaded.writer.archive(keys)
        for (line, record), key, outcome in zip(group, keys, outcomes, strict=True):
            self._settle(loaded.stream.name, line, key, outcome, record)

    def _take_outcomes(
        self,
        stream: Stream,
        waiting: list[Waiting],
        keys: list[Any],
        outcomes: list[Outcome],
        known: dict[End, str],
    ) -> None:
        plan = stream.plan
        for (line, record), key, outcome in zip(waiting, keys, outcomes, strict=True):
            self._settle(stream.name, line, key, outcome, record)
            if outcome.kind == "unknown" and plan.key is None:
                self._keyless_unknown = True
            if outcome.kind in {"rejected", "unknown"} or not record.get(LINKS):
                continue
            if outcome.id is not None:
                start = End(plan.object_type, RECORD_ID, outcome.id)
            else:  # in a dry run
                start = End(plan.object_type, plan.key or "", str(key))
            try:
                self._linker.add(wishes_of(stream.name, line, start, record[LINKS]))
            except UnfitError as unfit:
                failed = Outcome("rejected", code=unfit.code, property=unfit.property)
                self.report.links.add([failed])
                self._note(stream.name, line, key, failed, record)
            if plan.key is not None and outcome.id is not None:
                known[End(plan.object_type, plan.key, str(key))] = outcome.id

    def _settle(self, stream: str, line: int, key: Any, outcome: Outcome, record: Any) -> None:
        self.report.sums(stream).add([outcome])
        self._note(stream, line, key, outcome, record)

    def _note(self, stream: str, line: int, key: Any, outcome: Outcome, record: Any) -> None:
        if outcome.kind == "unknown":
            self.is_safe = False
        if outcome.kind != "rejected":
            return
        self._rejects.add(stream, line, key, outcome, record)
        self.is_safe = self.is_safe and self._rejects.keeps
        if self.report.rejected <= TOLD:
            self._logger.warning(
                "Rejected: line %d of the input, stream %s, property %s: %s",
                line,
                stream,
                outcome.property or "-",
                outcome.code,
            )

    def close(self) -> None:
        """Tell the sums and let everything go, whatever happened."""
        dry_run = self.settings.dry_run
        self.report.tell(self._logger, dry_run=dry_run)
        for loaded in self._streams.values():
            if loaded is not None:
                loaded.writer.close()
        self._client.close()
        self._rejects.close()
        if self.settings.report_path is not None:
            self.report.write(self.settings.report_path, dry_run=dry_run)

    def judge(self) -> None:
        """End the run as it deserves.

        Raises:
            TargetError: If records are unclear, or too many were rejected.
        """
        if self._keyless_unknown:
            raise OutcomeUnknownError(
                f"HubSpot did not say whether {self.report.unknown} records without a key were "
                "made; look them up before you send them again. The STATE has not moved."
            )
        if self.report.unknown:
            raise UnansweredError(
                f"HubSpot passed over {self.report.unknown} records without a word. "
                "The STATE has not moved; run again."
            )
        limit = self.settings.max_rejected_records
        if 0 <= limit < self.report.rejected:
            raise RejectedRecordsError(
                f"{self.report.rejected} records or links were rejected, and "
                f"`max_rejected_records` allows {limit}; all others are written."
            )
