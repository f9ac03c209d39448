"""The writer of links between records: what is linked already is not linked again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from hubspot_client.errors import MESSAGE_LIMIT, ErrorBody, HubSpotError
from hubspot_client.paging import Paging, after
from hubspot_client.writing.batches import REFUSALS, TEMPORARY, TRIES
from hubspot_client.writing.outcomes import Outcome
from hubspot_client.writing.plan import PlanError
from hubspot_client.writing.records import IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hubspot_client.client import Client

READ_BATCH = 1000
WRITE_BATCH = 2000
"""Inputs a call. Source: HubSpot's guide to associations."""

HUBSPOT_DEFINED = "HUBSPOT_DEFINED"
Type = tuple[str, int]
"""Category and id of an association type: ids are unique within a category only."""


@dataclass(frozen=True)
class Link:
    """A link that there is to be; without a type: the most general one."""

    from_id: str
    to_id: str
    type: Type | None = None


class _Spec(msgspec.Struct, rename="camel"):
    category: str
    type_id: int
    label: str | None = None


class _Target(msgspec.Struct, rename="camel"):
    to_object_id: str | int
    association_types: list[_Spec] = []


class _End(msgspec.Struct):
    id: str


class _Linked(msgspec.Struct, rename={"start": "from"}):
    start: _End
    to: list[_Target] = []
    paging: Paging | None = None


class _LinkedAnswer(msgspec.Struct):
    results: list[_Linked] = []
    errors: list[ErrorBody] = []


class _LabelsAnswer(msgspec.Struct):
    results: list[_Spec] = []


class _Made(msgspec.Struct, rename={"start": "from"}):
    """A link that was made: by `from` and `to`, or by the ids of its objects."""

    start: _End | None = None
    to: _End | None = None
    from_id: str | int | None = msgspec.field(default=None, name="fromObjectId")
    to_id: str | int | None = msgspec.field(default=None, name="toObjectId")

    def pair(self) -> tuple[str, str]:
        if self.start is not None and self.to is not None:
            return self.start.id, self.to.id
        return str(self.from_id), str(self.to_id)


class _MadeAnswer(msgspec.Struct):
    results: list[_Made] = []
    errors: list[ErrorBody] = []


