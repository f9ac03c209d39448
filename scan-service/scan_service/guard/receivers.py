"""Knows whom the service may call: receivers of webhooks, never a machine of its own network."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

_LONGEST_URL = 2000
_PORTS = {"http": 80, "https": 443}


class ReceiverError(Exception):
    """This must not be called; the message is a sentence for the one who named it."""


@dataclass(frozen=True)
class Receiver:
    """Where to call: the address that was looked at, not a name that may mean another one next."""

    url: str
    host: str
    authority: str


def check(url: str, *, private: bool) -> SplitResult:
    """Refuse a URL that can never be called; names are looked up when they are called.

    Args:
        url: as the tenant gave it.
        private: whether plain HTTP and addresses that are not public are allowed.

    Raises:
        ReceiverError: it cannot be, with the reason.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ReceiverError("must be a URL") from None
    if len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise ReceiverError(f"must be a URL of at most {_LONGEST_URL} ASCII characters")
    if parts.scheme not in (_PORTS if private else {"https"}) or not parts.hostname:
        raise ReceiverError("must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ReceiverError("must not hold a user or password")
    if port == 0:
        raise ReceiverError("must not name port 0")
    if not private and (literal := _literal(parts.hostname)) and not _is_public(literal):
        raise ReceiverError("must not be on a private address")
    return parts


async def find(url: str, *, private: bool) -> Receiver:
    """Look a receiver's address up and pin it.

    Raises:
        ReceiverError: its name means no address, or one that is not public.
    """
    parts = check(url, private=private)
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    except OSError:
        raise ReceiverError("its host has no address") from None
    addresses = [ipaddress.ip_address(each[4][0]) for each in found]
    if not private and not all(_is_public(address) for address in addresses):
        raise ReceiverError("its host is on a private address")
    address = addresses[0]
    shown = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - IPv6
    pinned = parts._replace(netloc=f"{shown}:{port}", fragment="")
    return Receiver(pinned.geturl(), host, parts.netloc)


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether an address is out on the Internet, also one of IPv4 in the dress of IPv6."""
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return address.is_global and not address.is_multicast and (inner is None or inner.is_global)
