"""What each run brought into each stream: rows of `_loads`, true with the data they tell of.

A row is written in the transaction of its data. A run that was killed cannot say so; but while it
lives, its session holds a lock that everybody can see.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from psycopg2 import errors
from psycopg2.sql import SQL, Identifier

from target_deals_postgres.records.columns import Kind
from target_deals_postgres.records.values import storable
from target_deals_postgres.tables import catalog, security

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg2.extensions import cursor

    from target_deals_postgres.config import Settings
    from target_deals_postgres.storing.destinations import Counts

logger = logging.getLogger("target-deals-postgres")

TABLE = "_loads"
VIEW = "_latest_loads"
DEFINITION = """
    run_id uuid, stream text, _tenant_id text, tenants text[] NOT NULL,
    started_at timestamp with time zone NOT NULL, stored_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone, processed bigint NOT NULL, created bigint NOT NULL,
    updated bigint NOT NULL, unchanged bigint NOT NULL, superseded bigint NOT NULL,
    rejected bigint NOT NULL, deleted bigint NOT NULL, state text NOT NULL, code text,
    nulled bigint NOT NULL DEFAULT 0, PRIMARY KEY (run_id, stream)
"""
LAST = "nulled"  # the column that came last to table and view, with 0.2
KEY = SQL("hashtextextended('target-deals-postgres run ' || run_id, 0)")
# No session of this database holds the lock that has the run's number.
DEAD = """
    NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32 | objid::bigint) = {key})
"""
LATEST = """
    SELECT DISTINCT ON (stream, _tenant_id) run_id, stream, _tenant_id, tenants, started_at,
        stored_at, finished_at, processed, created, updated, unchanged, superseded, rejected,
        deleted, CASE WHEN state = 'running' AND {dead} THEN 'lost' ELSE state END AS state, code,
        nulled
    FROM {table} ORDER BY stream, _tenant_id, started_at DESC, stored_at DESC
"""
LOST = """
    UPDATE {table} SET state = 'lost', finished_at = stored_at WHERE state = 'running' AND {dead}
