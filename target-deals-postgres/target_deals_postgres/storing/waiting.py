"""A transaction that waits for a lock of somebody else: who that is, told while it waits."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

import psycopg2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg2.extensions import connection

logger = logging.getLogger("target-deals-postgres")

HOLDERS = """
    SELECT coalesce((
        SELECT CASE WHEN locktype = 'advisory' THEN 'another target''s visit to a table'
            ELSE coalesce(relation::regclass::text, 'a row') END
        FROM pg_locks WHERE pid = %(pid)s
            AND (NOT granted AND (relation IS NOT NULL OR locktype = 'advisory')
                OR locktype = 'tuple')
        ORDER BY granted LIMIT 1
    ), 'a row'), pid, coalesce(usename, '?'), coalesce(nullif(application_name, ''), '?'),
        coalesce(state, '?'), coalesce(extract(epoch FROM now() - xact_start)::int, 0)
    FROM pg_stat_activity WHERE pid = ANY(pg_blocking_pids(%(pid)s))
"""


class Waiting:
    """Looks at a transaction from a second connection while it takes long.

    Attributes:
        holders: who held the lock that was waited for last; empty when there was none.
    """

    def __init__(self, connect: Callable[[], connection], seconds: float) -> None:
        """Remember how to look.

        Args:
            connect: opens the second connection, which is rarely needed.
            seconds: the time between looks.
        """
        self._connect = connect
        self._seconds = seconds
        self.holders = ""

    @contextlib.contextmanager
    def watched(self, pid: int) -> Iterator[None]:
        """Watch a session of the server while the block runs."""
        self.holders = ""
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(pid, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()

    def _watch(self, pid: int, ended: threading.Event) -> None:
        told = ""
        while not ended.wait(self._seconds):
            with contextlib.suppress(psycopg2.Error):
                holders = self._ask(pid)
                if holders and not ended.is_set():
                    self.holders = holders
                    if holders.partition(" for ")[0] != told:
                        told = holders.partition(" for ")[0]
                        logger.warning("Waiting for %s", holders)

    def _ask(self, pid: int) -> str:
        with contextlib.closing(self._connect()) as opened, opened.cursor() as cur:
            cur.execute(HOLDERS, {"pid": pid})
            rows = cur.fetchall()
        if not rows:
            return ""
        sessions = ", ".join(
            f"session {number} ({user}, {application}, {state} for {seconds} s)"
            for _, number, user, application, state, seconds in rows
        )
        return f"{rows[0][0]}, locked by {sessions}"
