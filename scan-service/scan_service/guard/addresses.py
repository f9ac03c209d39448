"""Knows which addresses try keys that nobody has: they are refused without asking the database."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TypeVar

from service_base.networks import network

Key = TypeVar("Key")
Value = TypeVar("Value")

_PER_MINUTE = 60
_KEPT = 10_000
_GOOD_SECONDS = 60.0


class Addresses:
    """The failures of addresses, and the keys that were good a moment ago, in this process.

    An address may stand for many clients: a key that was good a minute ago passes whatever others
    at its address try.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._good: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    def wait(self, address: str, key: bytes) -> float:
        """Return for how many seconds a key from an address is not even looked up; 0 for now."""
        if self.tenant(key) is not None:
            return 0.0
        left = self._left(network(address))
        return 0.0 if left >= 1 else (1 - left) * 60 / _PER_MINUTE

    def tenant(self, key: bytes) -> str | None:
        """Return whose key this was a moment ago; nothing that a request may rely on."""
        at, tenant_id = self._good.get(key, (-_GOOD_SECONDS, ""))
        return tenant_id if time.monotonic() - at < _GOOD_SECONDS else None

    def passed(self, key: bytes, tenant_id: str) -> None:
        """Remember a good key, by its hash."""
        _keep(self._good, key, (time.monotonic(), tenant_id))

    def failed(self, address: str) -> None:
        """Count a key that nobody has."""
        whose = network(address)
        _keep(self._failures, whose, (self._left(whose) - 1, time.monotonic()))

    def _left(self, whose: str) -> float:
        left, at = self._failures.get(whose, (float(_PER_MINUTE), 0.0))
        return min(float(_PER_MINUTE), left + (time.monotonic() - at) * _PER_MINUTE / 60)


def _keep(kept: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _KEPT:
        kept.popitem(last=False)
