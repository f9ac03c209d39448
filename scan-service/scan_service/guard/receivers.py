"""Knows whom the service may call: receivers of webhooks, never a machine of its own network."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from urllib.parse import SplitResult, urlsplit

_LONGEST_URL = 2000
_PORTS = {"http": 80, "https": 443}
# Of IPv6, what is given out to the Internet; and IPv4 behind a translator (RFC 6052).
_UNICAST = ipaddress.IPv6Network("2000::/3")
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
# Beside the threads of everything else: name servers that say nothing hold them for long.
_LOOKUPS = ThreadPoolExecutor(64, thread_name_prefix="lookup")


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
        found = await asyncio.get_running_loop().run_in_executor(
            _LOOKUPS,
            partial(
                socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
            ),
        )
    except (OSError, UnicodeError):  # the latter of what is no name, such as `a..b`
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
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    inner = address.ipv4_mapped or address.sixtofour
    if address in _TRANSLATED:
        inner = ipaddress.IPv4Address(address.packed[-4:])
    if inner is not None:
        return _is_public(inner)
    return address.is_global and address in _UNICAST
