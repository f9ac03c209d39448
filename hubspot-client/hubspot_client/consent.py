"""How an account's user lets an app in: the page to send him to, and what the code is good for.

Source: HubSpot's guide "Manage OAuth tokens" and its OAuth API. The challenge (PKCE, RFC 7636) is
sent too; a server that does not know it leaves it unread.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import requests

from hubspot_client.authentication import ask_token
from hubspot_client.errors import AuthenticationError, TransientError, read_error_body
from hubspot_client.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTHORIZE_URL = "https://app.hubspot.com/oauth/authorize"
_TIMEOUT = (5.0, 10.0)


@dataclass(frozen=True)
class App:
    """An OAuth app of ours at HubSpot.

    Args:
        client_id: Its id.
        client_secret: Its secret.
        redirect_uri: Where HubSpot sends users back to.
        base_url: Of the API.
        api_version: `v3`, or a dated version.
        authorize_url: The page where users say yes.
    """

    client_id: str
    client_secret: str
    redirect_uri: str
    base_url: str
    api_version: str
    authorize_url: str = AUTHORIZE_URL

    def __repr__(self) -> str:
        """Without the secret."""
        return f"App({self.client_id})"

    def page(self, scopes: Sequence[str], state: str, verifier: str) -> str:
        """The address to send a user to.

        Args:
            scopes: What the app wants to do.
            state: Comes back with the code; whoever does not know it is not the one who asked.
            verifier: As `new_verifier` gives it; `exchange` needs it again.
        """
        digest = hashlib.sha256(verifier.encode()).digest()
        return f"{self.authorize_url}?" + urlencode({
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(scopes),
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        })  # fmt: skip

    def exchange(self, code: str, verifier: str) -> str:
        """Trade the code that came back for a refresh token.

        Raises:
            AuthenticationError: If HubSpot refuses the code, or gives no refresh token.
            TransientError: If the endpoint fails for now.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": self.redirect_uri,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        answer = ask_token(self.base_url + Paths(self.api_version).oauth_token(), form, _TIMEOUT)
        if answer.refresh_token is None:
            raise AuthenticationError("HubSpot gave no refresh token for the code.", status=200)
        return answer.refresh_token

    def revoke(self, refresh_token: str) -> None:
        """End a refresh token; one that has ended already is fine.

        Raises:
            AuthenticationError: If HubSpot does not do it for this app.
            TransientError: If it does not do it for now.
        """
        form = {
            "token": refresh_token,
            "token_type_hint": "refresh_token",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        url = self.base_url + Paths(self.api_version).oauth_revoke()
        try:
            answer = requests.post(url, data=form, timeout=_TIMEOUT, allow_redirects=False)
        except requests.RequestException as exc:
            raise TransientError("The revocation endpoint cannot be reached.") from exc
        if answer.status_code == 429 or answer.status_code >= 500:  # noqa: PLR2004
            raise TransientError("HubSpot did not end the token.", status=answer.status_code)
        # BAD_REFRESH_TOKEN (observed) has this error of RFC 6749: it has ended already.
        if answer.status_code >= 300 and b'"invalid_grant"' not in answer.content:  # noqa: PLR2004
            said = read_error_body(answer.content).message or f"status {answer.status_code}"
            raise AuthenticationError(
                f"HubSpot did not end the token: {said}", status=answer.status_code
            )


def new_verifier() -> str:
    """A secret that ties the code to the one who asked for it."""
    return secrets.token_urlsafe(48)
