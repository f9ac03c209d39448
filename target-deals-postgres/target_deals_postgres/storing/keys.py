"""How the keys of listed records compare with those of rows: as PostgreSQL compares them.

A record is listed as its tap wrote it, a row as PostgreSQL reads it: 1.0 and 1, a UUID in capitals,
a moment in another time zone. But texts are the same only where they are written alike.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import TYPE_CHECKING, Any

from target_deals_postgres.records.columns import Kind
from target_deals_postgres.records.values import UnfitError, as_text, loads, storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Key = tuple[str | None, ...]

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def comparable(texts: Iterable[str | None], kinds: Sequence[str]) -> Key:
    """A key, the same for all its spellings.

    Args:
        texts: of its parts, as a row or a listed record has them.
        kinds: the types of its columns.
    """
    return tuple(
        None if text is None else _comparable(text, kind)
        for text, kind in zip(texts, kinds, strict=False)
    )


def texts_of(key: str) -> list[str | None]:
    """The parts of a key as it is listed."""
    try:
        values = loads(key.encode()).values()
        return [one if isinstance(one, str | None) else _text(one) for one in values]
    except (ValueError, AttributeError, RecursionError):
        return [key]


def _text(value: Any) -> str:
    # Of a number that which `loads` keeps: a column of texts has 1.0 and 1.
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    return str(value) if is_number else _written(value)


def _comparable(text: str, kind: str) -> str:
    if (spell := _SPELLINGS.get(kind)) is None:
        return storable(text, kind)
    try:
        return spell(text)
    except (ValueError, ArithmeticError, RecursionError):
        return storable(text, kind)  # PostgreSQL refused it


def _number(text: str) -> str:
    return str(Decimal(text).normalize(_EXACT))


def _moment(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _time(text: str) -> str:
    try:
        return as_text(text, Kind.TIME, frozenset({"string"})) or ""
    except UnfitError:
        return text


def _json(text: str) -> str:
    try:
        value = loads(storable(text, Kind.JSONB).encode())
    except ValueError:
        value = text  # a string, as it is listed
    return _written(value)


def _written(value: Any) -> str:
    # JSON in one spelling: jsonb knows no order of members, and numbers by their values.
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}:{_written(value[name])}" for name in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return _number(str(value))
    return json.dumps(value)


_SPELLINGS: dict[str, Callable[[str], str]] = {
    Kind.BIGINT: _number,
    Kind.NUMERIC: _number,
    Kind.TIMESTAMP: _moment,
    Kind.TIME: _time,
    Kind.UUID: lambda text: uuid.UUID(text).hex,
    Kind.JSONB: _json,
}


@dataclass
class Listed:
    """The keys of a stream's listed records that no later one has overtaken, as they are listed."""

    _keys: dict[str, None] = field(default_factory=dict)
    _kinds: tuple[str, ...] = ()
    _spelled: dict[Key, list[str]] | None = None

    def add(self, key: str) -> None:
        """List one more."""
        if key not in self._keys:
            self._keys[key] = None
            if self._spelled is not None:
                self._put(self._spelled, key)

    def of(self, keys: Iterable[Key], kinds: Sequence[str]) -> set[str]:
        """Those that are one of some keys, in whichever spelling.

        Args:
            keys: made by `comparable`.
            kinds: the types of their columns.
        """
        if self._spelled is None or self._kinds != tuple(kinds):
            self._kinds, self._spelled = tuple(kinds), {}
            for key in self._keys:
                self._put(self._spelled, key)
        spelled = self._spelled
        return {one for key in keys for one in spelled.get(key, ())}

    def _put(self, spelled: dict[Key, list[str]], key: str) -> None:
        spelled.setdefault(comparable(texts_of(key), self._kinds), []).append(key)
