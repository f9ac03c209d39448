"""When the requests of a rehearsal would go out, and when their answers would be there."""

from __future__ import annotations

import heapq
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_client.budget import Budget
    from hubspot_client.client import Client

T = TypeVar("T")


class Timeline:
    """Seconds since a run's beginning, as seen by whoever is at work.

    Args:
        hubspot: Knows how many requests may go out, and how long its answers took so far.
    """

    def __init__(self, hubspot: Client) -> None:
        self.now = 0.0
        self._hubspot = hubspot
        self._paces: dict[str, tuple[float, list[tuple[Budget, float]]]] = {}
        self._turns: dict[Budget, float] = {}

    def ask(self, family: str) -> None:
        """Wait for a turn, and for the answer."""
        if family not in self._paces:
            budgets = self._hubspot.budgets.drawn_on(family)
            paces = [(budget, 1 / budget.rate()) for budget in budgets]
            self._paces[family] = (self._hubspot.latency(family), paces)
        latency, paces = self._paces[family]
        for budget, pace in paces:
            self.now = max(self.now, self._turns.get(budget, 0.0))
            self._turns[budget] = self.now + pace
        self.now += latency


class _Answered(Future[T]):
    """What a task gave, and when; who looks at it has waited for it."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self._timeline = timeline
        self.at = 0.0

    @override
    def result(self, timeout: float | None = None) -> T:
        self._timeline.now = max(self._timeline.now, self.at)
        return super().result(timeout)


class Threads(Executor):
    """So many threads on a timeline: a task is carried out at once, and its time reckoned.

    Args:
        timeline: Theirs.
        number: How many there are.
    """

    def __init__(self, timeline: Timeline, number: int) -> None:
        self._timeline = timeline
        self._free = [0.0] * number

    @override
    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        answered = _Answered[T](self._timeline)
        came = self._timeline.now
        self._timeline.now = max(came, heapq.heappop(self._free))
        try:
            answered.set_result(fn(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001 - raised again by whoever asks for the result
            answered.set_exception(exc)
        answered.at = self._timeline.now
        heapq.heappush(self._free, answered.at)
        self._timeline.now = came
        return answered
