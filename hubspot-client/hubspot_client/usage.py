"""How many requests of the day an account has, and how many of them are used.

Source: HubSpot's API specification "Account Info", `api-usage/daily/private-apps`. It speaks of
private apps alone, which share one daily limit; OAuth apps have none and may be refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from hubspot_client.errors import AuthenticationError, HubSpotError, StopCleanlyError

if TYPE_CHECKING:
    from hubspot_client.client import Client

KNOWN = {"SUCCESS", "CACHED"}
"""The states of HubSpot's own look at its counter in which there is a number."""


@dataclass(frozen=True)
class DailyUsage:
    """Requests of the day.

    Args:
        limit: How many the account has.
        used: How many of them are used.
        resets_at: When the count begins anew, ISO 8601; None: not told.
    """

    limit: int
    used: int
    resets_at: str | None

    @property
    def left(self) -> int:
        """How many there still are."""
        return max(0, self.limit - self.used)


class _Usage(msgspec.Struct, rename="camel"):
    usage_limit: int
    current_usage: int
    fetch_status: str = "SUCCESS"
    resets_at: str | None = None


class _Usages(msgspec.Struct):
    results: list[_Usage]


def daily_usage(client: Client) -> DailyUsage | None:
    """The account's requests of the day; None if HubSpot does not tell. One request.

    Raises:
        HubSpotError: If HubSpot refuses the token, or everything else as well.
    """
    try:
        answer = client.get(
            client.paths.daily_usage(), family="account", what="daily usage", shape=_Usages
        )
    except (AuthenticationError, StopCleanlyError):
        raise
    except HubSpotError:
        return None
    for one in answer.results:
        if one.fetch_status in KNOWN and one.usage_limit > 0:
            return DailyUsage(one.usage_limit, one.current_usage, one.resets_at)
    return None
