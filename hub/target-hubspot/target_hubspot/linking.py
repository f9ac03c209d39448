"""Links between records, from records or a stream of their own; made once both ends are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubspot_client.object_types import STANDARD_TYPES
from hubspot_client.writing.links import HUBSPOT_DEFINED, Link, LinkWriter
from hubspot_client.writing.lookup import look_up
from hubspot_client.writing.outcomes import Outcome
from hubspot_client.writing.plan import RECORD_ID, Plan, PlanError, definitions
from hubspot_client.writing.values import UnfitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hubspot_client.client import Client

BATCH = 100


@dataclass(frozen=True)
class End:
    """One end of a link: a record by its id, or by a unique property."""

    object_type: str
    key: str
    value: str

    @property
    def is_id(self) -> bool:
        """Whether the value is the record's id."""
        return self.key == RECORD_ID


@dataclass(frozen=True)
class Wish:
    """A link that a record asks for.

    Args:
        stream: The record's stream, for the report.
        line: The record's line in the input.
        start: The one end.
        end: The other end.
        category: Of the type; empty without one.
        type_id: Of the type; 0: the most general one, or that of the label.
        label: Of the type.
    """

    stream: str
    line: int
    start: End
    end: End
    category: str = ""
    type_id: int = 0
    label: str = ""


def path_of(object_type: str) -> str:
    """What HubSpot's paths call an object type."""
    known = STANDARD_TYPES.get(object_type)
    return known.in_paths if known else object_type


def wishes_of(stream: str, line: int, start: End, given: Any) -> list[Wish]:
    """Read `_associations` of a record.

    Raises:
        UnfitError: If it is no list of links.
    """
    if given is None:
        return []
    if not isinstance(given, list):
        raise UnfitError("INVALID_LINK", "_associations")
    return [_wish(stream, line, start, each) for each in given]


