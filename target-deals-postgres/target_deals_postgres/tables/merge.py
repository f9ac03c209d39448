"""From a batch to the table: COPY, one merge, and bad rows found and left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2
from psycopg2 import errorcodes

from target_deals_postgres.errors import DatabaseRefusedError
from target_deals_postgres.records.batches import Batch
from target_deals_postgres.tables import staging
from target_deals_postgres.tables.outcomes import Outcome
from target_deals_postgres.tables.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.extensions import cursor
    from psycopg2.sql import Composable

    from target_deals_postgres.records.presence import Presence
    from target_deals_postgres.records.rows import Layout
    from target_deals_postgres.tables.catalog import Table
    from target_deals_postgres.tables.versions import Versions


class Merge:
    """Loads the batches of one layout into its table.

    Attributes:
        judged: whether people's constraints, triggers or indexes may refuse a row.
    """

    def __init__(
        self,
        table: Table,
        layout: Layout,
        *,
        uncompared: frozenset[str] = frozenset(),
        versions: Versions | None = None,
        hard_delete: bool = False,
        direct: bool = False,
        lenient: bool = False,
    ) -> None:
        """Prepare the statements.

        Args:
            table: the table.
            layout: the layout of the rows.
            uncompared: columns whose change alone does not make a row new.
            versions: where is noted which rows a version brought unchanged.
            hard_delete: whether rows that carry `_sdc_deleted_at` are removed.
            direct: whether rows are likely to be new: they are copied right into the table, until
                one is there already.
            lenient: whether a value that does not fit its column becomes NULL.
        """
        self._table = table
        self._layout = layout
        self._hard_delete = hard_delete and "_sdc_deleted_at" in layout.names and bool(layout.keys)
        self._direct = direct and not self._hard_delete
        self._firm: frozenset[int] | None = None
        if lenient:
            at = [at for at, one in enumerate(layout.columns) if one.field.name in layout.firm]
            self._firm = frozenset(at)
        self._partitioned = table.partitioned
        self.judged = table.judged
        self._secured = table.secured
        self._has_defaults = not table.defaults.keys().isdisjoint(layout.names)
        name = staging.new_name()
        self._statements = Statements(table, layout, name, uncompared)
        self._stage = staging.Stage(name, self._statements, self._firm)
        self._note: Composable | None = None
        if versions is not None and versions.kept and layout.keys and layout.version is not None:
            self._note = versions.note(self._statements.seen(removing=self._hard_delete))
        self._used = False  # whether the stage may have rows of this transaction
        self._alike: dict[Presence, Composable] = {}

    def load(self, cur: cursor, batch: Batch) -> Outcome:
        """Merge a batch, inside the caller's transaction.

        Raises:
            psycopg2.Error: an error that no single row causes.
        """
        self._used = False
        if batch.parts and (odd := self._odd_parts(cur, batch)):
            outcome = self.load(cur, batch.without(odd))
            outcome.add(self._load_apart(cur, batch, sorted(odd)))
            return outcome
        if self._direct and self._is_full(batch) and self._copy_directly(cur, batch):
            return Outcome(created=len(batch.rows), superseded=batch.superseded)
        return self._load_staged(cur, batch)

    def _is_full(self, batch: Batch) -> bool:
        # COPY would put NULL where a record says nothing and the table has a default.
        return not (batch.incomplete and self._has_defaults)

    def remove_stage(self, cur: cursor) -> None:
        """Drop the stage, which the next batch makes again."""
        self._stage.remove(cur)

    def _odd_parts(self, cur: cursor, batch: Batch) -> set[int]:
        # Rows made of a record that PostgreSQL cannot read: alone it would have been refused. What
        # people's constraints and triggers say of each, only the table knows.
        if self.judged:
            return set(batch.parts)
        owners = [number for number, parts in batch.parts.items() for _ in parts]
        self._stage.make(cur)
        cur.execute("SAVEPOINT parts")
        refused = self._stage.copy(cur, batch.made_of(batch.parts), range(len(owners)))
        cur.execute("ROLLBACK TO SAVEPOINT parts; RELEASE SAVEPOINT parts")
        return {owners[at] for at, _ in refused}

    def _load_apart(self, cur: cursor, batch: Batch, numbers: Sequence[int]) -> Outcome:
        # The records that rows were made of: the first ones of all, then the second ones, …
        outcome = Outcome()
        for at in range(max(len(batch.parts[number]) for number in numbers)):
            some = Batch(self._layout)
            for number in numbers:
                if at < len(batch.parts[number]):
                    some.append(*batch.parts[number][at])
            outcome.add(self._load_staged(cur, some))
        return outcome

    def _load_staged(self, cur: cursor, batch: Batch) -> Outcome:
        self._stage.make(cur)
        outcome = Outcome(superseded=batch.superseded)
        patches: dict[int, staging.Patch] = {}
        todo = [range(len(batch.rows))] if batch.rows else []  # all may be loaded apart
        while todo:
            numbers = todo.pop()
            cur.execute("SAVEPOINT merge")
            if self._used:
                self._stage.empty(cur)
            self._used = True
            wanted = patches if self._firm is not None else None
            refused = self._stage.copy(cur, batch, numbers, wanted)
            if parts := self._apart(cur, numbers, refused):
                cur.execute("ROLLBACK TO SAVEPOINT merge; RELEASE SAVEPOINT merge")
                todo += reversed(parts)
                continue
            try:
                created, updated, removed = self._merge(cur, batch)
            except psycopg2.Error as error:
                staging.raise_unless_a_row_is_bad(error)
                cur.execute("ROLLBACK TO SAVEPOINT merge; RELEASE SAVEPOINT merge")
                if len(numbers) == 1:
                    patches.pop(numbers[0], None)
                    outcome.add(self._refused(cur, batch, numbers[0], staging.reason_of(error)))
                else:
                    middle = len(numbers) // 2
                    todo += [numbers[middle:], numbers[:middle]]
            else:
                cur.execute("RELEASE SAVEPOINT merge")
                outcome.created += created
                outcome.updated += updated
                outcome.deleted += removed
                for number, why in refused:
                    patches.pop(number, None)
                    outcome.add(self._refused(cur, batch, number, why))
        outcome.nulled += [(batch, number, one.reasons) for number, one in patches.items()]
        return outcome

    def _refused(self, cur: cursor, batch: Batch, number: int, why: str) -> Outcome:
        if number not in batch.parts:
            return Outcome(refused=[(batch, number, why)])
        outcome = self._load_apart(cur, batch, [number])
        outcome.superseded -= len(batch.parts[number]) - 1
        return outcome

    def _apart(
        self, cur: cursor, numbers: range, refused: Sequence[tuple[int, str]]
    ) -> list[range]:
        # Rows of one key in two spellings go one after the other, so that the later one wins.
        if not self._layout.spelled or len(numbers) < 2:  # noqa: PLR2004 - no pair
            return []
        cur.execute(self._statements.repeated())
        pairs = cur.fetchall()
        if not pairs:
            return []
        left_out = {number for number, _ in refused}
        staged = [number for number in numbers if number not in left_out]
        parts: list[range] = []
        start = 0
        for at, before in pairs:
            if before >= start:
                parts.append(range(staged[start], staged[at]))
                start = at
        # What lies before the first good row is refused again, with the first part.
        parts.append(range(staged[start], numbers.stop))
        parts[0] = range(numbers.start, parts[0].stop)
        return parts

    def _copy_directly(self, cur: cursor, batch: Batch) -> bool:
        cur.execute("SAVEPOINT direct")
        try:
            cur.copy_expert(self._statements.copy(), staging.Lines(batch.rows))
        except psycopg2.Error as error:
            staging.raise_unless_a_row_is_bad(error)
            cur.execute("ROLLBACK TO SAVEPOINT direct; RELEASE SAVEPOINT direct")
            self._direct = error.pgcode != errorcodes.UNIQUE_VIOLATION
            return False
        cur.execute("RELEASE SAVEPOINT direct")
        return True

    def _merge(self, cur: cursor, batch: Batch) -> tuple[int, int, int]:
        # How many rows were created, updated, and removed again.
        known = batch.presences()
        # The INSERT of a partitioned table cannot tell which rows are new. A trigger before INSERT
        # changes what ON CONFLICT updates, and one before UPDATE changes it again.
        is_empty = not any("1" in present.mask for present in known)
        if len(known) > 1 or self._partitioned or self.judged or is_empty:
            created, updated = self._merge_mixed(cur, known)
        else:
            created, updated = self._merge_alike(cur, *known)
        if self._note is not None:
            cur.execute(self._note)
        removed = 0
        if self._hard_delete:
            cur.execute(self._statements.delete_marked())
            removed = cur.rowcount
        return created, updated, removed

    def _merge_alike(self, cur: cursor, present: Presence) -> tuple[int, int]:
        if present not in self._alike:
            self._alike[present] = self._statements.merge_alike(present)
        cur.execute(self._alike[present])
        created, updated = cur.fetchone() or (0, 0)
        return created, updated

    def _merge_mixed(self, cur: cursor, known: set[Presence]) -> tuple[int, int]:
        # Records with different fields: new rows first, then each value that its record has.
        made: str | None = None
        if self.judged and not self._partitioned:  # a trigger may have changed what it inserts
            cur.execute(self._statements.insert_and_tell())
            created, made = cur.fetchone() or (0, None)
        else:
            cur.execute(self._statements.insert_missing())
            created = cur.rowcount
        update = self._statements.update_present(known, made)
        if update is None:
            return created, 0
        cur.execute(update)
        updated = cur.rowcount
        if self._secured:
            cur.execute(self._statements.hidden())
            if cur.fetchone() != (0,):
                raise DatabaseRefusedError(
                    f"row-level security hides rows of {self._table} from the loading role, which "
                    "it can neither insert nor update: let a policy show them"
                )
        return created, updated
