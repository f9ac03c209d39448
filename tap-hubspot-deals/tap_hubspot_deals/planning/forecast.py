"""A forecast: what a run would ask, how long that takes, and what it leaves of the day's quota."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubspot_client.errors import DailyReserveError
from hubspot_client.usage import daily_usage

from tap_hubspot_deals.planning.rehearsal import Rehearsal, Rehearsed
from tap_hubspot_deals.planning.timeline import Timeline
from tap_hubspot_deals.streams.objects import ObjectStream

if TYPE_CHECKING:
    from hubspot_client.client import Client
    from hubspot_client.usage import DailyUsage

    from tap_hubspot_deals.sdk import SingerTap


@dataclass(frozen=True)
class RunForecast:
    """What one run would cost.

    Args:
        begun: Requests by family that it makes before the records: what an account has, what the
            token may read, owners and pipelines.
        streams: What it asks for records.
        seconds: Until HubSpot has answered all of it.
    """

    begun: Counter[str]
    streams: list[Rehearsed]
    seconds: float

    @property
    def by_family(self) -> Counter[str]:
        """Requests by family."""
        found = Counter(self.begun)
        for stream in self.streams:
            for (family, _), number in stream.asked.items():
                found[family] += number
        return found

    @property
    def requests(self) -> int:
        """All of them."""
        return self.by_family.total()


@dataclass(frozen=True)
class Forecast:
    """What the next run, and one without state, would cost.

    Args:
        following: The run that goes on from the state.
        anew: One that has no state; None: not asked for, or the same.
        usage: The account's requests of the day; None: HubSpot does not tell.
        spent: Requests that the forecast itself cost, besides those that every run begins with.
    """

    following: RunForecast
    anew: RunForecast | None
    usage: DailyUsage | None
    spent: int


def forecast(tap: SingerTap, client: Client, *, private: bool, also_anew: bool) -> Forecast:
    """Forecast the runs of a tap whose streams are discovered.

    Args:
        tap: With its state and its selection.
        client: The conversation in which the streams were discovered.
        private: Whether the token is a private app's: only then the day has a quota.
        also_anew: Whether a run without state is forecast, too.

    Raises:
        HubSpotError: If HubSpot does not give a number.
        StateError: As in a run.
    """
    tap.prepare()
    begun = Counter(client.requests)
    rehearsals = []
    for stream in tap.loaded_streams:
        if isinstance(stream, ObjectStream):
            stream.find_children()
            if stream.is_asked_for:
                rehearsals.append(Rehearsal(stream))
    imagined = {each.name: each.imagined for each in rehearsals}
    for each in imagined.values():
        each.partners = imagined
    following = _run(rehearsals, client, begun, anew=False)
    anew = _run(rehearsals, client, begun, anew=True) if also_anew else None
    usage = daily_usage(client) if private else None
    spent = sum(client.requests.values()) - begun.total()
    return Forecast(following, anew, usage, spent)


def _run(
    rehearsals: list[Rehearsal], client: Client, begun: Counter[str], *, anew: bool
) -> RunForecast:
    timeline = Timeline(client)
    for family, number in begun.items():
        for _ in range(number):
            timeline.ask(family)
    streams = [each.go_through(timeline, anew=anew) for each in rehearsals]
    return RunForecast(begun, streams, timeline.now)


def keep_reserve(found: Forecast, percent: int) -> None:
    """Refuse a run that would leave less of the day's requests than is to be kept.

    Args:
        found: A forecast made in the run itself, which has begun to ask; with a usage.
        percent: How much of the day's requests is to be left.

    Raises:
        DailyReserveError: If the run would leave less.
    """
    usage = found.usage
    if usage is None:
        return
    following = found.following
    planned = following.requests - following.begun.total()
    kept = -(-usage.limit * percent // 100)
    if usage.left - planned >= kept:
        return
    resets = f"at {usage.resets_at}" if usage.resets_at else "at midnight of the account's zone"
    raise DailyReserveError(
        f"The run was not started: it would take about {planned:,} requests, of which "
        f"{usage.left:,} of {usage.limit:,} are left today, and `daily_reserve_percent` keeps "
        f"{kept:,}. The count begins anew {resets}. Nothing was read, and the state is as it was."
    )