def _wish(stream: str, line: int, start: End, given: Any) -> Wish:
    try:
        key = str(given.get("key") or RECORD_ID)
        value = given["id"] if key == RECORD_ID else given["value"]
        end = End(path_of(_sendable(given["to"])), key, _sendable(value))
        return Wish(
            stream,
            line,
            start,
            end,
            str(given.get("category") or HUBSPOT_DEFINED if given.get("type_id") else ""),
            int(given.get("type_id") or 0),
            str(given.get("label") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UnfitError("INVALID_LINK", "_associations") from None


def wish_of_record(
    stream: str, line: int, record: Mapping[str, Any], keys: Mapping[str, str]
) -> Wish:
    """Read a record of a stream of links, in the shape of tap-hubspot-deals.

    Args:
        stream: The stream's name.
        line: The record's line.
        record: With `from_object_type`, `from_id`, `to_object_type`, `to_id`, and perhaps
            `category`, `type_id`, `label`.
        keys: By which unique property the ids of an object type are known in this account, where
            they come from another one.

    Raises:
        UnfitError: If it is no link.
    """
    try:
        start, end = (_end_of(record, side, keys) for side in ("from", "to"))
        category = str(record.get("category") or "")
        type_id = int(record.get("type_id") or 0)
    except (KeyError, TypeError, ValueError):
        raise UnfitError("INVALID_LINK", "from_id") from None
    label = str(record.get("label") or "")
    if category != HUBSPOT_DEFINED:
        # The ids of an account's own types are its own; a label means the same everywhere.
        category, type_id = "", 0
    else:
        label = ""
    return Wish(stream, line, start, end, category, type_id, label)


def _end_of(record: Mapping[str, Any], side: str, keys: Mapping[str, str]) -> End:
    kind = str(record[f"{side}_object_type"])
    return End(path_of(kind), keys.get(kind, RECORD_ID), _sendable(record[f"{side}_id"]))


def _sendable(value: Any) -> str:
    """A value as text; halves of characters are none."""
    text = str(value)
    text.encode()
    return text


class Linker:
    """Makes the links that were wished for.

    Args:
        client: The conversation.
        dry_run: Whether nothing is written.
    """

    def __init__(self, client: Client, *, dry_run: bool) -> None:
        self._client = client
        self._dry_run = dry_run
        self._writers: dict[tuple[str, str], LinkWriter] = {}
        self._plans: dict[tuple[str, str], Plan] = {}
        self.waiting: list[Wish] = []
        self._missing: set[End] = set()

    def add(self, wishes: Iterable[Wish]) -> None:
        """Wish for some links."""
        self.waiting.extend(wishes)

    def make(self, known: Mapping[End, str], *, last: bool) -> list[tuple[Wish, Outcome]]:
        """Make the links of which both ends are there.

        Args:
            known: Ids of records that were just written.
            last: Whether no more records come: what is not there now is rejected.

        Returns:
            The links that are settled; the others wait.

        Raises:
            HubSpotError: If HubSpot cannot be worked with now.
        """
        wishes, self.waiting = self.waiting, []
        settled: list[tuple[Wish, Outcome]] = []
        ends = {end for each in wishes for end in (each.start, each.end)}
        # What HubSpot did not have is asked for once more at the end: a record of this run that
        # comes meanwhile is among the known ones.
        given_up = set() if last else self._missing - known.keys()
        ids = self._resolve(ends - given_up, known)
        self._missing = ends - ids.keys()
        ready: dict[tuple[str, str], list[tuple[Wish, Link]]] = {}
        for wish in wishes:
            start, end = ids.get(wish.start), ids.get(wish.end)
            if start is None or end is None:
                if self._dry_run:
                    settled.append((wish, Outcome("created")))
                elif last:
                    settled.append((wish, Outcome("rejected", code="not_found")))
                else:
                    self.waiting.append(wish)
                continue
            pair = (wish.start.object_type, wish.end.object_type)
            try:
                link = Link(start, end, self._type(pair, wish))
            except PlanError:
                settled.append((wish, Outcome("rejected", code="label_missing")))
                continue
            ready.setdefault(pair, []).append((wish, link))
        for pair, found in ready.items():
            outcomes = self._writer(pair).write([link for _, link in found])
            settled += [(wish, each) for (wish, _), each in zip(found, outcomes, strict=True)]
        return settled

    def _type(self, pair: tuple[str, str], wish: Wish) -> tuple[str, int] | None:
        if wish.type_id:
            return wish.category, wish.type_id
        return self._writer(pair).type_of(wish.label) if wish.label else None

    def _writer(self, pair: tuple[str, str]) -> LinkWriter:
        if pair not in self._writers:
            self._writers[pair] = LinkWriter(self._client, *pair, dry_run=self._dry_run)
        return self._writers[pair]

    def _resolve(self, ends: set[End], known: Mapping[End, str]) -> dict[End, str]:
        """Find the ids of records: those just written, else by batch read."""
        found = {
            end: end.value if end.is_id else known[end] for end in ends if end.is_id or end in known
        }
        left: dict[tuple[str, str], list[End]] = {}
        for end in ends - found.keys():
            left.setdefault((end.object_type, end.key), []).append(end)
        for kind, group in left.items():
            plan = self._plan(*kind)
            texts: dict[str, list[End]] = {}
            for end in group:
                try:
                    texts.setdefault(plan.key_text(end.value), []).append(end)
                except UnfitError:
                    continue
            keys = list(texts)
            for at in range(0, len(keys), BATCH):
                held = look_up(self._client, plan, keys[at : at + BATCH], ())
                found |= {end: record.id for key, record in held.items() for end in texts[key]}
        return found

    def _plan(self, object_type: str, key: str) -> Plan:
        if (object_type, key) not in self._plans:
            plan = Plan(
                object_type,
                definitions(self._client, object_type, object_type),
                mode="update",
                key=key,
            )
            plan.check(())
            self._plans[object_type, key] = plan
        return self._plans[object_type, key]
