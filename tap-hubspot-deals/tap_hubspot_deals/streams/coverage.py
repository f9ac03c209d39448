"""Which properties all records have that went out, and which came later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_hubspot_deals.ending import StateError
from tap_hubspot_deals.reading.packing import pack_text, unpack_text
from tap_hubspot_deals.streams.selection import is_text, signature

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

    from hubspot_client.properties import Definition


class Coverage:
    """The properties of one bookmark's records, against those that records get from now on.

    Args:
        state: The bookmark; `properties` says what all records have which went out.
        definitions: The properties that records get.
        logger: Where it tells which properties are not read any more.

    Raises:
        StateError: If the state holds properties that no run wrote.
    """

    def __init__(
        self, state: dict[str, Any], definitions: Sequence[Definition], logger: logging.Logger
    ) -> None:
        self._state = state
        self._logger = logger
        self._definitions = {signature(each): each for each in definitions}
        self._names = {each.name for each in definitions}
        self._before = _signatures(state)
        self._reading = set(self._definitions)
        unfinished = _signatures(state.get("progress") or {})
        self._kinds: dict[str, set[bool]] = {}  # of a property: whether it was a text, or not
        for name, kind, *_ in map(str.split, self._before | unfinished):
            self._kinds.setdefault(name, set()).add(is_text(kind))

    @property
    def lacking(self) -> list[Definition]:
        """The properties that not all records have."""
        return [each for key, each in self._definitions.items() if key not in self._before]

    @property
    def concerning_all(self) -> list[str]:
        """Texts that became something else, or the reverse.

        HubSpot writes "" for what was cleared. A record has it so in a text and as null elsewhere,
        and no search finds it.
        """
        return [
            each.name
            for each in self.lacking
            if (each.converter() is not None) in self._kinds.get(each.name, ())
        ]

    def begin(self) -> None:
        """Note that what goes out from now on lacks what is not asked for, or not there, any more.

        Nothing tells which rows have a value in it: they keep it until they are read again.
        """
        if gone := sorted({key.split()[0] for key in self._before} - self._names):
            self._logger.info(
                "Not read any more: %s. Rows keep their last values of it until they are read "
                "again, at the latest by the next full read.",
                ", ".join(gone),
            )
        self._before &= self._definitions.keys()
        if "properties" in self._state:
            self._state["properties"] = pack_text(sorted(self._before))

    def read(self, unfinished: dict[str, Any] | None = None) -> None:
        """A read is about to begin, or to go on: its records have what both parts of it read."""
        self._reading = set(self._definitions)
        if unfinished is not None:
            self._reading &= _signatures(unfinished)

    def pack(self) -> str:
        """What the records of the read have so far, for `read` to go on from."""
        return pack_text(sorted(self._reading))

    def finish(self) -> None:
        """All records have now what the read gave them."""
        self._before = set(self._reading)
        self._state["properties"] = self.pack()

    def known(self, names: Sequence[str]) -> list[str]:
        """Those of some properties that are there still."""
        return [name for name in names if name in self._names]


def _signatures(state: dict[str, Any]) -> set[str]:
    """The properties that a bookmark, or an unfinished read, says that its records have."""
    try:
        return set(unpack_text(state["properties"])) if "properties" in state else set()
    except ValueError:
        fault = "The state's `properties` are damaged. Run without state to read everything."
        raise StateError("State validation failed", errors=[fault]) from None
