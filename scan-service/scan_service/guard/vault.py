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

    def environment(self, sealed: bytes, *, tenant_id: str) -> Mapping[str, str]:
        """Return what the tap's process needs to know."""
        return {"TAP_HUBSPOT_DEALS_ACCESS_TOKEN": self._open(sealed, tenant_id)}

    def webhook(self, sealed: bytes, *, tenant_id: str) -> str:
        """Return the secret that a webhook's calls are signed with."""
        return self._open(sealed, tenant_id)

    def access(self, token: SecretStr) -> Access:
        """Return HubSpot's account as a client of it needs it, but where HubSpot is."""
        return Access(access_token=token.get_secret_value(), user_agent="scan-service")

    def reseal(self, sealed: bytes) -> bytes:
        """Encrypt again with the first key."""
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken:
            raise VaultError(_NO_KEY) from None

    def _open(self, sealed: bytes, tenant_id: str) -> str:
        try:
            owner, token = json.loads(self._fernet.decrypt(bytes(sealed)))
        except InvalidToken:
            raise VaultError(_NO_KEY) from None
        if owner != tenant_id:
            raise VaultError("this token was sealed for another tenant")
        return str(token)


def new_key() -> str:
    """Return a fresh key for SCAN_SERVICE_SECRET_KEYS."""
    return Fernet.generate_key().decode()
