"""What waits to be stored, the one transaction that stores it, and the STATE that may follow it.

A second thread commits while the first one reads on: never more than one batch ahead.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
from singer_sdk import metrics

from target_deals_postgres.storing import replays, states
from target_deals_postgres.tables.outcomes import Outcome
from target_deals_postgres.tables.staging import raise_unless_a_row_is_bad

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg2.extensions import cursor

    from target_deals_postgres.config import Settings
    from target_deals_postgres.records.batches import Batch
    from target_deals_postgres.storing.database import Database
    from target_deals_postgres.storing.destinations import Counts, Destination
    from target_deals_postgres.storing.loads import Loads
    from target_deals_postgres.storing.rejected import Rejected, Rejections

MEGABYTE = 1 << 20


Outcomes = Mapping[str, Outcome]
"""What some work did to the rows of which stream."""


@dataclass(frozen=True)
class _Part:
    destination: Destination
    batch: Batch
    noted: list[tuple[bytes, Rejected]]
    again: list[tuple[bytes, int]]


class _Done(NamedTuple):
    part: _Part
    outcome: Outcome


@dataclass(frozen=True)
class _Commit:
    parts: list[_Part]
    rejected: list[Rejected]
    then: tuple[Callable[[cursor], Outcomes], ...]
    counts: Mapping[str, Counts]
    state: bytes | None


class Commits:
    """The transactions of a run, in the order of its messages.

    Attributes:
        held: the newest STATE that waits for the end of the run.
    """

    def __init__(
        self, settings: Settings, database: Database, rejections: Rejections, loads: Loads
    ) -> None:
        """Prepare; nothing waits yet."""
        self._settings = settings
        self._database = database
        self._rejections = rejections
        self._loads = loads
        self._destinations: list[Destination] = []
        self._rejected: list[Rejected] = []
        self._rows = 0
        self._size = 0
        self._waiting_since: float | None = None
        self._state: bytes | None = None
        self._holding = False
        self.held: bytes | None = None
        self._worker = ThreadPoolExecutor(1, "commit")
        self._running: Future[list[_Done]] | None = None

    def grow(
        self,
        destination: Destination,
        size: int,
        noted: tuple[bytes, Rejected] | None = None,
    ) -> None:
        """Count a row that waits; commit when there is enough.

        Args:
            destination: where it waits.
            size: the memory that it takes.
            noted: its line and its record, where a value did not fit: it is listed in the same
                transaction.
        """
        if noted is not None:
            self._rejections.tally_nulled(noted[1])
            destination.noted.append(noted)
        if destination not in self._destinations:
            self._destinations.append(destination)
        self._count(size)

    def reject(self, rejected: Rejected) -> None:
        """Let a rejected record wait for the next transaction; commit when there is enough."""
        self._rejections.tally(rejected)
        self._rejected.append(rejected)
        self._count(len(rejected.payload))

    def _count(self, size: int) -> None:
        self._rows += 1
        self._size += size
        self._wait()
        if (
            self._rows >= self._settings.batch_size_rows
            or self._size >= self._settings.batch_size_mb * MEGABYTE
        ):
            self.submit()

    def keep_state(self, state: bytes) -> None:
        """Remember a STATE; it may be emitted once everything before it is committed."""
        if self._holding:
            self.held = state
            return
        self._state = state
        self._wait()

    def hold(self) -> None:
        """Emit no STATE from now on: rows wait to overwrite others, until `release`."""
        self._holding = True

    def release(self, then: Callable[[cursor], Outcomes]) -> None:
        """Commit some work, and emit the STATE that waited for it.

        Raises:
            DatabaseError: the commit failed; its STATE was not emitted.
        """
        self._state, self.held = self.held, None
        self.flush(then)

    def tick(self) -> None:
        """Commit when something has waited long enough; learn of a commit that failed."""
        if self._running is not None and self._running.done():
            self._collect()
        waiting = self._waiting_since
        if waiting is not None and time.monotonic() - waiting >= self._settings.batch_seconds:
            self.submit()

    def flush(self, *then: Callable[[cursor], Outcomes]) -> None:
        """Commit everything that waits, and wait for it.

        Args:
            then: further work for the same transaction.

        Raises:
            DatabaseError: a commit failed; its STATE was not emitted.
        """
        self.submit(*then)
        self._collect()

    def submit(self, *then: Callable[[cursor], Outcomes]) -> None:
        """Commit everything that waits, in the background, after what is being committed now.

        Raises:
            DatabaseError: the commit before failed; its STATE was not emitted.
        """
        self._collect()
        parts = [
            _Part(destination, *destination.take())
            for destination in self._destinations
            if destination.batch.rows
        ]
        commit = _Commit(parts, list(self._rejected), then, self._loads.snapshot(), self._state)
        self._rejected.clear()
        self._destinations.clear()
        self._rows = self._size = 0
        self._waiting_since = self._state = None
        if parts or commit.rejected or then or commit.state is not None:
            self._running = self._worker.submit(self._execute, commit)

    def settle(self) -> None:
        """Wait for what is being committed, whatever becomes of it."""
        if self._running is not None:
            wait([self._running])

    def close(self) -> None:
        """End the thread and the connection."""
        self._worker.shutdown()
        self._database.close()

    def _wait(self) -> None:
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()

    def _collect(self) -> None:
        if self._running is None:
            return
        running, self._running = self._running, None
        for part, outcome in running.result():
            part.destination.counts.add(outcome)
            for refused in outcome.refused:
                self._rejections.tally(part.destination.rejected(*refused))
            for nulled in outcome.nulled:
                self._rejections.tally_nulled(part.destination.nulled(*nulled))
        self._rejections.tell()

    # In the thread

    def _execute(self, commit: _Commit) -> list[_Done]:
        counts: Mapping[str, Counts] = {}

        def work(cur: cursor) -> list[_Done]:
            nonlocal counts
            judged = any(part.destination.merge.judged for part in commit.parts)
            if self._settings.dry_run or not judged:
                done, counts = self._store(cur, commit)
                return done
            # A constraint that people deferred would refuse the whole COMMIT, and each one again.
            cur.execute("SAVEPOINT whole")
            done, counts = self._store(cur, commit)
            try:
                cur.execute("SET CONSTRAINTS ALL IMMEDIATE")
            except psycopg2.Error as error:
                raise_unless_a_row_is_bad(error)
                cur.execute("ROLLBACK TO SAVEPOINT whole; SET CONSTRAINTS ALL IMMEDIATE")
                done, counts = self._store(cur, commit)
            return done

        done = []
        if commit.parts or commit.rejected or commit.then:
            done = self._database.transaction(
                work, repeatable=all(part.destination.repeatable for part in commit.parts)
            )
            self._loads.stored = counts
        if commit.state is not None and not self._settings.dry_run:
            states.emit(commit.state)
        return done

    def _store(self, cur: cursor, commit: _Commit) -> tuple[list[_Done], Mapping[str, Counts]]:
        for part in commit.parts:
            if not part.again and not part.destination.held:
                self._rejections.share(cur, part.destination.stream)
        self._rejections.insert(cur, commit.rejected)
        counts = {name: replace(one) for name, one in commit.counts.items()}
        tried = {number for part in commit.parts for _, number in part.again}
        done = []
        for part in commit.parts:
            outcome = _load(cur, part)
            outcome, listed = part.destination.settle(part.noted, part.again, outcome)
            done.append(_Done(part, outcome))
            self._list(cur, part, listed)
            tried -= {one.number for _, one in listed}
        replays.strike(cur, self._settings, tried)
        for stream, outcome in (
            *((one.part.destination.stream, one.outcome) for one in done),
            *(each for further in commit.then for each in further(cur).items()),
        ):
            if stream in counts:
                counts[stream].add(outcome)
        self._loads.store(cur, counts)
        return done, counts

    def _list(self, cur: cursor, part: _Part, listed: list[tuple[bytes, Rejected]]) -> None:
        # What is listed before a later record of its key was stored is overtaken; the rest is not.
        destination, stream = part.destination, part.destination.stream
        last = [one for _, one in listed]
        if destination.repeatable and (listed or self._rejections.has_open(stream)):
            stored, first, last = destination.sort(part.batch, listed)
            self._rejections.insert(cur, first)
            keys = self._rejections.of(stream, stored, destination.kinds)
            if destination.held:
                self._rejections.keep_overtaken(stream, keys)
            else:
                number = max((number for _, number in part.again), default=None)
                self._rejections.overtake(cur, stream, keys, number)
        self._rejections.insert(cur, last)


def _load(cur: cursor, part: _Part) -> Outcome:
    tags = {metrics.Tag.STREAM: part.destination.stream}
    with metrics.Timer(metrics.Metric.BATCH_PROCESSING_TIME, tags):
        outcome = part.destination.merge.load(cur, part.batch)
    # What is done with rows that wait says nothing yet of the table.
    if part.destination.held:
        return Outcome(refused=outcome.refused, nulled=outcome.nulled)
    return outcome
