"""The writer of records: plan, normalise, collapse, compare, write, and account for every row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from hubspot_client.client import Nothing
from hubspot_client.writing.batches import CONFLICT, Item, KeyRefusedError, Sender
from hubspot_client.writing.collapsing import Prepared, collapse, cut
from hubspot_client.writing.lookup import look_up
from hubspot_client.writing.outcomes import Outcome
from hubspot_client.writing.values import UnfitError, is_before, is_same

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hubspot_client.client import Client
    from hubspot_client.writing.lookup import Held
    from hubspot_client.writing.plan import Plan

BATCH = 100
IN_FLIGHT = 4
LIFECYCLE = "lifecyclestage"
Row = tuple[Any, "Mapping[str, Any]"]
"""A key, and properties by name."""


class RecordWriter:
    """Writes the records of one object type.

    Args:
        client: The conversation, whose budgets readers may share.
        plan: What is written, checked against the account.
        run: Begins every trace id.
        compare: Whether what HubSpot has already is read first, and not written again.
        dry_run: Whether nothing is written: the outcomes are what would become of the rows.
        batch_size: Records a call, 100 at the most.
    """

    def __init__(
        self,
        client: Client,
        plan: Plan,
        *,
        run: str,
        compare: bool = True,
        dry_run: bool = False,
        batch_size: int = BATCH,
    ) -> None:
        self._client = client
        self.plan = plan
        self._run = run
        self._compares = plan.key is not None and (
            compare
            or dry_run
            or plan.mode != "upsert"
            or plan.resets_lifecycle
            or plan.newer is not None
        )
        self._dry_run = dry_run
        self._batch_size = min(batch_size, BATCH)
        self._sender = Sender(client, plan)
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="writing")
        self._numbers = count(1)
        self._takes_key = True

    def write(self, rows: Sequence[Row]) -> list[Outcome]:
        """Write rows; of several with one key, later values win.

        Returns:
            The outcome of each row, in their order.

        Raises:
            HubSpotError: If HubSpot cannot be worked with now; some of the rows may be written,
                and may be given again.
            Stopped: If the run is ending.
        """
        prepared = self.prepare(rows)
        self.begin(prepared)
        return self.finish(prepared)

    def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Normalise and collapse rows; nothing is sent."""
        outcomes: dict[int, Outcome] = {}
        items = []
        for place, (key, properties) in enumerate(rows):
            try:
                text, values = self.plan.key_text(key), self.plan.texts(properties)
            except UnfitError as unfit:
                outcomes[place] = Outcome("rejected", code=unfit.code, property=unfit.property)
                continue
            items.append(Item(self._trace(), text, values, [place]))
        return Prepared(len(rows), outcomes, items, collapse(items, self.plan))

    def begin(self, prepared: Prepared) -> None:
        """Let rows be written by threads, after those that began before.

        Rows with a key that others have must not begin before these are finished.
        """
        prepared.calls = [
            self._pool.submit(self._write_batch, batch)
            for batch in cut(prepared.merged, self._batch_size)
        ]

    def finish(self, prepared: Prepared) -> list[Outcome]:
        """Wait for rows that were begun; returns and raises as `write`."""
        found: dict[str, Outcome] = {}
        try:
            for call in prepared.calls:
                found |= call.result()
        finally:
            for call in prepared.calls:
                call.cancel()
            for call in prepared.calls:
                if not call.cancelled():
                    call.exception()  # nothing is still being written when this returns
        outcomes = prepared.outcomes
        again: list[Item] = []
        for item in prepared.merged:
            if found[item.trace].kind == "rejected" and len(item.rows) > 1:
                again.append(item)
                continue
            outcomes.update(dict.fromkeys(item.rows, found[item.trace]))
        # One bad row must not take its namesakes with it.
        alone = {place for item in again for place in item.rows}
        for item in (each for each in prepared.items if each.rows[0] in alone):
            single = replace(item, trace=self._trace())
            outcomes[item.rows[0]] = self._write_batch([single])[single.trace]
        return [outcomes[place] for place in range(prepared.count)]

    def archive(self, keys: Sequence[Any]) -> list[Outcome]:
        """Archive the records of some keys, which may be repeated.

        Returns:
            For each key: `archived`, `unchanged` where there is none, or `rejected`.

        Raises:
            HubSpotError: If HubSpot cannot be worked with now.
        """
        outcomes: dict[int, Outcome] = {}
        texts: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            try:
                texts.setdefault(self.plan.key_text(key), []).append(place)
            except UnfitError as unfit:
                outcomes[place] = Outcome("rejected", code=unfit.code, property=unfit.property)
        wanted = list(texts)
        for at in range(0, len(wanted), self._batch_size):
            held = look_up(self._client, self.plan, wanted[at : at + self._batch_size], ())
            if held and not self._dry_run:
                self._client.post(
                    self._client.paths.batch(self.plan.object_type, "archive"),
                    {"inputs": [{"id": each} for each in {there.id for there in held.values()}]},
                    family="write",
                    what=f"{self.plan.object_type} (archive)",
                    shape=Nothing,
                )
            for text in wanted[at : at + self._batch_size]:
                there = held.get(text)
                told = Outcome("unchanged") if there is None else Outcome("archived", id=there.id)
                outcomes.update(dict.fromkeys(texts[text], told))
        return [outcomes[place] for place in range(len(keys))]

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(cancel_futures=True)

    def _trace(self) -> str:
        return f"{self._run}-{next(self._numbers)}"

    def _write_batch(self, items: Sequence[Item]) -> dict[str, Outcome]:
        held: dict[str, Held] = {}
        if self._compares or not self._takes_key:
            names = {name for each in items for name in each.properties}
            held = look_up(self._client, self.plan, [each.key for each in items], names)
        found: dict[str, Outcome] = {}
        writing: list[Item] = []
        aliases: list[Item] = []
        taken: set[str] = set()
        # In the order of their last rows: two addresses may lead to one contact.
        for item in sorted(items, key=lambda each: each.rows[-1]):
            there = held.get(item.key)
            if there is not None and there.id in taken:
                aliases.append(item)  # another address of a contact that this batch has already
                continue
            outcome = self._judge(item, there)
            if outcome is not None:
                found[item.trace] = outcome
                continue
            if there is not None:
                taken.add(there.id)
                item.id = there.id
            writing.append(item)
        found |= self._send(writing)
        for alias in aliases:
            found |= self._write_batch([alias])
        return found

    def _judge(self, item: Item, there: Held | None) -> Outcome | None:
        """What becomes of a row without writing it; None: it is to be written."""
        plan = self.plan
        if there is None:
            if plan.mode == "update" and plan.key is not None and self._compares:
                return Outcome("rejected", code="not_found", property=plan.key)
            return Outcome("created") if self._dry_run else None
        if plan.mode == "create":
            return Outcome("unchanged", id=there.id, code="exists")
        is_older = plan.newer is not None and is_before(
            plan.definitions[plan.newer],
            item.properties.get(plan.newer),
            there.properties.get(plan.newer),
        )
        item.properties = {
            name: text
            for name, text in item.properties.items()
            if not is_same(plan.definitions[name], text, there.properties.get(name))
            and not self._is_kept(name, text, there.properties.get(name))
            and not (is_older and there.properties.get(name) and not plan.adds(name, text))
        }
        if not item.properties:
            return Outcome("unchanged", id=there.id)
        stage = item.properties.get(LIFECYCLE, "")
        item.clears_stage = self._goes_back(stage, there.properties.get(LIFECYCLE))
        return Outcome("updated", id=there.id) if self._dry_run else None

    def _is_kept(self, name: str, text: str, held: str | None) -> bool:
        """Whether HubSpot would keep what is there: a lifecycle stage moves forward only."""
        if name != LIFECYCLE or not text or self.plan.resets_lifecycle:
            return False
        return self._goes_back(text, held)

    def _goes_back(self, text: str, held: str | None) -> bool:
        if LIFECYCLE not in self.plan.definitions:
            return False
        stages = [option.get("value") for option in self.plan.definitions[LIFECYCLE].options]
        return text in stages and held in stages and stages.index(text) < stages.index(held)

    # Sending

    def _send(self, items: list[Item]) -> dict[str, Outcome]:
        if not items:
            return {}
        if self.plan.mode == "update":
            return self._sender.send("update", items)
        if self.plan.mode == "create":
            return self._settle_create(items, self._sender.send("create", items))
        if not self._takes_key:
            return self._send_without_key(items)
        self._reset_lifecycle(items)
        try:
            found = self._sender.send("upsert", items)
        except KeyRefusedError:
            self._takes_key = False
            return self._write_batch(items)
        # Somebody else made the record between HubSpot's look and its write: now it is there.
        raced = [each for each in items if found[each.trace].code == CONFLICT]
        return found | self._sender.send("upsert", raced)

    def _settle_create(self, items: list[Item], found: dict[str, Outcome]) -> dict[str, Outcome]:
        """A record that is there already is left alone."""
        key = self.plan.key
        for item in items:
            outcome = found[item.trace]
            is_taken = outcome.code == "CONFLICTING_UNIQUE_VALUE" and outcome.property == key
            if is_taken or (outcome.code == CONFLICT and key == "email"):
                found[item.trace] = Outcome("unchanged", id=outcome.id, code="exists")
        return found

    def _send_without_key(self, items: list[Item]) -> dict[str, Outcome]:
        """Update by id what is there, make the rest; a few accounts take no address as a key."""
        there = [each for each in items if each.id is not None]
        found = self._sender.send("update", there)
        fresh = [each for each in items if each.id is None]
        made = self._sender.send("create", fresh)
        taken = [each for each in fresh if made[each.trace].code == CONFLICT]
        if taken:
            held = look_up(self._client, self.plan, [each.key for each in taken], ())
            for item in taken:
                item.id = held[item.key].id if item.key in held else None
            known = [each for each in taken if each.id is not None]
            made |= self._sender.send("update", known)
        return found | made

    def _reset_lifecycle(self, items: list[Item]) -> None:
        """Clear the stage of those that go back: HubSpot takes an earlier one only then."""
        back = [
            replace(each, trace=self._trace(), properties={LIFECYCLE: ""})
            for each in items
            if each.clears_stage
        ]
        self._sender.send("upsert", back)
