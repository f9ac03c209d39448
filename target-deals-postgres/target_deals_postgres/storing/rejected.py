"""Records that could not be stored: each is kept with its reason in `_rejected_records`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    run_started_at timestamp with time zone NOT NULL
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
        lacks_key: whether that is because it has no key.
    """

    stream: str
    tenant: str | None
    key: str
    reason: str
    payload: str
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
    _has_table: bool = False

    def tally(self, one: Rejected) -> None:
        """Count a record, and log the first few; never with their values."""
        self.count += 1
        self._only_keys_missing &= one.lacks_key
        if self.count <= MOST_LOGGED:
            logger.warning("%s: a record was rejected: %s", one.stream, one.reason)

    def insert(self, cur: cursor, rejected: Sequence[Rejected]) -> None:
        """Store records, in the transaction of the batch that they come from."""
        schema = self.settings.default_target_schema
        if not self._has_table:
            self._make_table(cur, schema)
        execute_values(
            cur,
            SQL(
                "INSERT INTO {} (stream, _tenant_id, record_key, reason, payload, run_started_at) "
                "VALUES %s"
            ).format(Identifier(schema.replace("%", "%%"), TABLE)),
            [
                (
                    *(
                        None if text is None else storable(text, Kind.TEXT)
                        for text in (one.stream, one.tenant, one.key, one.reason, one.payload)
                    ),
                    self.settings.started,
                )
                for one in rejected
            ],
        )

    def judge(self) -> None:
        """Say whether the run may count as a success.

        Raises:
            RejectedRecordsError: more records were rejected than `max_rejected_records` allows.
        """
        most = self.settings.max_rejected_records
        if 0 <= most < self.count:
            kind = KeyMissingError if self._only_keys_missing else RejectedRecordsError
            raise kind(
                f"{self.count} records were rejected, more than max_rejected_records ({most}); "
                f"see {self.settings.default_target_schema}.{TABLE}; all others are committed"
            )

    def _make_table(self, cur: cursor, schema: str) -> None:
        catalog.ensure_schema(cur, schema)
        catalog.lock(cur, f"{schema}.{TABLE}")
        cur.execute(
            "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s",
            (schema, TABLE),
        )
        if not cur.rowcount:
            name = Identifier(schema, TABLE)
            cur.execute(SQL("CREATE TABLE {} (" + DEFINITION + ")").format(name))
            cur.execute(
                SQL("COMMENT ON TABLE {} IS {}").format(name, SQL("'Records that did not fit'"))
            )
        if self.settings.row_level_security:
            security.protect(cur, schema, TABLE)
