"""Knows access tokens: whose they are, and for how long; one algorithm, our keys only."""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt

from crm_api.errors import InvalidTokenError

if TYPE_CHECKING:
    from pydantic import SecretStr

_ALGORITHM = "HS256"
_NAME = "crm-api"
_LEEWAY_SECONDS = 10
_LONGEST = 4096
_SHORTEST_KEY = 32
_FEWEST_CHARACTERS = 8
_HOUR = 3600
_KNOWN = ("secret", "changeme", "password", "your-secret", "jwt-secret", "example")


class KeyRefusedError(Exception):
    """A key that others can guess."""


@dataclass(frozen=True)
class Claims:
    """What a good token says."""

    user_id: int
    version: int


class Tokens:
    """Issues and reads tokens.

    Args:
        keys: Comma separated; the first signs, all verify.
        hours: How long a token is good.

    Raises:
        KeyRefusedError: One of the keys is short or easily guessed.
    """

    def __init__(self, keys: SecretStr, *, hours: float) -> None:
        listed = [key.strip() for key in keys.get_secret_value().split(",") if key.strip()]
        if not listed:
            raise KeyRefusedError("CRM_API_SECRET_KEYS is empty; `crm-api secret` makes a key")
        for key in listed:
            _check(key)
        self._keys = {_key_id(key): key for key in listed}
        self._signing = _key_id(listed[0])
        self._seconds = hours * _HOUR

    def issue(self, claims: Claims) -> str:
        """Return a token."""
        now = int(time.time())
        return jwt.encode(
            {
                "sub": str(claims.user_id),
                "iss": _NAME,
                "aud": _NAME,
                "iat": now,
                "exp": int(now + self._seconds),
                "jti": uuid.uuid4().hex,
                "ver": claims.version,
            },
            self._keys[self._signing],
            algorithm=_ALGORITHM,
            headers={"kid": self._signing},
        )

    def read(self, header: str) -> Claims:
        """Return what the token of an `Authorization` header says.

        Raises:
            InvalidTokenError: For whatever reason.
        """
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST:
            raise InvalidTokenError
        try:
            key = self._keys[str(jwt.get_unverified_header(token).get("kid"))]
            found = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                audience=_NAME,
                issuer=_NAME,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "iss", "aud", "jti", "ver"]},
            )
            return Claims(int(found["sub"]), int(found["ver"]))
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError):
            raise InvalidTokenError from None


def _check(key: str) -> None:
    lowered = key.lower()
    if len(key.encode()) < _SHORTEST_KEY:
        raise KeyRefusedError(
            "A key of CRM_API_SECRET_KEYS has fewer than 32 bytes; `crm-api secret` makes one"
        )
    if len(set(key)) < _FEWEST_CHARACTERS or any(word in lowered for word in _KNOWN):
        raise KeyRefusedError(
            "A key of CRM_API_SECRET_KEYS is easily guessed; `crm-api secret` makes one"
        )


def _key_id(key: str) -> str:
    return hashlib.sha256(f"kid\0{key}".encode()).hexdigest()[:16]
