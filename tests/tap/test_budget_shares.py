"""What a budget makes of HubSpot's limit, alone and beside others: hours of it, in virtual time."""

from __future__ import annotations

import heapq
import random
import threading
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hubspot_client import budget
from hubspot_client.budget import INTERVAL, Budget

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 100
IN_FLIGHT = 4
LATE = 0.02
"""Seconds by which threads wake up late at the most."""


class Account:
    """An account that counts like HubSpot, and apps that send to it whenever they may."""

    def __init__(self, apps: int, latency: float) -> None:
        self.latency = latency
        self.now = 1000.0
        self.refused = 0
        self.sent: list[list[float]] = [[] for _ in range(apps)]
        self._budgets = [
            Budget(float("inf"), burst=10, stop=threading.Event(), assumed=LIMIT, headroom=0.94)
            for _ in range(apps)
        ]
        self._behind = [IN_FLIGHT - 1] * apps
        self._window: deque[float] = deque()
        self._chance = random.Random(14)
        self._number = count()
        self._events: list[tuple[float, int, Callable[..., None], int, Any]] = []

    def monotonic(self) -> float:
        """The clock that budgets look at."""
        return self.now

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for app in range(len(self.sent)):
            self._then(0, self._ask, app)
        until = self.now + seconds
        while self._events[0][0] < until:
            self.now, _, happens, app, fact = heapq.heappop(self._events)
            happens(app, fact)

    def _then(self, after: float, what: Callable[..., None], app: int, fact: Any = None) -> None:
        moment = self.now + after + LATE * self._chance.random()
        heapq.heappush(self._events, (moment, next(self._number), what, app, fact))

    def _ask(self, app: int, _: Any) -> None:
        pause = self._budgets[app]._try_to_take()
        if pause > 0:
            self._then(pause, self._ask, app)
            return
        self._then(self.latency * 0.2, self._arrive, app, self.now)
        self._behind[app] -= 1
        if self._behind[app] >= 0:
            self._then(0, self._ask, app)

    def _arrive(self, app: int, taken: float) -> None:
        while self._window and self._window[0] <= self.now - INTERVAL:
            self._window.popleft()
        if len(self._window) >= LIMIT:
            self.refused += 1
            self._budgets[app].close(1.0)
            self._then(1.0, self._free, app)
            return
        self._window.append(self.now)
        self.sent[app].append(self.now)
        self._then(self.latency * 0.8, self._answer, app, (LIMIT - len(self._window), taken))

    def _answer(self, app: int, told: tuple[int, float]) -> None:
        self._budgets[app].learn(LIMIT, *told)
        self._free(app, None)

    def _free(self, app: int, _: Any) -> None:
        self._behind[app] += 1
        if self._behind[app] == 0:  # nobody else is asking
            self._then(0, self._ask, app)


@pytest.fixture
def make_account(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(apps: int, latency: float) -> Account:
        account = Account(apps, latency)
        monkeypatch.setattr(budget, "time", account)
        return account

    return make


@pytest.mark.parametrize("latency", [0.05, 0.25])
def test_who_is_alone_uses_more_than_nine_tenths_of_the_limit(
    make_account: Any, latency: float
) -> None:
    account = make_account(1, latency)

    account.run(120)

    (moments,) = account.sent
    part = len(moments) / (moments[-1] - moments[0]) * INTERVAL / LIMIT
    assert part > 0.915
    assert account.refused == 0


def test_four_that_know_nothing_of_each_other_share_the_limit(make_account: Any) -> None:
    account = make_account(4, 0.25)

    account.run(300)

    late = [len([each for each in moments if each > account.now - 60]) for moments in account.sent]
    assert sum(late) / 60 > 0.9 * LIMIT / INTERVAL
    assert min(late) > 0.5 * max(late)
    assert account.refused < 0.01 * sum(map(len, account.sent))
