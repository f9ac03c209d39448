"""One batch of records sent, and every input of it found again in the answer.

HubSpot answers in any order, names failed inputs by their trace id, their id or not at all, and
sometimes answers 200 and says nothing. So the status is never believed: what is neither among the
results nor among the errors was not answered. A call that is refused as a whole without naming an
input is halved until the culprit stands alone. Sources: HubSpot's guide to errors; recorded
answers in connectors of others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hubspot_client.errors import MESSAGE_LIMIT, ErrorBody, HubSpotError, TransientError
from hubspot_client.writing.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubspot_client.client import Client
    from hubspot_client.writing.plan import Plan

Verb = Literal["upsert", "update", "create"]
REFUSALS = {400, 409, 413}
"""Of what was sent; other refusals concern the account or the token, and end the run."""

TEMPORARY = {"INTERNAL_ERROR", "RATE_LIMITS", "RATE_LIMIT", "TIMEOUT", "SERVICE_UNAVAILABLE"}
"""Categories inside an answer that say nothing about the input."""

TRIES = 3
LISTED = "Property values were not valid: "
NO_KEY = "Unable to perform update/upsert by non-unique"
CONFLICT = "CONFLICT"


class KeyRefusedError(Exception):
    """This account does not take the property as a key, whatever its definition says."""


@dataclass
class Item:
    """One record of a batch.

    Args:
        trace: Unique in the run.
        key: Its key's text; empty where every row makes a record.
        properties: What is written.
        rows: Places of the source rows that it was made of.
        id: The record's, where it is known.
        clears_stage: Whether its lifecycle stage has to be cleared before it can go back.
    """

    trace: str
    key: str
    properties: dict[str, str]
    rows: list[int] = field(default_factory=list)
    id: str | None = None
    clears_stage: bool = False


class Written(msgspec.Struct, rename="camel"):
    """A record that was written; `new` comes with upserts only."""

    id: str
    properties: dict[str, str | None] = {}
    new: bool | None = None
    object_write_trace_id: str | None = None


class BatchAnswer(msgspec.Struct, rename="camel"):
    """The answer of every batch of records."""

    results: list[Written] = []
    errors: list[ErrorBody] = []


class Sender:
    """Sends batches of one object type.

    Args:
        client: The conversation.
        plan: What is written, by which key.
    """

    def __init__(self, client: Client, plan: Plan) -> None:
        self._client = client
        self._plan = plan

    def send(self, verb: Verb, items: Sequence[Item], *, attempt: int = 1) -> dict[str, Outcome]:
        """Send up to a hundred records.

        Args:
            verb: What HubSpot is to do with them.
            items: Of different keys, with ids where `verb` is `update`.
            attempt: Counts the times that HubSpot passed over inputs.

        Returns:
            The outcome of every item, by its trace id.

        Raises:
            KeyRefusedError: If the key is none for this account.
            HubSpotError: If HubSpot cannot be worked with; what was sent may be written.
        """
        if not items:
            return {}
        try:
            answer = self._post(verb, items)
        except TransientError:
            if self._is_repeatable(verb):
                raise
            return {each.trace: Outcome("unknown", code="no_answer") for each in items}
        except HubSpotError as error:
            if type(error) is not HubSpotError or error.status not in REFUSALS:
                raise
            return self._refused(verb, items, error)
        found, left = self._match(verb, items, answer)
        if left and attempt < TRIES and self._is_repeatable(verb):
            self._client.stop.wait(0.25 * 2**attempt)
            return found | self.send(verb, left, attempt=attempt + 1)
        return found | {each.trace: Outcome("unknown", code="no_answer") for each in left}

    def _is_repeatable(self, verb: Verb) -> bool:
        """Whether a repeat makes no second record: a key in a unique property refuses it."""
        return verb != "create" or self._plan.key is not None

    def _post(self, verb: Verb, items: Sequence[Item]) -> BatchAnswer:
        return self._client.post(
            self._client.paths.batch(self._plan.object_type, verb),
            {"inputs": [self._input(verb, each) for each in items]},
            family="write",
            what=f"{self._plan.object_type} ({verb})",
            shape=BatchAnswer,
            repeatable=self._is_repeatable(verb),
        )

    def _input(self, verb: Verb, item: Item) -> dict[str, Any]:
        key = self._plan.key
        found: dict[str, Any] = {"properties": item.properties, "objectWriteTraceId": item.trace}
        if verb == "update":
            return found | {"id": item.id}
        if verb == "create":
            keyed = {key: item.key, **item.properties} if key else item.properties
            return found | {"properties": keyed, "associations": []}
        if key != "email":
            # Comes back in the answer then. An address may be the contact's second one, which
            # must not become its first.
            found["properties"] = {key: item.key, **item.properties}
        return found | {"id": item.key, "idProperty": key}

    # Answers

    def _match(
        self, verb: Verb, items: Sequence[Item], answer: BatchAnswer
    ) -> tuple[dict[str, Outcome], list[Item]]:
        """Find the inputs in an answer; also those that it does not name."""
        left = {each.trace: each for each in items}
        found: dict[str, Outcome] = {}
        unmatched = []
        for written in answer.results:
            item = self._item_of(written, left)
            if item is None:
                unmatched.append(written)
                continue
            del left[item.trace]
            found[item.trace] = _done(verb, written)
        for error in answer.errors:
            if error.category in TEMPORARY:
                continue
            for item in _named(error, left):
                del left[item.trace]
                found[item.trace] = _rejection(error)
        if len(unmatched) == len(left) == 1:
            (item,) = left.values()
            return found | {item.trace: _done(verb, unmatched[0])}, []
        return found, list(left.values())

    def _item_of(self, written: Written, left: dict[str, Item]) -> Item | None:
        if written.object_write_trace_id in left:
            return left[written.object_write_trace_id]
        for item in left.values():
            if item.id is not None and item.id == written.id:
                return item
            value = written.properties.get(self._plan.key or "")
            if item.key and value is not None and self._plan.key_text(value) == item.key:
                return item
        return None

    def _refused(
        self, verb: Verb, items: Sequence[Item], error: HubSpotError
    ) -> dict[str, Outcome]:
        """Find whom a refusal of the whole call means."""
        body = error.body
        if body.message.startswith(NO_KEY):
            raise KeyRefusedError
        if len(items) == 1:
            return {items[0].trace: _rejection(body)}
        twice = {str(each).lower() for each in body.context.get("ids") or ()}
        aside = [each for each in items if (each.id or each.key).lower() in twice]
        if not aside or len(aside) == len(items):
            aside = list(items[: len(items) // 2])
        rest = [each for each in items if each not in aside]
        return self.send(verb, rest) | self.send(verb, aside)


def _done(verb: Verb, written: Written) -> Outcome:
    is_new = verb == "create" or (verb == "upsert" and bool(written.new))
    return Outcome("created" if is_new else "updated", id=written.id)


def _named(error: ErrorBody, left: dict[str, Item]) -> list[Item]:
    """The inputs that an error names, by trace id or by id."""
    traces = {str(each) for each in error.context.get("objectWriteTraceId") or ()}
    if traces:
        return [left[each] for each in traces if each in left]
    ids = {str(each) for each in error.context.get("ids") or ()}
    return [each for each in left.values() if (each.id or each.key) in ids]


def _rejection(error: ErrorBody) -> Outcome:
    code, name = _fault(error)
    existing = (error.context.get("existingId") or [None])[0]
    return Outcome(
        "rejected",
        id=None if existing is None else str(existing),
        code=code,
        property=name,
        message=error.message[:MESSAGE_LIMIT],
        correlation_id=error.correlation_id or "",
    )


def _fault(error: ErrorBody) -> tuple[str, str]:
    """The code and the property of the first fault, from wherever HubSpot put them."""
    for detail in error.errors:
        names = (detail.get("context") or {}).get("propertyName") or [""]
        if detail.get("code"):
            return str(detail["code"]), str(names[0])
    if error.message.startswith(LISTED):
        try:
            listed = json.loads(error.message.removeprefix(LISTED))
            return str(listed[0].get("error") or "INVALID"), str(listed[0].get("name") or "")
        except (ValueError, LookupError, AttributeError, TypeError):
            return "INVALID", ""
    return error.category or "INVALID", ""