"""
COLUMNS = (
    *("run_id", "stream", "_tenant_id", "tenants", "processed", "created", "updated", "unchanged"),
    *("superseded", "rejected", "deleted", "nulled", "started_at", "state", "stored_at"),
)
SECURITY_INVOKER = 150000  # the first server version where a view can use its reader's rights


@dataclass
class Loads:
    """The rows of one run, one for each stream.

    Attributes:
        run: its id.
        stored: what the rows say since the last commit.
    """

    settings: Settings
    run: str = field(default_factory=lambda: str(uuid.uuid4()))
    stored: Mapping[str, Counts] = field(default_factory=dict)
    _streams: dict[str, Counts] = field(default_factory=dict)
    _kept: bool = True
    _backend: int = 0

    def __post_init__(self) -> None:
        """Keep none where the settings say so: a dry run stores nothing."""
        self._kept = self.settings.loads and not self.settings.dry_run

    def prepare(self, cur: cursor) -> None:
        """Make table and view, and end the rows of runs that were lost."""
        if self._kept:
            self._try(cur, lambda: self._make_table(cur, self.settings.default_target_schema))

    def follow(self, stream: str, counts: Counts) -> None:
        """Tell of a stream from now on."""
        self._streams[stream] = counts

    def snapshot(self) -> dict[str, Counts]:
        """What became of the records so far, to be completed and stored with the next commit."""
        return {
            name: replace(counts, tenants=set(counts.tenants))
            for name, counts in (self._streams.items() if self._kept else ())
        }

    def store(self, cur: cursor, counts: Mapping[str, Counts]) -> None:
        """Write the rows that say something new, in the transaction of the data they tell of.

        Args:
            cur: inside the transaction.
            counts: what became of the records of each stream.
        """
        if self._kept and counts:
            self._try(cur, lambda: self._store(cur, counts))

    def tell(self) -> None:
        """Log what is stored of each stream, where the run ends before its end."""
        for stream, counts in self.stored.items():
            logger.info(
                "%s: %d processed and stored before the run ended",
                stream,
                counts.processed,
                extra={"load": counts.told(stream)},
            )

    def end(self, cur: cursor, state: str, code: str) -> None:
        """Say how the run ended; the counts stay those of what is stored.

        A stream whose table could not be made has its row too.

        Args:
            cur: a cursor.
            state: completed, failed or interrupted.
            code: why it failed; see docs/codes.md.
        """
        if self._kept and self._streams:
            self._try(cur, lambda: self._end(cur, state, code))

    def _end(self, cur: cursor, state: str, code: str) -> None:
        self._store(
            cur, {name: one for name, one in self._streams.items() if name not in self.stored}
        )
        cur.execute(
            SQL(
                "UPDATE {} SET state = %s, code = %s, finished_at = clock_timestamp() "
                "WHERE run_id = %s"
            ).format(Identifier(self.settings.default_target_schema.replace("%", "%%"), TABLE)),
            (state, code or None, self.run),
        )

    def _store(self, cur: cursor, counts: Mapping[str, Counts]) -> None:
        self._hold(cur)
        columns = [Identifier(name) for name in COLUMNS]
        statement = SQL(
            "INSERT INTO {} ({columns}) VALUES ({values}) "
            "ON CONFLICT (run_id, stream) DO UPDATE SET ({columns}) = ROW({new})"
        ).format(
            Identifier(self.settings.default_target_schema.replace("%", "%%"), TABLE),
            columns=SQL(", ").join(columns),
            values=SQL("%s, " * (len(COLUMNS) - 2) + "'running', clock_timestamp()"),
            new=SQL(", ").join(SQL("excluded.{}").format(column) for column in columns),
        )
        for stream, one in counts.items():
            if one == self.stored.get(stream):
                continue
            tenants = sorted(one.tenants)
            cur.execute(
                statement,
                (
                    self.run,
                    storable(stream, Kind.TEXT),
                    tenants[0] if len(tenants) == 1 else None,
                    tenants,
                    one.processed,
                    one.created,
                    one.updated,
                    one.unchanged,
                    one.superseded,
                    one.failed,
                    one.deleted,
                    one.nulled,
                    self.settings.started,
                ),
            )

    def _hold(self, cur: cursor) -> None:
        # The session's sign of life, which a new connection has to give again.
        backend = cur.connection.info.backend_pid
        if backend != self._backend:
            cur.execute(
                SQL("SELECT pg_advisory_lock_shared({}) FROM (SELECT %s AS run_id) AS run").format(
                    KEY
                ),
                (self.run,),
            )
            self._backend = backend

    def _try(self, cur: cursor, work: Callable[[], None]) -> None:
        # A role that may not write here loads all the same, and so does one whose table is gone.
        cur.execute("SAVEPOINT loads")
        try:
            work()
        except (
            errors.InsufficientPrivilege,
            errors.UndefinedColumn,
            errors.UndefinedTable,
        ) as error:
            cur.execute("ROLLBACK TO SAVEPOINT loads")
            self._kept = False
            logger.warning(
                "%s.%s is not kept (%s): make the table, or grant CREATE on the schema; "
                "loads: false ends this line",
                self.settings.default_target_schema,
                TABLE,
                error.diag.message_primary,
            )
        else:
            cur.execute("RELEASE SAVEPOINT loads")

    def _make_table(self, cur: cursor, schema: str) -> None:
        name, view = Identifier(schema, TABLE), Identifier(schema, VIEW)
        columns = catalog.columns(cur, schema, TABLE)
        if not columns:
            catalog.lock(cur, f"{schema}.{TABLE}")
            cur.execute(SQL("CREATE TABLE IF NOT EXISTS {} (" + DEFINITION + ")").format(name))
            cur.execute(
                SQL("COMMENT ON TABLE {} IS 'What each run brought into each stream'").format(name)
            )
            security.let_read(cur, schema, TABLE, self.settings.readers)
        elif LAST not in columns:
            cur.execute(
                SQL(
                    "ALTER TABLE {} ADD COLUMN IF NOT EXISTS nulled bigint NOT NULL DEFAULT 0"
                ).format(name)
            )
        if self.settings.row_level_security:
            security.protect(cur, schema, TABLE)
        cur.execute(SQL("INSERT INTO {} SELECT * FROM {} WHERE false").format(name, name))
        dead = SQL(DEAD).format(key=KEY)
        cur.execute(SQL(LOST).format(table=name, dead=dead))
        can_show = cur.connection.server_version >= SECURITY_INVOKER
        if can_show and LAST not in catalog.columns(cur, schema, VIEW):
            catalog.lock(cur, f"{schema}.{TABLE}")
            cur.execute(
                SQL("CREATE OR REPLACE VIEW {} WITH (security_invoker = true) AS {}").format(
                    view, SQL(LATEST).format(table=name, dead=dead)
                )
            )
            cur.execute(
                SQL("COMMENT ON VIEW {} IS {}").format(
                    view, SQL("'The last load of each stream and tenant'")
                )
            )
            security.let_read(cur, schema, VIEW, self.settings.readers)