class LinkWriter:
    """Writes the links from one object type to another.

    Args:
        client: The conversation.
        from_type: What HubSpot's paths call it.
        to_type: The same.
        dry_run: Whether nothing is written.
    """

    def __init__(
        self, client: Client, from_type: str, to_type: str, *, dry_run: bool = False
    ) -> None:
        self._client = client
        self._pair = (from_type, to_type)
        self._what = f"links from {from_type} to {to_type}"
        self._dry_run = dry_run
        self._labels: dict[str, Type] | None = None

    def type_of(self, label: str) -> Type:
        """The association type that carries a label.

        Raises:
            PlanError: If there is none.
        """
        if self._labels is None:
            answer = self._client.get(
                self._client.paths.labels(*self._pair),
                family="labels",
                what=f"the labels of {self._what}",
                shape=_LabelsAnswer,
            )
            self._labels = {
                each.label: (each.category, each.type_id) for each in answer.results if each.label
            }
        if label not in self._labels:
            raise PlanError(f"There is no label {label!r} for {self._what}.")
        return self._labels[label]

    def write(self, links: Sequence[Link]) -> list[Outcome]:
        """Make links; both directions are made at once.

        Returns:
            For each link: `created`, `unchanged`, `rejected` or `unknown`.

        Raises:
            HubSpotError: If HubSpot cannot be worked with now.
        """
        wanted = list(dict.fromkeys(links))
        present = self._present(list(dict.fromkeys(each.from_id for each in wanted)))
        found: dict[Link, Outcome] = {}
        fresh = []
        for link in wanted:
            types = present.get((link.from_id, link.to_id))
            if types is not None and (link.type is None or link.type in types):
                found[link] = Outcome("unchanged")
            elif self._dry_run:
                found[link] = Outcome("created")
            else:
                fresh.append(link)
        plain = [each for each in fresh if each.type is None]
        found |= self._in_batches(plain, "associate/default", _default_input)
        # Only the labels given stay, so those that are there are given again.
        typed: dict[tuple[str, str], list[Link]] = {}
        for link in fresh:
            if link.type is not None:
                typed.setdefault((link.from_id, link.to_id), []).append(link)

        def typed_input(link: Link) -> dict[str, Any]:
            pair = (link.from_id, link.to_id)
            kept = {each for each in present.get(pair, set()) if each[0] != HUBSPOT_DEFINED}
            types = kept | {each.type for each in typed[pair] if each.type is not None}
            specs = [
                {"associationCategory": category, "associationTypeId": type_id}
                for category, type_id in sorted(types)
            ]
            return {**_default_input(link), "types": specs}

        firsts = {pair: same[0] for pair, same in typed.items()}
        made = self._in_batches(list(firsts.values()), "create", typed_input)
        for pair, same in typed.items():
            found |= dict.fromkeys(same, made[firsts[pair]])
        return [found[link] for link in links]

    # Reading

    def _present(self, ids: Sequence[str]) -> dict[tuple[str, str], set[Type]]:
        found: dict[tuple[str, str], set[Type]] = {}
        for start in range(0, len(ids), READ_BATCH):
            inputs = [{"id": each} for each in ids[start : start + READ_BATCH]]
            while inputs:
                answer = self._client.post(
                    self._client.paths.associations(*self._pair),
                    {"inputs": inputs},
                    family="associations",
                    what=self._what,
                    shape=_LinkedAnswer,
                )
                inputs = []
                for each in answer.results:
                    for target in each.to:
                        types = found.setdefault((each.start.id, str(target.to_object_id)), set())
                        types |= {
                            (spec.category, spec.type_id) for spec in target.association_types
                        }
                    following = after(each.paging)
                    if following is not None:
                        inputs.append({"id": each.start.id, "after": following})
        return found

    # Writing

    def _in_batches(
        self, links: Sequence[Link], verb: str, input_of: Callable[[Link], dict[str, Any]]
    ) -> dict[Link, Outcome]:
        batches = [links[at : at + WRITE_BATCH] for at in range(0, len(links), WRITE_BATCH)]
        found: dict[Link, Outcome] = {}
        if len(batches) == 1:
            return self._send(batches[0], verb, input_of, attempt=1)
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            for part in pool.map(lambda each: self._send(each, verb, input_of, attempt=1), batches):
                found |= part
        return found

    def _send(
        self,
        links: Sequence[Link],
        verb: str,
        input_of: Callable[[Link], dict[str, Any]],
        *,
        attempt: int,
    ) -> dict[Link, Outcome]:
        """Make some links; making one again is harmless, so what is not answered is repeated."""
        try:
            answer = self._client.post(
                self._client.paths.links(*self._pair, verb),
                {"inputs": [input_of(each) for each in links]},
                family="associations",
                what=f"{self._what} ({verb})",
                shape=_MadeAnswer,
            )
        except HubSpotError as error:
            if type(error) is not HubSpotError or error.status not in {*REFUSALS, 404}:
                raise
            if len(links) == 1:
                return {links[0]: _rejection(error.body)}
            half = len(links) // 2
            found = self._send(links[:half], verb, input_of, attempt=attempt)
            return found | self._send(links[half:], verb, input_of, attempt=attempt)
        made = {each.pair() for each in answer.results}
        found = {each: Outcome("created") for each in links if (each.from_id, each.to_id) in made}
        for error_body in answer.errors:
            if error_body.category in TEMPORARY:
                continue
            context = error_body.context
            ends = (context.get("fromObjectId") or [], context.get("toObjectId") or [])
            for link in links:
                if link.from_id in map(str, ends[0]) and link.to_id in map(str, ends[1]):
                    found.setdefault(link, _rejection(error_body))
        left = [each for each in links if each not in found]
        if left and attempt < TRIES:
            self._client.stop.wait(0.25 * 2**attempt)
            return found | self._send(left, verb, input_of, attempt=attempt + 1)
        return found | {each: Outcome("unknown", code="no_answer") for each in left}


def _default_input(link: Link) -> dict[str, Any]:
    return {"from": {"id": link.from_id}, "to": {"id": link.to_id}}


def _rejection(error: ErrorBody) -> Outcome:
    code = str(error.sub_category or error.category or "INVALID")
    return Outcome(
        "rejected",
        code=code.rpartition(".")[2],
        message=error.message[:MESSAGE_LIMIT],
        correlation_id=error.correlation_id or "",
    )
