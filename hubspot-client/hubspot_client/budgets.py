"""How many requests may go out: the budgets that all who talk to one account share.

HubSpot counts three things apart: ordinary requests (100 to 250 per rolling 10 seconds, by
subscription), searches (5 a second for the whole account) and association requests (100 to 200 per
10 seconds). Sources: HubSpot's usage guidelines and the guide to the associations API.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hubspot_client.budget import INTERVAL, Budget
from hubspot_client.places import SIZE
from hubspot_client.shared_numbers import SharedNumbers

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

HEADROOM = 0.94
"""The part of the account's limit that is used where no setting says otherwise."""

UNKNOWN_LIMIT = 100
"""Per 10 seconds: the smallest of HubSpot's limits, used until an answer names the real one."""

SEARCHES_PER_SECOND = 4.6
ASSOCIATIONS_PER_10_SECONDS = 100 * HEADROOM
NAMES = ("general", "search", "associations")
BURST = 10
NO_BURST_BELOW = 50
"""Per 10 seconds: a burst above a fifth of the rate is no pace."""


@dataclass(frozen=True)
class Turn:
    """When a request could go out.

    Args:
        family: Of the request.
        taken: The moment in the budget that HubSpot tells about.
        own: The moment in the user's own limit; None: there is no such limit.
    """

    family: str
    taken: float
    own: float | None


class Budgets:
    """The budgets by the family of a request.

    Args:
        requests_per_10_seconds: The user's own limit; then requests of all families together keep
            to it, those of all programs on this machine. None: learned from HubSpot's answers.
        delay: Seconds between two requests of this run at the least, of whichever family.
        stop: Set when the run ends.
        account: Who gives the same one shares the budgets; it may hold secrets. Empty: nobody.
        tell: Called with a budget's name and the seconds for which others' 429 have closed it.
    """

    def __init__(
        self,
        requests_per_10_seconds: int | None,
        *,
        delay: float,
        stop: threading.Event,
        account: str = "",
        tell: Callable[[str, float], None] | None = None,
    ) -> None:
        own = requests_per_10_seconds
        self._fixed = own is not None
        burst = BURST if own is None or own > NO_BURST_BELOW else 1
        names = NAMES if account else ("", "", "")
        general, search, associations = (
            SharedNumbers(f"{account}\0{name}" if name else "", SIZE) for name in names
        )
        self._numbers = (general, search, associations)
        to_tell = [partial(tell, name) if tell else None for name in NAMES]
        self.general = Budget(
            float("inf") if own is None else own,
            burst=burst,
            stop=stop,
            assumed=max(UNKNOWN_LIMIT, own or 0),
            headroom=HEADROOM if own is None else 1.0,
            numbers=general,
            strict=self._fixed,
            tell=to_tell[0],
        )
        self.search = Budget(
            SEARCHES_PER_SECOND * INTERVAL, burst=1, stop=stop, numbers=search, tell=to_tell[1]
        )
        self.associations = (
            self.general
            if self._fixed
            else Budget(
                ASSOCIATIONS_PER_10_SECONDS,
                burst=burst,
                stop=stop,
                assumed=max(UNKNOWN_LIMIT, ASSOCIATIONS_PER_10_SECONDS),
                headroom=HEADROOM,
                numbers=associations,
                tell=to_tell[2],
            )
        )
        self._gate = Budget(INTERVAL / delay, burst=1, stop=stop) if delay else None

    def take(self, family: str, patience: float | None = None) -> Turn:
        """Wait until a request of a family may go out.

        Args:
            family: Of the request.
            patience: Seconds to wait for each budget at the most; None: as long as it takes.

        Raises:
            Stopped: If the run ends meanwhile.
            Crowded: If no turn comes in time.
        """
        moments = {budget: budget.take(patience) for budget in self.drawn_on(family)}
        own = moments[self.general] if self._fixed else None
        return Turn(family, moments[self.of(family)], own)

    def answered(self, turn: Turn) -> None:
        """Note that a request has its answer, or will have none."""
        if turn.own is not None:
            self.general.answered(turn.own)

    def drawn_on(self, family: str) -> list[Budget]:
        """The budgets in which a request of a family waits for its turn, HubSpot's own first."""
        drawn = [self.of(family)]
        if self._fixed and drawn[0] is not self.general:
            drawn.append(self.general)
        if self._gate is not None:
            drawn.append(self._gate)
        return drawn

    def of(self, family: str) -> Budget:
        """The budget of HubSpot's that a family (`list`, `search`, `associations`, …) draws on."""
        if family == "search":
            return self.search
        return self.associations if family == "associations" else self.general

    def learn(self, turn: Turn, maximum: str | None, remaining: str | None) -> None:
        """Take the account's limit, and how much of it is left, from an answer's headers.

        Args:
            turn: What `take` gave for the request.
            maximum: `X-HubSpot-RateLimit-Max`, if there.
            remaining: `X-HubSpot-RateLimit-Remaining`, if there.
        """
        budget = self.of(turn.family)
        if not maximum or not maximum.isdigit() or budget is self.search:
            return
        if turn.family == "associations" and budget is self.general:
            return  # HubSpot counts them apart, and tells of that count
        left = int(remaining) if remaining and remaining.isdigit() else None
        budget.learn(int(maximum), left, turn.taken)

    def waited(self) -> float:
        """Seconds that threads waited for their turn, all together."""
        budgets = {self.general, self.search, self.associations, self._gate}
        return sum(b.waited for b in budgets if b is not None)

    def close(self) -> None:
        """Leave them to others."""
        for numbers in self._numbers:
            numbers.close()
