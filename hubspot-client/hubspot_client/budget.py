"""One of HubSpot's limits: when the next request may go out.

All programs of this machine that talk to one account share the numbers, so they are one to HubSpot.
Others - on other machines, other apps - are known by what HubSpot's answers say is left. A request
counts for ten seconds; when one of ours has aged, another may take its place. When HubSpot counted
it lies between its turn and its answer: where the limit is the user's own, and nobody else tells
that it is passed, the seconds begin with the answer. So those who are at
work keep their shares without taking each other's, and only what is free is fought for:

- while much is left, everybody takes of it quickly, the slower the less it is;
- a small reserve stays free. The smaller it is, the more of its own places everybody gives up,
  while everybody grows by the same number: shares become equal, and who comes late gets one.

429 closes the limit for all for as long as HubSpot asks, and lowers what is used of it for a while.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from hubspot_client.places import SIZE, At, add, age, counted_at, place, remove
from hubspot_client.shared_numbers import SharedNumbers

if TYPE_CHECKING:
    from collections.abc import Callable, MutableSequence

INTERVAL = 10.0
"""Seconds for which HubSpot counts a request."""

RESERVE = 0.08
"""The part of the limit below which places are given up, ..."""

EMPTY = 0.02
"""... and the part at which nothing new is taken."""

GIVEN_UP = 0.8
"""The part of the aged places that is given up where nothing is left."""

GROWTH = 0.02
"""The part of the limit that everybody adds in a second, while there is a reserve."""

GRAB = 0.5
"""The part of what is left above the reserve that everybody takes in a second."""

KEPT = 2.0
SAVED = 0.05
"""Credit that is kept: a place or two, lest what ages while one waits be lost, and this part of
what is left above the reserve. It is little, since others see it as free."""

TRUST = 0.5
"""How much of a new figure about the others is believed at once: it is a few requests off."""

ROOM = 1.25
LEAST = 0.05
NEWS = 1.0
"""Seconds after an answer for which its figures are good enough to take more."""

SILENCE = 5.0
"""Seconds without an answer after which one request is risked, to hear how much is left."""

SLOWER = 0.8
"""What a 429 leaves of the rate."""

SLOWEST = 0.1
CREEP = 0.001
CREEP_DOUBLES = 60.0
"""After a 429 the rate grows by a thousandth of the limit in a second, soon faster."""

POLL = 0.04
SHORTEST = 0.002
"""Seconds between two looks, where others may have changed the numbers meanwhile."""


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The run is ending; nobody waits for a turn any more."""


