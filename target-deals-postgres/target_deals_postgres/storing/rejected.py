"""Records that could not be stored: each is kept with its reason in `_rejected_records`."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from psycopg2 import errors
from psycopg2.extras import execute_values
from psycopg2.sql import SQL, Identifier

from target_deals_postgres.errors import KeyMissingError, RejectedRecordsError
from target_deals_postgres.records.columns import Kind
from target_deals_postgres.records.values import storable
from target_deals_postgres.tables import catalog, security

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.extensions import cursor

    from target_deals_postgres.settings import Settings

logger = logging.getLogger("target-deals-postgres")

TABLE = "_rejected_records"
DEFINITION = """
    stream text NOT NULL, _tenant_id text, record_key text, reason text NOT NULL,
    payload text NOT NULL, rejected_at timestamp with time zone NOT NULL DEFAULT now(),
    run_started_at timestamp with time zone NOT NULL, version bigint
"""
MOST_LOGGED = 10


@dataclass(frozen=True)
class Rejected:
    """One record that is not in its table.

    Attributes:
        stream: its stream.
        tenant: its `_tenant_id`, if it has one.
        key: its key as JSON.
        reason: why it was rejected.
        payload: the record as JSON.
        version: the version that its message had.
        lacks_key: whether that is because it has no key.
    """

    stream: str
    tenant: str | None
    key: str
    reason: str
    payload: str
    version: int | None = None
    lacks_key: bool = False


@dataclass
class Rejections:
    """The rejected records of a run.

    Attributes:
        count: how many there were.
    """

    settings: Settings
    count: int = 0
    _only_keys_missing: bool = True
    _is_listed: bool = True
    _versions: set[tuple[str, int | None, str | None]] = field(default_factory=set)

    def prepare(self, cur: cursor) -> None:
        """Make the table, before any record comes; say at once if that is not allowed."""
        schema = self.settings.default_target_schema
        catalog.ensure_schema(cur, schema)
        cur.execute("SAVEPOINT rejected")
        try:
            self._make_table(cur, schema)
        except errors.InsufficientPrivilege as error:
            cur.execute("ROLLBACK TO SAVEPOINT rejected")
            self._is_listed = False
            logger.warning(
                "%s.%s cannot be used (%s): records that cannot be stored are left out, counted "
                "and not listed, and fail the run at its end; make the table, or grant CREATE on "
                "the schema",
                schema,
                TABLE,
                error.diag.message_primary,
            )

    def tally(self, one: Rejected) -> None:
        """Count a record, and log the first few; never with their values."""
        self.count += 1
        self._only_keys_missing &= one.lacks_key
        if self.count <= MOST_LOGGED:
            reason, _, _ = one.reason.partition(': "')  # what PostgreSQL quotes there is a value
            logger.warning("%s: a record was rejected: %s", one.stream, reason)

    def insert(self, cur: cursor, rejected: Sequence[Rejected]) -> None:
        """Store records, in the transaction of the batch that they come from."""
        self._versions |= {(one.stream, one.version, one.tenant) for one in rejected}
        if not self._is_listed:
            return
        schema = self.settings.default_target_schema
        execute_values(
            cur,
            SQL(
                "INSERT INTO {} (stream, _tenant_id, record_key, reason, payload, run_started_at, "
                "version) VALUES %s"
            ).format(Identifier(schema.replace("%", "%%"), TABLE)),
            [
                (
                    *(
                        None if text is None else storable(text, Kind.TEXT)
                        for text in (one.stream, one.tenant, one.key, one.reason, one.payload)
                    ),
                    self.settings.started,
                    one.version,
                )
                for one in rejected
            ],
        )

    def tenants_of(self, cur: cursor, stream: str, version: int) -> set[str | None]:
        """Whose records of a version were rejected, in this run or before; None: unknown whose.

        Args:
            cur: inside the transaction that listed the last of them.
            stream: the stream's name.
            version: the version.
        """
        found = {whose for one, of, whose in self._versions if (one, of) == (stream, version)}
        if self._is_listed:
            cur.execute(
                SQL("SELECT DISTINCT _tenant_id FROM {} WHERE stream = %s AND version = %s").format(
                    Identifier(self.settings.default_target_schema.replace("%", "%%"), TABLE)
                ),
                (storable(stream, Kind.TEXT), version),
            )
            found |= {whose for (whose,) in cur.fetchall()}
        return found

    def judge(self) -> None:
        """Say whether the run may count as a success.

        Raises:
            RejectedRecordsError: more records were rejected than `max_rejected_records` allows.
        """
        most = self.settings.max_rejected_records
        if self.count and not self._is_listed:
            raise RejectedRecordsError(
                f"{self.count} records were rejected and could not be listed, since "
                f"{self.settings.default_target_schema}.{TABLE} cannot be used; all others are "
                "committed"
            )
        if 0 <= most < self.count:
            kind = KeyMissingError if self._only_keys_missing else RejectedRecordsError
            raise kind(
                f"{self.count} records were rejected, more than max_rejected_records ({most}); "
                f"see {self.settings.default_target_schema}.{TABLE}; all others are committed"
            )

    def _make_table(self, cur: cursor, schema: str) -> None:
        name = Identifier(schema, TABLE)
        columns = self._columns(cur, schema)
        if not columns:
            catalog.lock(cur, f"{schema}.{TABLE}")
            cur.execute(SQL("CREATE TABLE IF NOT EXISTS {} (" + DEFINITION + ")").format(name))
            cur.execute(
                SQL("COMMENT ON TABLE {} IS {}").format(name, SQL("'Records that did not fit'"))
            )
        elif "version" not in columns:
            cur.execute(SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS version bigint").format(name))
        if self.settings.row_level_security:
            security.protect(cur, schema, TABLE)
        cur.execute(SQL("INSERT INTO {} SELECT * FROM {} WHERE false").format(name, name))

    @staticmethod
    def _columns(cur: cursor, schema: str) -> set[str]:
        cur.execute(
            "SELECT attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s AND attnum > 0 AND NOT attisdropped",
            (schema, TABLE),
        )
        return {name for (name,) in cur.fetchall()}
