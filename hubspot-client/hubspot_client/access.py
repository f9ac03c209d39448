"""How one account is reached: where HubSpot is, with which token, and how fast."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

BASE_URL = "https://api.hubapi.com"
API_VERSION = "2026-09"


@dataclass(frozen=True, kw_only=True)
class Access:
    """One account of HubSpot, as a program was told to use it.

    Args:
        access_token: A private app's token; None with OAuth.
        client_id: Of the OAuth app, with `client_secret` and `refresh_token`.
        client_secret: The OAuth app's.
        refresh_token: Becomes access tokens, each good for half an hour.
        base_url: Without a slash at its end.
        api_version: `v3`, or a dated version such as `2026-09`.
        requests_per_10_seconds: The share of the account's limit that may be used; None: learned
            from HubSpot's answers.
        request_delay: Between two requests at the least.
        user_agent: Who asks, in HubSpot's logs.
    """

    access_token: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    refresh_token: str | None = None
    base_url: str = BASE_URL
    api_version: str = API_VERSION
    requests_per_10_seconds: int | None = None
    request_delay: timedelta = timedelta(0)
    user_agent: str = "hubspot-client"

    @property
    def account(self) -> str:
        """The same for all who share this account's limits; as secret as the token."""
        secret = self.access_token or f"{self.client_id}\0{self.refresh_token}"
        return f"{self.base_url}\0{secret}"

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"Access({self.base_url}, {self.api_version})"
