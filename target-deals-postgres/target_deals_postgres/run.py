"""One run: what each message does."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from target_deals_postgres.activation import Activation
from target_deals_postgres.errors import (
    DatabaseUnreachableError,
    InputError,
    InterruptedRunError,
    TargetError,
    UnexpectedError,
)
from target_deals_postgres.intake import Intake
from target_deals_postgres.overwriting import Overwriting
from target_deals_postgres.records import batch_files
from target_deals_postgres.records.messages import Message, parse
from target_deals_postgres.schemas import Schemas
from target_deals_postgres.storing.commits import Commits
from target_deals_postgres.storing.loads import Loads
from target_deals_postgres.storing.rejected import Rejections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from singer_sdk.mapper import PluginMapper

    from target_deals_postgres.config import Settings
    from target_deals_postgres.storing.database import Database

logger = logging.getLogger("target-deals-postgres")


class Run:
    """Everything between the first message and the last commit.

    Attributes:
        lines: how many messages of each type were read.
    """

    def __init__(self, settings: Settings, database: Database, mapper: PluginMapper) -> None:
        """Prepare a run; nothing is connected yet."""
        self._settings = settings
        self._database = database
        self._mapper = mapper
        self._rejections = Rejections(settings)
        self._loads = Loads(settings)
        self._commits = Commits(settings, database, self._rejections, self._loads)
        self._intake = Intake(database, self._commits)
        self._activation = Activation(settings, self._commits, self._rejections, self._intake)
        self._schemas = Schemas(
            settings,
            database,
            mapper,
            commits=self._commits,
            rejections=self._rejections,
            loads=self._loads,
            intake=self._intake,
        )
        self._overwriting = Overwriting(
            settings,
            self._commits,
            self._rejections,
            self._schemas.streams,
            self._schemas.missing,
        )
        self._stopped: Callable[[], bool] = lambda: False
        self.lines: Counter[str] = Counter()

    def read(self, lines: Iterable[list[bytes]], stopped: Callable[[], bool]) -> None:
        """Read messages until the input ends or `stopped` says so.

        Raises:
            TargetError: the run cannot go on; everything before is committed when possible.
        """
        self._database.check()
        self._stopped = stopped
        try:
            for chunk in lines:
                for line in chunk:
                    if line and not line.isspace() and not self._accept(line):
                        return
                for stream in self._schemas.streams.values():
                    stream.report()
                self._commits.tick()
                if stopped():
                    return
        except Exception as error:
            if isinstance(error, InputError):
                self._commits.flush()
            self._fail(error)
            raise

    def finish(self, *, interrupted: bool = False) -> None:
        """Commit what waits and tell what became of the records.

        Args:
            interrupted: whether a signal ended the input.

        Raises:
            DatabaseError: the last commit failed; its STATE was not emitted.
        """
        try:
            self._flush_and_account(interrupted=interrupted)
        finally:
            self._commits.close()
        for stream in self._schemas.streams.values():
            stream.summarize()
        if self._settings.dry_run:
            logger.info("Dry run: everything was counted and nothing was written.")

    def _flush_and_account(self, *, interrupted: bool) -> None:
        try:
            self._commits.flush()
            if interrupted:
                self._overwriting.give_up()
                self._account("interrupted", InterruptedRunError.code)
                return
            try:
                self.judge()
            except TargetError as error:
                self._overwriting.give_up()
                self._account("failed", error.code)
                return
            self._overwriting.finish()
        except Exception as error:
            self._fail(error)
            raise
        self._account("completed")

    def cancel(self, number: int) -> None:
        """End what is being stored now, which is rolled back, because of a signal."""
        self._database.cancel(number)

    def _fail(self, error: Exception) -> None:
        # Not where the database is away: that would be waited for. Its session is gone as well.
        if not isinstance(error, DatabaseUnreachableError):
            code = error.code if isinstance(error, TargetError) else UnexpectedError.code
            is_signal = isinstance(error, InterruptedRunError)
            self._account("interrupted" if is_signal else "failed", code)
        self._loads.tell()

    def _account(self, state: str, code: str = "") -> None:
        self._commits.settle()
        try:
            self._database.transaction(lambda cur: self._loads.end(cur, state, code))
        except TargetError as error:
            logger.warning("the end of the run is not in _loads: %s", error)

    def abandon(self) -> None:
        """Let go of the connection and of what waits; what is being committed ends before."""
        self._commits.close()

    def judge(self) -> None:
        """Say whether the run may count as a success.

        Raises:
            RejectedRecordsError: more records were rejected than `max_rejected_records` allows.
        """
        streams = self._schemas.streams.values()
        self._rejections.judge(held=any(one.overwritten for one in streams))

    def _accept(self, line: bytes) -> bool:
        # Whether to go on; what follows a BATCH that was not read to its end must not be read.
        message = parse(line)
        self.lines[message.type] += 1
        match message.type:
            case "RECORD":
                plain = b"\\" not in line and b"\r" not in line
                self._accept_record(message, plain=plain)
            case "SCHEMA":
                self._schemas.accept(message)
            case "STATE":
                state = bytes(message.value)
                if not state:
                    raise InputError("a STATE message has no value")
                self._commits.keep_state(state)
                self._overwriting.note_state()
            case "ACTIVATE_VERSION":
                self._accept_version(message)
            case "BATCH":
                self._schemas.require(message)
                for record in batch_files.records(message):
                    if self._stopped():
                        return False
                    one = Message("RECORD", message.stream, msgspec.Raw(record))
                    self._accept_record(one, plain=False)
            case other:
                raise InputError(f"a message of the input has the unknown type {other[:60]}")
        return True

    def _accept_record(self, message: Message, *, plain: bool) -> None:
        if message.stream not in self._schemas.known:
            self._schemas.require(message)
        if self._settings.mapped:
            self._intake.accept_mapped(self._mapper, self._schemas.streams, message)
        else:
            self._intake.accept(self._schemas.streams[message.stream], message, plain=plain)

    def _accept_version(self, message: Message) -> None:
        self._schemas.require(message)
        if message.version is None:
            raise InputError(f"ACTIVATE_VERSION of stream {message.stream} has no version")
        for stream in self._schemas.led(message.stream):
            if not self._settings.process_activate_version_messages:
                logger.warning("%s: ACTIVATE_VERSION is ignored, as set", stream.name)
                continue
            gathers = self._schemas.gathers(stream, message.stream)
            self._activation.activate(stream, message.version, gathers=gathers)
