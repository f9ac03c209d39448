"""Many rows made to few records, and these to batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hubspot_client.writing.values import is_before

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from hubspot_client.writing.batches import Item
    from hubspot_client.writing.outcomes import Outcome
    from hubspot_client.writing.plan import Plan

BATCH_BYTES = 1_000_000
"""HubSpot names no limit for a request; a hundred long texts would make megabytes."""


@dataclass
class Prepared:
    """Rows that are ready to be written.

    Args:
        count: How many rows there are.
        outcomes: Of those that cannot be sent, by their places.
        items: The others, each for itself.
        merged: The same, one for each key.
        calls: What is under way, once it is.
    """

    count: int
    outcomes: dict[int, Outcome]
    items: list[Item]
    merged: list[Item]
    calls: list[Future[dict[str, Outcome]]] = field(default_factory=list)

    @property
    def keys(self) -> set[str]:
        """The records that are written; those made without a key are nobody else's."""
        return {each.key for each in self.merged if each.key}


def collapse(items: Sequence[Item], plan: Plan) -> list[Item]:
    """Make one item of all with one key: later values win, appended options add up.

    Where the plan has a property that says how new a row is, an older one fills only what is empty.
    """
    merged: dict[str, Item] = {}
    for item in items:
        first = merged.get(item.key or item.trace)
        if first is None:
            merged[item.key or item.trace] = replace(
                item, properties=dict(item.properties), rows=list(item.rows)
            )
            continue
        first.rows += item.rows
        _merge(first.properties, item.properties, plan)
    return list(merged.values())


def _merge(there: dict[str, str], properties: dict[str, str], plan: Plan) -> None:
    """Lay the values of a later row over those of an earlier one, whatever is newer in the end."""
    newer = plan.newer
    is_older = newer is not None and is_before(
        plan.definitions[newer], properties.get(newer), there.get(newer)
    )
    for name, text in properties.items():
        before = there.get(name, "")
        if plan.adds(name, text) and before:
            there[name] = _added(before, text)
        elif not (is_older and before):
            there[name] = text


def _added(before: str, text: str) -> str:
    """Options added to those of the row before, which may have been added themselves."""
    chosen = dict.fromkeys(each for each in f"{before}{text}".split(";") if each)
    return (";" if before.startswith(";") else "") + ";".join(chosen)


def cut(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Cut into batches of so many records, and of a megabyte at the most."""
    batch: list[Item] = []
    weight = 0
    for item in items:
        own = sum(len(name) + 4 * len(text) for name, text in item.properties.items())
        if batch and (len(batch) >= size or weight + own > BATCH_BYTES):
            yield batch
            batch, weight = [], 0
        batch.append(item)
        weight += own
    if batch:
        yield batch
