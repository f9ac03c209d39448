"""The bearer token of a run, renewed before it ends and when HubSpot refuses it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import msgspec
import requests

from hubspot_client.errors import (
    AuthenticationError,
    RateLimitedError,
    TransientError,
    read_error_body,
    retry_after,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubspot_client.access import Access
    from hubspot_client.paths import Paths

EARLY = 60.0
"""Seconds before its end at which a token is replaced; a tenth of a short life."""


TOO_MANY = 5.0
LONGEST_WAIT = 60.0
"""Seconds to leave the token endpoint alone after its 429: without `Retry-After`, and at most."""


def _limited(wait: float) -> RateLimitedError:
    return RateLimitedError(
        "The token endpoint limits requests.", policy="OAUTH", wait=wait, pause=wait
    )


class TokenAnswer(msgspec.Struct):
    """What the token endpoint gives."""

    access_token: str
    expires_in: float = 1800.0
    refresh_token: str | None = None


def ask_token(
    url: str, form: Mapping[str, str | None], timeout: tuple[float, float]
) -> TokenAnswer:
    """Ask the token endpoint once.

    Args:
        url: Where it is.
        form: The grant, with client id and secret.
        timeout: Seconds to connect and to read.

    Raises:
        AuthenticationError: If HubSpot refuses the grant.
        TransientError: If the endpoint fails for now; a `RateLimitedError` if it has enough of us.
    """
    try:
        # A redirect would take the secret elsewhere.
        answer = requests.post(url, data=form, timeout=timeout, allow_redirects=False)
    except requests.RequestException as exc:
        raise TransientError(
            f"The token endpoint of `base_url` cannot be reached: {type(exc).__name__}."
        ) from exc
    if answer.status_code == 429:  # noqa: PLR2004
        raise _limited(min(retry_after(answer.headers) or TOO_MANY, LONGEST_WAIT))
    if answer.status_code >= 500:  # noqa: PLR2004
        raise TransientError(
            f"The token endpoint answered {answer.status_code}.", status=answer.status_code
        )
    if answer.status_code >= 300:  # noqa: PLR2004
        said = read_error_body(answer.content).message or f"status {answer.status_code}"
        raise AuthenticationError(
            f"HubSpot gives no token: {said}. "
            "Check the settings `client_id`, `client_secret` and `refresh_token`.",
            status=answer.status_code,
        )
    try:
        return msgspec.json.decode(answer.content, type=TokenAnswer)
    except msgspec.DecodeError as exc:
        raise TransientError("The token endpoint answered something unreadable.") from exc


class Token:
    """Gives out the token for each request; one thread renews it, the others wait.

    Args:
        access: Holds either `access_token` or the three OAuth values.
        paths: Where the token endpoint is.
        timeout: Seconds to connect and to read.
    """

    def __init__(self, access: Access, paths: Paths, timeout: tuple[float, float]) -> None:
        self._access = access
        self._url = access.base_url + paths.oauth_token()
        self._timeout = timeout
        self._lock = threading.Lock()
        self._value = access.access_token
        self._refresh_token = access.refresh_token
        self._renew_at = float("inf")
        self._closed_until = 0.0

    @property
    def renewable(self) -> bool:
        """Whether a refused token can be replaced: only OAuth tokens can."""
        return self._refresh_token is not None

    def current(self) -> str:
        """A token that will not end within the next requests.

        Raises:
            AuthenticationError: If HubSpot refuses the refresh token.
            TransientError: If the token endpoint fails for now; a `RateLimitedError` if it has
                enough of us.
        """
        with self._lock:
            now = time.monotonic()
            if self._value is None or now >= self._renew_at:
                if now < self._closed_until:
                    raise _limited(self._closed_until - now)
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
            "client_id": self._access.client_id,
            "client_secret": self._access.client_secret,
            "refresh_token": self._refresh_token,
        }
        try:
            token = ask_token(self._url, form, self._timeout)
        except RateLimitedError as limit:
            self._closed_until = time.monotonic() + (limit.wait or TOO_MANY)
            raise
        self._value = token.access_token
        self._refresh_token = token.refresh_token or self._refresh_token
        self._renew_at = time.monotonic() + token.expires_in - min(EARLY, token.expires_in / 10)
