"""Knows which addresses are one caller's: what is limited for one is limited for all of them."""

from __future__ import annotations

import ipaddress

_NETWORK = 64


def network(address: str) -> str:
    """Return whom an address stands for: of IPv6 a household has 64 bits to choose from."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), _NETWORK), strict=False))