class Crowded(Exception):  # noqa: N818 - others are before us, and nothing went wrong
    """No turn came in time.

    Args:
        seconds: Until it is worth asking again.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Budget:
    """Lets requests out, as many as the account has room for.

    Args:
        most: Requests of ours in any ten seconds, at the most.
        burst: How many may go out at once after a pause.
        stop: Set when the run ends; waiters then leave with `Stopped`.
        assumed: The account's limit until an answer names it; None: answers say nothing about it,
            and only `most` counts.
        headroom: The part of the account's limit that is used.
        numbers: What is shared with others; None: nothing.
        strict: Whether a request counts from its `answered` on, so that never more than `most`
            arrive in any ten seconds, however long they are under way.
        tell: Called with the seconds of a wait that a 429 to somebody else has brought; who meets
            one tells it himself.
    """

    def __init__(
        self,
        most: float,
        *,
        burst: int,
        stop: threading.Event,
        assumed: float | None = None,
        headroom: float = 1.0,
        numbers: SharedNumbers | None = None,
        strict: bool = False,
        tell: Callable[[float], None] | None = None,
    ) -> None:
        self._most = most
        self._strict = strict
        self._burst = burst
        self._stop = stop
        self._assumed = assumed
        self._headroom = headroom
        self._numbers = numbers or SharedNumbers("", SIZE)
        self._turn = threading.Lock()
        self._tell = tell
        self._closed = self._told = 0.0
        self._taken = 0.0
        self.waited = 0.0

    def take(self, patience: float | None = None) -> float:
        """Wait for a turn, and tell the moment at which it came.

        Args:
            patience: Seconds to wait at the most; None: as long as it takes.

        Raises:
            Stopped: If the run ends meanwhile.
            Crowded: If no turn comes in time.
        """
        began = time.monotonic()
        # One asks, those behind it wait for it.
        if not self._turn.acquire(timeout=-1 if patience is None else patience):
            raise Crowded(1.0)
        try:
            while (pause := self._try_to_take()) > 0:
                if self._tell is not None and self._closed > self._told:
                    self._told = self._closed
                    self._tell(pause)
                if patience is not None and time.monotonic() + pause > began + patience:
                    raise Crowded(pause)
                if self._stop.wait(pause):
                    raise Stopped
            taken = self._taken
            self.waited += taken - began
        finally:
            self._turn.release()
        if self._stop.is_set():
            raise Stopped
        return taken

    def answered(self, taken: float) -> None:
        """Let a request count from now on, where that matters: it was counted before now.

        Args:
            taken: What `take` gave for it.
        """
        if not self._strict:
            return
        with self._numbers.locked() as numbers:
            now = time.monotonic()
            age(numbers, now - INTERVAL)
            remove(numbers, taken)
            add(numbers, now)

    def rate(self) -> float:
        """How many requests a second may go out by now, others' apart."""
        with self._numbers.locked() as numbers:
            return self._allowed(numbers, time.monotonic()) / INTERVAL

    def used(self) -> tuple[int, int | None]:
        """How many requests the last ten seconds had, others' too, and of how many at the most.

        The latter is what the user or HubSpot's answers say; None: neither has yet.
        """
        with self._numbers.locked() as numbers:
            age(numbers, time.monotonic() - INTERVAL)
            limit = self._most if self._strict else numbers[At.MAXIMUM]
            return round(numbers[At.COUNT] + numbers[At.OTHERS]), int(limit) or None

    def close(self, seconds: float) -> None:
        """Let nothing out for a while, and less after it: HubSpot said 429."""
        with self._numbers.locked() as numbers:
            now = time.monotonic()
            if now >= numbers[At.CLOSED]:  # those sent with it tell nothing new
                slowed = 1 - (1 - self._slowed(numbers, now)) * SLOWER
                numbers[At.SLOWED] = min(slowed, 1 - SLOWEST)
                numbers[At.FAILED] = now
            numbers[At.CLOSED] = max(numbers[At.CLOSED], now + seconds)
            self._told = numbers[At.CLOSED]
            numbers[At.CREDIT] = min(numbers[At.CREDIT], 1.0)

    def learn(self, maximum: int, remaining: int | None, taken: float) -> None:
        """Take from an answer how many requests the account has, and how many are left.

        Args:
            maximum: In ten seconds.
            remaining: Of these, when HubSpot counted the request; None: not told.
            taken: What `take` gave before the request was sent.
        """
        with self._numbers.locked() as numbers:
            now = time.monotonic()
            age(numbers, now - INTERVAL)
            first = not numbers[At.MAXIMUM]
            numbers[At.MAXIMUM] = maximum
            numbers[At.HEARD] = now
            if remaining is None:
                return
            others = max(0, maximum - remaining - counted_at(numbers, taken, INTERVAL))
            trust = 1.0 if first else TRUST
            numbers[At.OTHERS] += (others - numbers[At.OTHERS]) * trust

    def _try_to_take(self) -> float:
        """Take a place and return 0, or return the seconds until it is worth asking again."""
        with self._numbers.locked() as numbers:
            now = time.monotonic()
            self._earn(numbers, now)
            if now < numbers[At.CLOSED]:
                self._closed = numbers[At.CLOSED]
                return numbers[At.CLOSED] - now
            allowed = self._allowed(numbers, now)
            if numbers[At.COUNT] >= allowed:
                return max(numbers[place(numbers, 0)] + INTERVAL - now, 0.001)
            if numbers[At.CREDIT] < 1.0:
                return self._until_credit(numbers, now)
            pace = INTERVAL / (allowed * self._share(numbers))
            turn = max(numbers[At.NEXT], now - (self._burst - 1) * pace)
            if turn > now:
                return turn - now
            numbers[At.NEXT] = turn + pace
            numbers[At.CREDIT] -= 1.0
            add(numbers, now)
            self._taken = now
            return 0.0

    def _share(self, numbers: MutableSequence[float]) -> float:
        """The part of the limit's pace that is ours: our part of the requests, and room to grow.

        Places taken in a hurry would all age in a hurry, ten seconds later, time and again.
        """
        ours = numbers[At.COUNT] + 1
        return min(1.0, ROOM * ours / (ours + numbers[At.OTHERS]) + LEAST)

    def _allowed(self, numbers: MutableSequence[float], now: float) -> float:
        """Requests in any ten seconds, of all who share the numbers."""
        most = self._most
        if self._assumed is not None:
            most = min(most, (numbers[At.MAXIMUM] or self._assumed) * self._headroom)
        return max(1.0, most * (1 - self._slowed(numbers, now)))

    def _slowed(self, numbers: MutableSequence[float], now: float) -> float:
        """The part of the rate that 429s took, less what has come back since."""
        since = now - numbers[At.FAILED]
        back = CREEP * since * (1 + (since / CREEP_DOUBLES) ** 2 / 3)
        return max(0.0, numbers[At.SLOWED] - back)

    def _earn(self, numbers: MutableSequence[float], now: float) -> None:
        """Reckon the credit up to now."""
        aged = age(numbers, now - INTERVAL)
        until = min(now, numbers[At.HEARD] + NEWS) if numbers[At.HEARD] else now
        since = max(0.0, min(until - numbers[At.UPDATED], INTERVAL))
        numbers[At.UPDATED] = now
        if self._assumed is None:
            numbers[At.CREDIT] = self._burst
            return
        ease, spare = self._room(numbers, self._assumed)
        kept = aged * (1 - GIVEN_UP * (1 - ease))
        grown = since * self._growth(numbers, self._assumed)
        credit = min(numbers[At.CREDIT] + kept + grown, self._burst, KEPT + SAVED * spare)
        last = numbers[place(numbers, numbers[At.COUNT] - 1)] if numbers[At.COUNT] else 0.0
        if now - max(numbers[At.HEARD], last) > SILENCE:
            credit = max(credit, 1.0)
        numbers[At.CREDIT] = credit

    def _room(self, numbers: MutableSequence[float], assumed: float) -> tuple[float, float]:
        """How much of the reserve is there, from 0 to 1, and the requests left above it."""
        limit = numbers[At.MAXIMUM] or assumed
        left = limit - numbers[At.COUNT] - numbers[At.OTHERS]
        ease = min(1.0, max(0.0, (left / limit - EMPTY) / (RESERVE - EMPTY)))
        return ease, max(0.0, left - RESERVE * limit)

    def _growth(self, numbers: MutableSequence[float], assumed: float) -> float:
        """Credit that is added in a second, aged places aside."""
        ease, spare = self._room(numbers, assumed)
        return GROWTH * (numbers[At.MAXIMUM] or assumed) * ease + GRAB * spare

    def _until_credit(self, numbers: MutableSequence[float], now: float) -> float:
        """Seconds until there may be credit for a request: a place ages, or enough has grown."""
        pause = POLL
        if numbers[At.COUNT]:
            pause = min(pause, numbers[place(numbers, 0)] + INTERVAL - now)
        if self._assumed is not None and (growth := self._growth(numbers, self._assumed)):
            pause = min(pause, (1.0 - numbers[At.CREDIT]) / growth)
        return max(pause, SHORTEST)
