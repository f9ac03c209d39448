"""The records of one object type: what was generated, what was written since, what is gone."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubspot_simulator.columns import Base
    from hubspot_simulator.instants import Clock
    from hubspot_simulator.object_types import ObjectType
    from hubspot_simulator.properties import Definitions


T = TypeVar("T")
CACHED = 32


@dataclass(frozen=True)
class Record:
    """One record at one moment; a write makes a new one."""

    id: int
    created_ms: int
    updated_ms: int
    properties: dict[str, str | None] = field(default_factory=dict)
    archived_ms: int | None = None


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
        self._pending: deque[tuple[float, int, Record | None]] = deque()

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

    def put(self, record: Record) -> None:
        self._forget(record.id)
        self.written[record.id] = record
        insort(self._live if record.archived_ms is None else self._archived, record.id)
        self._next_id = max(self._next_id, record.id)
        self._tell_search(record.id, None if record.archived_ms is not None else record)

    def remove(self, object_id: int) -> None:
        self._forget(object_id)
        self.written[object_id] = None
        self._tell_search(object_id, None)

    def _forget(self, object_id: int) -> None:
        self.version += 1
        for ids in (self._live, self._archived):
            place = bisect_left(ids, object_id)
            if place < len(ids) and ids[place] == object_id:
                del ids[place]

    def _tell_search(self, object_id: int, record: Record | None) -> None:
        self._pending.append((self.clock.now() + self.search_lag, object_id, record))

    def refresh_index(self) -> None:
        """Let search see the writes whose lag is over."""
        now = self.clock.now()
        while self._pending and self._pending[0][0] <= now:
            _, object_id, record = self._pending.popleft()
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
