"""Tokens: which portal and app they stand for, what they may read and when they expire."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

from hubspot_simulator.errors import ApiError, expired_token, missing_scopes
from hubspot_simulator.instants import Clock, iso

TEST_TOKEN = "pat-na1-test"


@dataclass(frozen=True)
class Credential:
    """One access token; `scopes` None grants everything."""

    token: str
    app: str
    scopes: frozenset[str] | None = None
    expires_at: float | None = None
    oauth: bool = False

    def check_expiry(self, clock: Clock) -> None:
        if self.expires_at is not None and clock.now() >= self.expires_at:
            late = int(clock.now() - self.expires_at)
            raise expired_token(late, iso(int(self.expires_at * 1000)))

    def require(self, scopes: tuple[str, ...]) -> None:
        """Let the request pass when the token has one of these scopes."""
        if self.scopes is not None and not self.scopes.intersection(scopes):
            raise missing_scopes(list(scopes))


@dataclass
class OAuthClient:
    """An app that a portal has installed."""

    client_id: str
    client_secret: str
    refresh_token: str
    scopes: frozenset[str] | None = None
    expires_in: int = 1800  # HubSpot docs: "Manage OAuth tokens"
    issued: int = 0
    revoked: bool = False
    # Codes that a user's yes gave: code -> (where he was sent back to, PKCE challenge or "").
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)

    def check_app(self, form: dict[str, str]) -> None:
        """Refuse another app than this one."""
        if form.get("client_id") != self.client_id:
            raise _oauth_error("BAD_CLIENT_ID", "invalid_client", "missing or unknown client id")
        if form.get("client_secret") != self.client_secret:
            raise _oauth_error(
                "BAD_CLIENT_SECRET", "invalid_client", "missing or invalid client secret"
            )

    def take_code(self, form: dict[str, str]) -> None:
        """Use a code up, once; in the place and by the one that it was given for."""
        self.check_app(form)
        redirect_uri, challenge = self.codes.pop(form.get("code", ""), ("", "missing"))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if form.get("redirect_uri") != redirect_uri or (challenge and challenge != proof):
            raise bad_code()

    def check(self, form: dict[str, str]) -> None:
        """Refuse what HubSpot refuses, in its words (observed)."""
        self.check_app(form)
        if self.revoked or form.get("refresh_token") != self.refresh_token:
            raise bad_refresh_token()


def bad_code() -> ApiError:
    return _oauth_error("BAD_AUTH_CODE", "invalid_grant", "missing or unknown auth code")


def bad_refresh_token() -> ApiError:
    return _oauth_error(
        "BAD_REFRESH_TOKEN", "invalid_grant", "refresh token is invalid, expired or revoked"
    )


def _oauth_error(status: str, error: str, message: str) -> ApiError:
    refusal = ApiError(400, message)
    refusal.body = {
        "status": status,
        "message": message,
        "error": error,
        "error_description": message,
    }
    return refusal
