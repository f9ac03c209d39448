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
from target_deals_postgres.storing import rejected_table, replays
from target_deals_postgres.storing.keys import Listed
from target_deals_postgres.storing.rejected_table import TABLE
from target_deals_postgres.storing.replays import Again
from target_deals_postgres.tables import catalog

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from psycopg2.extensions import cursor

    from target_deals_postgres.config import Settings
    from target_deals_postgres.storing.keys import Key

logger = logging.getLogger("target-deals-postgres")

MOST_LOGGED = 10


@dataclass(frozen=True)
class Rejected:
    """One record that is not in its table, or not with all its values.

    Attributes:
        stream: its stream.
        tenant: its `_tenant_id`, if it has one.
        key: its key as JSON.
        reason: why it was rejected.
        payload: the record as JSON.
        version: the version that its message had.
        lacks_key: whether that is because it has no key.
        nulled: the properties that did not fit, where all others are stored.
        number: its number in the list, where it was tried again.
    """

    stream: str
    tenant: str | None
    key: str
    reason: str
    payload: str
    version: int | None = None
    lacks_key: bool = False
    nulled: tuple[str, ...] = ()
    number: int | None = None


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
    _nulled: int = 0
    # How many of each stream the log has not told of yet, and the last one's reason.
    _untold: dict[str, tuple[int, str]] = field(default_factory=dict)
    _open: dict[str, Listed] = field(default_factory=dict)
    _versions: set[tuple[str, int | None, str | None]] = field(default_factory=set)
    _overtaken: dict[str, set[str]] = field(default_factory=dict)

    def prepare(self, cur: cursor) -> None:
        """Make the table, before any record comes; say at once if that is not allowed."""
        schema = self.settings.default_target_schema
        catalog.ensure_schema(cur, schema)
        cur.execute("SAVEPOINT rejected")
        try:
            rejected_table.prepare(cur, self.settings)
            listed = Identifier(schema, TABLE)  # without parameters, a % stands for itself
            cur.execute(
                SQL("SELECT stream, record_key FROM {} WHERE overtaken IS NULL").format(listed)
            )
            for stream, key in cur.fetchall():
                self._open.setdefault(stream, Listed()).add(key)
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
        reason, _, _ = one.reason.partition(': "')  # what PostgreSQL quotes there is a value
        before, _ = self._untold.get(one.stream, (0, ""))
        self._untold[one.stream] = (before + 1, reason)
        if self.count <= MOST_LOGGED:
            logger.warning("%s: a record was rejected: %s", one.stream, reason)

    def tally_nulled(self, one: Rejected) -> None:
        """Log the first few records of which a value is NULL; never with their values."""
        self._nulled += 1
        if self._nulled <= MOST_LOGGED:
            logger.warning(
                "%s: a value is null now: %s", one.stream, one.reason.partition(': "')[0]
            )

    def tell(self) -> None:
        """Say in fields of the log how many were rejected since this was said last."""
        for stream, (count, reason) in self._untold.items():
            logger.warning(
                "%s: records rejected: %d", stream, count,
                extra={
                    "rejected_records": count, "rejected_stream": stream, "rejected_reason": reason
                },
            )  # fmt: skip
        self._untold.clear()

    def insert(self, cur: cursor, rejected: Sequence[Rejected]) -> None:
        """Store records, in the transaction of the batch that they come from."""
        self._versions |= {
            (one.stream, one.version, one.tenant) for one in rejected if not one.nulled
        }
        new = [one for one in rejected if one.number is None]
        known = [
            Again(one.number, storable(one.reason, Kind.TEXT), _names(one))
            for one in rejected
            if one.number is not None
        ]
        replays.keep(cur, self.settings, known)
        if not new or not self._is_listed:
            return
        for one in new:
            key = storable(one.key, Kind.TEXT)
            self._open.setdefault(one.stream, Listed()).add(key)
            self._overtaken.get(one.stream, set()).discard(key)
        execute_values(
            cur,
            SQL(
                "INSERT INTO {} (stream, _tenant_id, record_key, reason, payload, run_started_at, "
                "version, nulled) VALUES %s"
            ).format(self._name),
            [
                (
                    *(
                        None if text is None else storable(text, Kind.TEXT)
                        for text in (one.stream, one.tenant, one.key, one.reason, one.payload)
                    ),
                    self.settings.started,
                    one.version,
                    _names(one),
                )
                for one in new
            ],
        )

    def has_open(self, stream: str) -> bool:
        """Whether records of a stream are listed that no later one has overtaken."""
        return stream in self._open

    def of(self, stream: str, stored: Iterable[Key], kinds: Sequence[str]) -> set[str]:
        """The keys of listed records of a stream that are one of some, see `Listed.of`."""
        return self._open[stream].of(stored, kinds) if stream in self._open else set()

    def overtake(
        self, cur: cursor, stream: str, keys: Collection[str], last: int | None = None
    ) -> None:
        """Note that later records of some keys are stored: the listed ones are not tried again.

        Args:
            cur: inside the transaction that stores the later ones.
            stream: the stream's name.
            keys: as they are listed.
            last: the number in the list of the last one that was stored, if they stood there.
        """
        if keys:
            cur.execute(
                SQL(
                    "UPDATE {} SET overtaken = true WHERE stream = %s AND record_key = ANY(%s) "
                    "AND overtaken IS NULL AND id <= coalesce(%s, id)"
                ).format(self._name),
                (storable(stream, Kind.TEXT), list(keys), last),
            )

    def keep_overtaken(self, stream: str, keys: Collection[str]) -> None:
        """Remember what `overtake` will have to note when the stored records overwrite others."""
        self._overtaken.setdefault(stream, set()).update(keys)

    def overtake_all(
        self,
        cur: cursor,
        stream: str,
        tenants: set[str | None] | None,
        version: int | None = None,
    ) -> None:
        """Note that what is listed of some tenants is overtaken: all that there is came since.

        Args:
            cur: inside the transaction that stores the last of it.
            stream: the stream's name.
            tenants: whose; None for all.
            version: that of a full read: what it brought itself is not overtaken.
        """
        if not self.has_open(stream):
            return
        self.overtake(cur, stream, self._overtaken.get(stream, set()))
        cur.execute(
            SQL(
                "UPDATE {} SET overtaken = true WHERE stream = %s AND overtaken IS NULL "
                "AND CASE WHEN version IS NULL OR %s IS NULL THEN run_started_at < %s "
                "ELSE version < %s END AND (%s OR coalesce(_tenant_id = ANY(%s), %s))"
            ).format(self._name),
            (
                storable(stream, Kind.TEXT),
                version,
                self.settings.started,
                version,
                tenants is None,
                [one for one in tenants or () if one is not None],
                None in (tenants or ()),
            ),
        )

    def tenants(self, stream: str) -> set[str | None]:
        """Whose records of a stream this run rejected; None: unknown whose."""
        return {whose for one, _, whose in self._versions if one == stream}

    def share(self, cur: cursor, stream: str) -> None:
        """Let nobody try listed records of a stream again until the end of the transaction."""
        if self.has_open(stream):
            replays.share(cur, self.settings, stream)

    @property
    def _name(self) -> Identifier:
        return rejected_table.named(self.settings)

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
                SQL(
                    "SELECT DISTINCT _tenant_id FROM {} "
                    "WHERE stream = %s AND version = %s AND nulled IS NULL"
                ).format(self._name),
                (storable(stream, Kind.TEXT), version),
            )
            found |= {whose for (whose,) in cur.fetchall()}
        return found

    def judge(self, *, held: bool) -> None:
        """Say whether the run may count as a success.

        Args:
            held: whether records waited to overwrite others, which they then do not.

        Raises:
            RejectedRecordsError: more records were rejected than `max_rejected_records` allows.
        """
        most = self.settings.max_rejected_records
        others = "all others are committed"
        if held:
            others = "nothing is overwritten; the other streams' records are committed"
        if self.count and not self._is_listed:
            raise RejectedRecordsError(
                f"{self.count} records were rejected and could not be listed, since "
                f"{self.settings.default_target_schema}.{TABLE} cannot be used; {others}"
            )
        if 0 <= most < self.count:
            kind = KeyMissingError if self._only_keys_missing else RejectedRecordsError
            raise kind(
                f"{self.count} records were rejected, more than max_rejected_records ({most}); "
                f"see {self.settings.default_target_schema}.{TABLE}; {others}"
            )


def _names(one: Rejected) -> list[str] | None:
    return [storable(name, Kind.TEXT) for name in one.nulled] or None
