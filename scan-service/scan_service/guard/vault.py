"""Knows HubSpot tokens and webhooks' secrets in clear; no other module does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from hubspot_client.access import Access

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

WEBHOOK_SECRET = "whsec_"  # noqa: S105 - what a secret begins with
"""Before the base64 of a webhook's secret, by https://www.standardwebhooks.com."""

_REFRESH = "refresh_token"
_NO_KEY = "no key of SCAN_SERVICE_SECRET_KEYS opens this token"


class VaultError(Exception):
    """A sealed token cannot be opened: its key is gone, or it belongs to another tenant."""


class Vault:
    """Seals tokens for the database and hands them out in the two forms that are needed."""

    def __init__(self, keys: SecretStr) -> None:
        names = [key.strip() for key in keys.get_secret_value().split(",") if key.strip()]
        try:
            self._fernet = MultiFernet([Fernet(key) for key in names])
        except ValueError:
            # `from None`: the library's message may quote the key.
            raise VaultError(
                "SCAN_SERVICE_SECRET_KEYS needs Fernet keys; `scan-service keys secret` makes one"
            ) from None

    def seal(self, token: SecretStr, *, tenant_id: str) -> bytes:
        """Encrypt a token together with its tenant, so that a copied row is worth nothing."""
        content = json.dumps([tenant_id, token.get_secret_value()])
        return self._fernet.encrypt(content.encode())

    def seal_app(
        self, client_id: str, client_secret: str, refresh_token: str, *, tenant_id: str
    ) -> bytes:
        """Encrypt what an OAuth app needs to act for a tenant's account."""
        app = {"client_id": client_id, "client_secret": client_secret, _REFRESH: refresh_token}
        return self._fernet.encrypt(json.dumps([tenant_id, app]).encode())

    def environment(self, sealed: bytes, *, tenant_id: str) -> Mapping[str, str]:
        """Return what the tap's process needs to know; it renews an app's tokens by itself."""
        held = self._open(sealed, tenant_id)
        named = held if isinstance(held, dict) else {"access_token": held}
        return {f"TAP_HUBSPOT_DEALS_{name.upper()}": value for name, value in named.items()}

    def webhook(self, sealed: bytes, *, tenant_id: str) -> str:
        """Return the secret that a webhook's calls are signed with."""
        return str(self._open(sealed, tenant_id))

    def refresh_token(self, sealed: bytes, *, tenant_id: str) -> str:
        """Return an account's refresh token, or the verifier with which one is asked for."""
        held = self._open(sealed, tenant_id)
        return str(held[_REFRESH] if isinstance(held, dict) else held)

    def access(self, sealed: bytes, *, tenant_id: str) -> Access:
        """Return HubSpot's account as a client of it needs it, but where HubSpot is."""
        held = self._open(sealed, tenant_id)
        if isinstance(held, str):
            return Access(access_token=held, user_agent="scan-service")
        return Access(
            client_id=held["client_id"], client_secret=held["client_secret"],
            refresh_token=held[_REFRESH], user_agent="scan-service",
        )  # fmt: skip

    def reseal(self, sealed: bytes) -> bytes:
        """Encrypt again with the first key."""
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken:
            raise VaultError(_NO_KEY) from None

    def _open(self, sealed: bytes, tenant_id: str) -> str | dict[str, str]:
        try:
            owner, held = json.loads(self._fernet.decrypt(bytes(sealed)))
        except InvalidToken:
            raise VaultError(_NO_KEY) from None
        if owner != tenant_id:
            raise VaultError("this token was sealed for another tenant")
        if isinstance(held, dict):
            return {str(name): str(value) for name, value in held.items()}
        return str(held)


def new_key() -> str:
    """Return a fresh key for SCAN_SERVICE_SECRET_KEYS."""
    return Fernet.generate_key().decode()
