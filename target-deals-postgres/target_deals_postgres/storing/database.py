"""The connection: opening it, one transaction at a time, and what to do when it is lost."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import psycopg2
from psycopg2 import errorcodes, errors
from psycopg2.extensions import parse_dsn

from target_deals_postgres.errors import (
    CommitUnknownError,
    DatabaseError,
    DatabaseRefusedError,
    DatabaseUnreachableError,
    InterruptedRunError,
    SettingsError,
)
from target_deals_postgres.settings import URL
from target_deals_postgres.storing.sentences import REPEAT, STARTING, is_passing, sentence_of
from target_deals_postgres.storing.waiting import Waiting
from target_deals_postgres.tables.staging import drop_stages

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg2.extensions import connection, cursor

T = TypeVar("T")

logger = logging.getLogger("target-deals-postgres")

OLDEST_SERVER = 140000  # before, numeric had no infinity
CONNECT_SECONDS = 5
LOOK_SECONDS = 2.0  # a lock that is free before is not worth a line
PAUSES = (0.5, 1, 2, 4, 8, 15, 30)  # seconds between attempts after a lost connection
DEFAULTS = {
    "application_name": "target-deals-postgres",
    "connect_timeout": str(CONNECT_SECONDS),
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
# What a value means must not depend on the server's or the role's settings.
SESSION = """
    SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET client_encoding = 'UTF8';
    SET standard_conforming_strings = on; SET quote_all_identifiers = off; SET jit = off;
    SET temp_buffers = '32MB'; SET app.loader = 'on';
    -- a crash of the server must not take rows whose STATE is out
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'
"""
ENCODE = (
    "characters with a meaning in URLs are percent-encoded there: @ is %40, / is %2F, # is %23, "
    "a space %20, = in a parameter %3D"
)


class Database:
    """One connection, opened when it is needed and opened again when it is lost."""

    def __init__(
        self,
        url: str | None,
        *,
        said_by: str = URL,
        dry_run: bool = False,
        lock_seconds: float = 30,
    ) -> None:
        """Remember where the database is.

        Args:
            url: a libpq URL or key-value string; None for the project's embedded PostgreSQL.
            said_by: which settings say so, for errors.
            dry_run: never commit; `close` then undoes everything.
            lock_seconds: how long a statement waits for a lock before its transaction is rolled
                back and tried again.
        """
        self._url = url
        self._said_by = said_by
        self._dry_run = dry_run
        self._lock_seconds = lock_seconds
        self._cancelled = threading.Event()
        self._signal = 0
        self._waiting = Waiting(self._connect, min(LOOK_SECONDS, lock_seconds / 2))
        self._connection: connection | None = None
        self._bound = ""
        self.sessions = 0

    def transaction(self, work: Callable[[cursor], T], *, repeatable: bool = True) -> T:
        """Do some work in one transaction and commit it.

        Args:
            work: called with a cursor; may be called again, so it changes nothing but the database.
            repeatable: whether doing it twice does no harm, because a connection that is lost
                during COMMIT does not tell whether it was committed.

        Raises:
            DatabaseError: the database cannot be reached or refuses the work.
            InterruptedRunError: `cancel` was called.
        """
        if threading.current_thread() is not threading.main_thread():
            return self._transact(work, repeatable=repeatable)
        # Python hears of signals in its main thread alone, and not while that waits inside libpq.
        with ThreadPoolExecutor(1, "transaction") as thread:
            return thread.submit(self._transact, work, repeatable=repeatable).result()

    def _transact(self, work: Callable[[cursor], T], *, repeatable: bool) -> T:
        for pause in (*PAUSES, None):
            committing = False
            try:
                opened = self._open(patient=pause is None or pause != PAUSES[0])
                pid = opened.info.backend_pid
                with opened.cursor() as cur, self._waiting.watched(pid):
                    result = work(cur)
                    if self._dry_run:
                        drop_stages(cur)  # what a COMMIT would have emptied
                        return result
                committing = True
                opened.commit()
            except psycopg2.Error as error:
                doubtful = committing and not repeatable
                self._recover(error, is_last=pause is None, doubtful=doubtful)
                logger.warning("%s; trying again in %s s", sentence_of(error, self._url), pause)
                self._cancelled.wait(pause)
            except BaseException:
                self.close()
                raise
            else:
                return result
        raise AssertionError  # the last round returns or raises

    def bind(self, why: str) -> None:
        """Open no other connection in place of one that is lost: what the session has is needed.

        Args:
            why: what is lost with it, for the error.
        """
        self._bound = why

    def check(self) -> None:
        """Open the connection now, so that a wrong setting is told before anything is read.

        Raises:
            DatabaseError: the database cannot be reached, or refuses the connection.
            SettingsError: the URL is none.
        """
        try:
            self._open(patient=False)
        except psycopg2.Error as error:
            raise self._explained(error, lost=False) from None

    def cancel(self, number: int) -> None:
        """End what is being done, from another thread or from a signal handler.

        Args:
            number: the signal.
        """
        self._signal = number
        self._cancelled.set()
        opened = self._connection
        if opened is not None:
            with contextlib.suppress(psycopg2.Error):
                opened.cancel()

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def _recover(self, error: psycopg2.Error, *, is_last: bool, doubtful: bool) -> None:
        # Get ready to try a transaction again, or raise what ends the run. A connection that is
        # cut during COPY is no OperationalError.
        lost = self._is_lost(error)
        repeats = (lost or error.pgcode in REPEAT) and not is_last and not self._dry_run
        if repeats and not lost:
            self._roll_back()
        else:
            self.close()
        if self._cancelled.is_set():
            raise InterruptedRunError(
                "a second signal ended what was being stored; it is rolled back", self._signal
            ) from None
        if lost and doubtful:
            raise CommitUnknownError(
                "the connection was lost during a COMMIT of rows without a key, so it is "
                "unknown whether they are stored; compare the table before the next run"
            ) from None
        if lost and self._bound:
            sentence = sentence_of(error, self._url)
            raise DatabaseUnreachableError(f"{sentence}; {self._bound}") from None
        if not repeats:
            raise self._explained(error, lost=lost) from None

    def _roll_back(self) -> None:
        # The session stays, and what it has.
        try:
            if self._connection is not None:
                self._connection.rollback()
        except psycopg2.Error:
            self.close()

    def _open(self, *, patient: bool) -> connection:
        if self._connection is not None:
            return self._connection
        deadline = time.monotonic() + CONNECT_SECONDS
        while True:
            try:
                opened = self._connect()
                break
            except psycopg2.OperationalError as error:
                if patient or STARTING not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        if opened.server_version < OLDEST_SERVER:
            version = opened.info.parameter_status("server_version")
            opened.close()
            raise DatabaseRefusedError(
                f"{self._said_by} leads to PostgreSQL {version}, but "
                f"{OLDEST_SERVER // 10000} or newer is needed"
            )
        with opened.cursor() as cur:
            cur.execute(SESSION)
            cur.execute(
                "SELECT set_config('lock_timeout', %s, false) "
                "WHERE current_setting('lock_timeout') = '0'",  # the URL or the role may say it
                (f"{round(self._lock_seconds * 1000)}ms",),
            )
        opened.commit()
        self._connection = opened
        self.sessions += 1
        return opened

    def _connect(self) -> connection:
        dsn = self._url or _embedded_url()
        try:
            given = parse_dsn(dsn)
        except psycopg2.ProgrammingError:
            raise SettingsError(
                "database_url is no PostgreSQL URL (postgresql://user:password@host:5432/database);"
                f" {ENCODE}"
            ) from None
        missing = {name: value for name, value in DEFAULTS.items() if name not in given}
        opened: connection = psycopg2.connect(dsn, None, None, **missing)
        return opened

    def _is_lost(self, error: psycopg2.Error) -> bool:
        if self._connection is None:
            return self.sessions > 0  # the server was there before: it may come back
        return self._connection.closed != 0 or isinstance(
            error, errors.AdminShutdown | errors.CrashShutdown | errors.CannotConnectNow
        )

    def _explained(self, error: psycopg2.Error, *, lost: bool) -> DatabaseError:
        sentence = sentence_of(error, self._url)
        kind = DatabaseUnreachableError if lost or is_passing(error) else DatabaseRefusedError
        if not self.sessions:
            is_odd = self._said_by == URL and (self._url or "").count("@") > 1
            hint = f"; {ENCODE}" if is_odd else ""
            return kind(f"the database of {self._said_by} cannot be reached: {sentence}{hint}")
        if error.pgcode == errorcodes.LOCK_NOT_AVAILABLE and self._waiting.holders:
            sentence = f"{sentence}, waiting for {self._waiting.holders}"
        return kind(f"the database refused: {sentence}")


def _embedded_url() -> str:
    # Imported where it is used: it needs a Unix system, which a database_url does not.
    try:
        from target_deals_postgres import embedded  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(
            f"database_url is not set, and there is no embedded PostgreSQL here ({error})"
        ) from None
    try:
        return embedded.project_server().start()
    except (embedded.ServerError, OSError) as error:
        raise DatabaseUnreachableError(f"database_url is not set, and {error}") from None
