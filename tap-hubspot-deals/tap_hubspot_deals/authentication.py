"""The bearer token of a run, renewed before it ends and when HubSpot refuses it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import msgspec
import requests

from tap_hubspot_deals.errors import AuthenticationError, TransientError, read_error_body

if TYPE_CHECKING:
    from tap_hubspot_deals.paths import Paths
    from tap_hubspot_deals.settings import Settings

EARLY = 60.0
"""Seconds before its end at which a token is replaced; a tenth of a short life."""


class _TokenAnswer(msgspec.Struct):
    access_token: str
    expires_in: float = 1800.0
    refresh_token: str | None = None


class Token:
    """Gives out the token for each request; one thread renews it, the others wait.

    Args:
        settings: Holds either `access_token` or the three OAuth settings.
        paths: Where the token endpoint is.
        timeout: Seconds to connect and to read.
    """

    def __init__(self, settings: Settings, paths: Paths, timeout: tuple[float, float]) -> None:
        self._settings = settings
        self._url = settings.base_url + paths.oauth_token()
        self._timeout = timeout
        self._lock = threading.Lock()
        self._value = settings.access_token
        self._refresh_token = settings.refresh_token
        self._renew_at = float("inf")

    @property
    def renewable(self) -> bool:
        """Whether a refused token can be replaced: only OAuth tokens can."""
        return self._refresh_token is not None

    def current(self) -> str:
        """A token that will not end within the next requests.

        Raises:
            AuthenticationError: If HubSpot refuses the refresh token.
            TransientError: If the token endpoint fails for now.
        """
        with self._lock:
            if self._value is None or time.monotonic() >= self._renew_at:
                self._renew()
            assert self._value is not None  # noqa: S101 - for the type checker
            return self._value

    def refused(self, token: str) -> None:
        """Drop a token that HubSpot answered 401 to, unless another thread already did."""
        with self._lock:
            if self._value == token:
                self._value = None

    def _renew(self) -> None:
        form = {
            "grant_type": "refresh_token",
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret,
            "refresh_token": self._refresh_token,
        }
        try:
            answer = requests.post(self._url, data=form, timeout=self._timeout)
        except requests.RequestException as exc:
            raise TransientError(
                f"The token endpoint of `base_url` cannot be reached: {type(exc).__name__}."
            ) from exc
        if answer.status_code == 429 or answer.status_code >= 500:  # noqa: PLR2004
            raise TransientError(
                f"The token endpoint answered {answer.status_code}.", status=answer.status_code
            )
        if not answer.ok:
            said = read_error_body(answer.content).message or f"status {answer.status_code}"
            raise AuthenticationError(
                f"HubSpot gives no token: {said}. "
                "Check the settings `client_id`, `client_secret` and `refresh_token`.",
                status=answer.status_code,
            )
        try:
            token = msgspec.json.decode(answer.content, type=_TokenAnswer)
        except msgspec.DecodeError as exc:
            raise TransientError("The token endpoint answered something unreadable.") from exc
        self._value = token.access_token
        self._refresh_token = token.refresh_token or self._refresh_token
        self._renew_at = time.monotonic() + token.expires_in - min(EARLY, token.expires_in / 10)
