"""Which records are there already, and what they hold: read by key, never searched for.

Search learns of a new record seconds later, and may lose it once more; batch read asks the store
itself. A contact is found by each of its addresses. Sources: live notes on search lag; HubSpot's
guide to contacts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubspot_client.errors import TransientError, refuse_partial
from hubspot_client.writing.batches import TEMPORARY, TRIES, BatchAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hubspot_client.client import Client
    from hubspot_client.writing.batches import Written
    from hubspot_client.writing.plan import Plan

ADDITIONAL = "hs_additional_emails"


@dataclass(frozen=True)
class Held:
    """A record that is there: its id and the properties that were asked for."""

    id: str
    properties: dict[str, str | None]


def look_up(
    client: Client, plan: Plan, keys: Sequence[str], names: Iterable[str]
) -> dict[str, Held]:
    """Read up to a hundred records by key.

    Args:
        client: The conversation.
        plan: Says by which key.
        keys: As `Plan.key_text` gives them, all different.
        names: The properties to read.

    Returns:
        What is there, by the keys asked for.

    Raises:
        HubSpotError: If HubSpot cannot be worked with, or passes over keys without a word.
    """
    wanted = set(names) - {"hs_object_id"}
    if plan.key == "email":
        wanted |= {"email", ADDITIONAL}
    elif plan.key and not plan.by_id:
        wanted.add(plan.key)
    found: dict[str, Held] = {}
    left = list(keys)
    for attempt in range(1, TRIES + 1):
        answer = _read(client, plan, left, sorted(wanted))
        asked = set(left)
        for written in answer.results:
            for key in _keys_of(plan, written) & asked:
                found[key] = Held(written.id, written.properties)
        missing = {str(each) for error in answer.errors for each in error.context.get("ids") or ()}
        left = [each for each in left if each not in found and each not in missing]
        if not left:
            return found
        client.stop.wait(0.25 * 2**attempt)
    raise TransientError(
        f"HubSpot does not say whether {len(left)} of {len(keys)} {plan.object_type} are there."
    )


def _read(client: Client, plan: Plan, keys: Sequence[str], names: list[str]) -> BatchAnswer:
    body = {
        "inputs": [{"id": each} for each in keys],
        "properties": names,
        "propertiesWithHistory": [],
    }
    if not plan.by_id:
        body["idProperty"] = plan.key
    what = f"{plan.object_type} (look-up)"
    path = client.paths.batch_read(plan.object_type)
    answer = client.post(path, body, family="look_up", what=what, shape=BatchAnswer)
    refuse_partial([each for each in answer.errors if each.category not in TEMPORARY], what=what)
    return answer


def _keys_of(plan: Plan, written: Written) -> set[str]:
    """Every key under which a record is known."""
    if plan.by_id:
        return {written.id}
    texts = [written.properties.get(plan.key or "") or ""]
    if plan.key == "email":
        texts += (written.properties.get(ADDITIONAL) or "").split(";")
    return {plan.key_text(text) for text in texts if text.strip()}
