"""Links between records: every page of every record, with categories and labels.

One call reads up to 1,000 records; HubSpot cuts long sets of links into pages per record, each with
its own cursor. Source: HubSpot's guide to the associations API, v4 and dated versions.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
from hubspot_client.errors import ErrorBody, InconsistentError, refuse_partial
from hubspot_client.paging import Cursors, Paging, after

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubspot_client.client import Client
    from hubspot_client.object_types import ObjectType

BATCH = 1000

LinkType = dict[str, Any]
"""`{"category", "type_id", "label"}`."""

Links = dict[str, list[dict[str, Any]]]
"""By object type: `[{"id": …, "types": [LinkType, …]}, …]`."""


# None of these can be part of a reference cycle, so the collector need not look at them: that makes
# decoding three times as fast.
class _From(msgspec.Struct, gc=False):
    id: str | int


class _Type(msgspec.Struct, rename="camel", gc=False):
    category: str
    type_id: int
    label: str | None = None


class _To(msgspec.Struct, rename="camel", gc=False):
    to_object_id: str | int
    association_types: list[_Type]


class _Result(msgspec.Struct, gc=False):
    from_: _From = msgspec.field(name="from")
    to: list[_To] = []
    paging: Paging | None = None


class _Answer(msgspec.Struct):
    results: list[_Result]
    errors: list[ErrorBody] = []


class _Types(dict[tuple[str, int, str | None], LinkType]):
    def __missing__(self, key: tuple[str, int, str | None]) -> LinkType:
        category, type_id, label = key
        found = self[key] = {"category": category, "type_id": type_id, "label": label}
        return found


class LinkReader:
    """Reads the links of records of one type to one other type.

    Args:
        client: The conversation with HubSpot.
        from_type: Whose links.
        to_type: Links to what.
    """

    def __init__(self, client: Client, from_type: ObjectType, to_type: ObjectType) -> None:
        self.to_type = to_type.name
        self._client = client
        self._path = client.paths.associations(from_type.in_paths, to_type.in_paths)
        self._what = f"associations from {from_type.name} to {to_type.name}"
        # A handful of types stands on all links: each exists once, to be read only.
        self._types = _Types()

    def read(self, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """All links of some records.

        Args:
            ids: At most 1,000 record ids.

        Returns:
            By record id, the linked records in HubSpot's order; records without links are missing.

        Raises:
            HubSpotError: If HubSpot names an error other than "no associations".
            InconsistentError: If a page that HubSpot named does not come. Of a record that is
                neither in the answer nor among its errors at first there are no links.
        """
        found: dict[str, dict[str, list[LinkType]]] = {}
        cursors = Cursors(self._what)
        inputs: list[dict[str, str]] = [{"id": record_id} for record_id in ids]
        while inputs:
            answer = self._page(inputs[:BATCH])
            asked = {each["id"]: each.get("after") for each in inputs[:BATCH]}
            del inputs[:BATCH]
            for result in answer.results:
                record_id = str(result.from_.id)
                self._add(result.to, found.setdefault(record_id, {}))
                if (following := after(result.paging)) is not None:
                    cursors.check(f"{record_id} {asked.get(record_id)}", f"{record_id} {following}")
                    inputs.append({"id": record_id, "after": following})
            self._refuse_silence({i for i, cursor in asked.items() if cursor is not None}, answer)
        return {
            record_id: [{"id": to_id, "types": types} for to_id, types in linked.items()]
            for record_id, linked in found.items()
            if linked
        }

    def depths(self, ids: Sequence[str], most: int) -> tuple[Counter[str], int | None]:
        """On how many pages the links of some records stand: at most so many requests.

        Args:
            ids: At most 1,000 record ids.
            most: How many pages of a record are looked at; one that has more counts one more.

        Returns:
            The numbers by id, and how many links stand on a page; None where no page was full.
        """
        found = Counter(ids)
        length: int | None = None
        inputs = [{"id": record_id} for record_id in ids]
        for _ in range(most if inputs else 0):
            following = []
            for result in self._page(inputs).results:
                if (cursor := after(result.paging)) is not None:
                    record_id = str(result.from_.id)
                    found[record_id] += 1
                    length = max(length or 0, len(result.to))
                    following.append({"id": record_id, "after": cursor})
            inputs = following
            if not inputs:
                break
        return found, length

    def _page(self, inputs: list[dict[str, str]]) -> _Answer:
        answer = self._client.post(
            self._path,
            {"inputs": inputs},
            family="associations",
            what=self._what,
            shape=_Answer,
        )
        refuse_partial(answer.errors, what=self._what)
        return answer

    def _refuse_silence(self, promised: set[str], answer: _Answer) -> None:
        """Each next page has to come, unless the record has no links any more."""
        accounted = {str(result.from_.id) for result in answer.results}
        accounted.update(
            str(i) for error in answer.errors for i in error.context.get("fromObjectId") or ()
        )
        if silent := sorted(promised - accounted):
            raise InconsistentError(
                f"HubSpot's answer for {self._what} did not bring the next page of {len(silent)} "
                f"records (the first is {silent[0]}); nothing was skipped. Run again."
            )

    def _add(self, targets: list[_To], linked: dict[str, list[LinkType]]) -> None:
        """Merge one page of one record's links; the same link may come on two pages."""
        for target in targets:
            types = linked.setdefault(str(target.to_object_id), [])
            for found in target.association_types:
                link_type = self._types[found.category, found.type_id, found.label]
                if link_type not in types:
                    types.append(link_type)
