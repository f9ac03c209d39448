"""The records of one object type: what was generated, what was written since, what is gone."""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heappop, heappush, merge
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from hubspot_simulator.histories import Histories
from hubspot_simulator.keys import Keys
from hubspot_simulator.record import Record
from hubspot_simulator.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubspot_simulator.columns import Base
    from hubspot_simulator.instants import Clock
    from hubspot_simulator.object_types import ObjectType
    from hubspot_simulator.properties import Definitions


T = TypeVar("T")
CACHED = 32


class Records:
    """All records of one object type."""

    def __init__(
        self, object_type: ObjectType, definitions: Definitions, base: Base, clock: Clock
    ) -> None:
        self.type = object_type
        self.definitions = definitions
        self.base = base
        self.clock = clock
        self.search_lag = 0.0
        self.search_flicker = 0.0
        self.keys = Keys()
        self.rules = Rules()
        self.histories = Histories()
        self.written: dict[int, Record | None] = {}
        self.merged: dict[int, int] = {}
        self.deleted: set[int] = set()
        self.version = 0
        self._live: list[int] = []
        self._archived: list[int] = []
        self._next_id = base.id_at(base.count) + 1
        # What search knows of the written records, and what it will only know later.
        self.indexed: dict[int, Record | None] = {}
        self.index_version = 0
        self._cache: dict[Any, Any] = {}
        self._pending: list[tuple[float, int, int, Record | None]] = []
        self._told = 0

    def new_id(self) -> int:
        self._next_id += 3
        return self._next_id

    def get(self, object_id: int) -> Record | None:
        if object_id in self.written:
            return self.written[object_id]
        position = self.base.position(object_id)
        return None if position is None else self.generated(position)

    def generated(self, position: int) -> Record:
        base = self.base
        properties = {name: column.value(position) for name, column in base.columns.items()}
        return Record(
            base.id_at(position), base.created[position], base.updated[position], properties
        )

    def is_live(self, object_id: int) -> bool:
        if object_id in self.written:
            record = self.written[object_id]
            return record is not None and record.archived_ms is None
        return self.base.position(object_id) is not None

    def is_archived(self, object_id: int) -> bool:
        record = self.written.get(object_id)
        return record is not None and record.archived_ms is not None

    def survivor(self, object_id: int) -> int:
        """Follow merges to the record that took this one's place."""
        while object_id in self.merged:
            object_id = self.merged[object_id]
        return object_id

    def find_key(self, name: str, value: str) -> Record | None:
        """Find the live record that a unique value stands for."""
        if not self.keys.knows(name):
            found = (record for each in self.ids_from() if (record := self.get(each)) is not None)
            self.keys.build(name, ((record.id, record.properties) for record in found))
        object_id = self.keys.find(name, value)
        return None if object_id is None else self.get(object_id)

    def put(self, record: Record) -> None:
        is_new = self.get(record.id) is None
        self._forget(record.id)
        self.written[record.id] = record
        insort(self._live if record.archived_ms is None else self._archived, record.id)
        self._next_id = max(self._next_id, record.id)
        if record.archived_ms is None:
            self.keys.add(record.id, record.properties)
        self._tell_search(record.id, None if record.archived_ms is not None else record)
        if is_new and self.search_flicker:
            self._tell_search(record.id, None, later=self.search_flicker)
            self._tell_search(record.id, record, later=2 * self.search_flicker)

    def remove(self, object_id: int) -> None:
        self._forget(object_id)
        self.written[object_id] = None
        self._tell_search(object_id, None)

    def _forget(self, object_id: int) -> None:
        self.version += 1
        old = self.get(object_id)
        if old is not None:
            self.keys.forget(object_id, old.properties)
        for ids in (self._live, self._archived):
            place = bisect_left(ids, object_id)
            if place < len(ids) and ids[place] == object_id:
                del ids[place]

    def _tell_search(self, object_id: int, record: Record | None, *, later: float = 0.0) -> None:
        self._told += 1
        due = self.clock.now() + self.search_lag + later
        heappush(self._pending, (due, self._told, object_id, record))

    def refresh_index(self) -> None:
        """Let search see the writes whose lag is over."""
        now = self.clock.now()
        while self._pending and self._pending[0][0] <= now:
            _, _, object_id, record = heappop(self._pending)
            known = self.indexed.get(object_id)
            if record is None or known is None or known.updated_ms <= record.updated_ms:
                self.indexed[object_id] = record
            self.index_version += 1

    def cached(self, key: Any, make: Callable[[], T]) -> T:
        """Keep what one page worked out for the next ones."""
        if key not in self._cache:
            while len(self._cache) >= CACHED:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = make()
        return self._cache[key]  # type: ignore[no-any-return]

    def ids_from(self, start: int = 0, *, archived: bool = False) -> Iterator[int]:
        """Walk the ids in ascending order, from the first that is not below `start`."""
        if archived:
            return islice(self._archived, bisect_left(self._archived, start), None)
        base, written = self.base, self.written
        generated = map(base.id_at, range(base.lower_bound(start), base.count))
        if not written:
            return generated
        unwritten = (each for each in generated if each not in written)
        return merge(unwritten, islice(self._live, bisect_left(self._live, start), None))

    def live_count(self) -> int:
        replaced = sum(self.base.position(each) is not None for each in self.written)
        return self.base.count - replaced + len(self._live)
